"""Makes copies suspect that were seen to differ from good ones, until a check reads them."""

from __future__ import annotations

from collections.abc import Mapping

from alpenhorn.index.bulk import in_chunks
from alpenhorn.index.connection import Index
from alpenhorn.model.copies import HasFile
from alpenhorn.model.nodes import NodeFact
from alpenhorn.reasons import Code, Reason, Why
from alpenhorn.record.copies import once_good
from alpenhorn.record.place import node_unmoved
from alpenhorn.record.run import Run, events


def suspect(index: Index, run: Run, node: NodeFact, before: HasFile, why: Mapping[int, Reason]) -> int | None:
    """Make copies on a node suspect whose has_file is `before`; return their number.

    `why`: copy id to reason.  wants_file is kept: a deleted copy that is present again is left to the rule of
    deletions, a missing one to a check.  Records nothing and returns None if the node was moved in the meantime.
    """

    def work() -> int | None:
        unmoved = node_unmoved(index, node, active=True)
        return _make_suspect(index, run, node.id, before, why) if unmoved else None

    return index.retry(work)


def suspect_missing(index: Index, run: Run, node_id: int, most: int) -> None:
    """Make the `most` copies that were last found missing on a node suspect again, if still missing and wanted.

    They were found missing while the storage may have been incomplete.
    """

    def work() -> None:
        # In the order of time, which has an index; wrong clocks only cause needless checks.
        copy_ids = index.values(
            "SELECT c.id FROM (SELECT file_id FROM sync_event WHERE node_id = ? AND what = 'missing'"
            " ORDER BY at DESC, id DESC LIMIT ?) e"
            " JOIN archivefilecopy c ON c.file_id = e.file_id AND c.node_id = ? WHERE c.wants_file = 'Y'",
            (node_id, most, node_id),
        )
        why = Code.FOUND_MISSING_IN_DOUBT()
        _make_suspect(index, run, node_id, HasFile.NO, dict.fromkeys(copy_ids, why))

    index.retry(work)


def _make_suspect(index: Index, run: Run, node_id: int, before: HasFile, why: Mapping[int, Reason]) -> int:
    lock = index.dialect.for_update
    changed: list[tuple[int, int, Why]] = []
    for marks, some in in_chunks(list(why)):
        rows = index.execute(
            "SELECT id, file_id FROM archivefilecopy"
            f" WHERE node_id = ? AND has_file = ? AND id IN ({marks}){lock}",
            (node_id, before, *some),
        ).fetchall()
        if before == HasFile.YES:
            once_good(index, node_id, [file_id for _, file_id in rows])
        changed += [(file_id, node_id, why[copy_id]) for copy_id, file_id in rows]
        index.execute(
            f"UPDATE archivefilecopy SET has_file = 'M', last_update = ?"
            f" WHERE node_id = ? AND has_file = ? AND id IN ({marks})",
            (run.now(), node_id, before, *some),
        )
    events(index, run, "suspect", changed)
    return len(changed)
