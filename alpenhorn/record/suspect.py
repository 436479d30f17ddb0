"""Copies in which something was seen that a good copy does not have: suspect until they are read."""

from __future__ import annotations

from collections.abc import Mapping

from alpenhorn.index.bulk import in_chunks
from alpenhorn.index.connection import Index
from alpenhorn.model.copies import HasFile
from alpenhorn.model.nodes import NodeFact
from alpenhorn.reasons import Code, Reason, Why
from alpenhorn.record.copies import once_good
from alpenhorn.record.place import still
from alpenhorn.record.run import Run, events


def suspect(index: Index, run: Run, node: NodeFact, before: HasFile, why: Mapping[int, Reason]) -> int | None:
    """Turn copies on a node suspect, by copy id, those that have `before`; returns how many it was.

    Whether they are wanted stays as it is: a copy that was removed and is there again is for the rule of deletions,
    one that is missing for a check.  None, and nothing recorded, where the node is not where it was looked at.
    """

    def work() -> int | None:
        return _turn(index, run, node.id, before, why) if still(index, node, active=True) else None

    return index.retry(work)


def suspect_missing(index: Index, run: Run, node_id: int, most: int) -> None:
    """Turn the `most` copies on a node that were found missing last suspect again, those that still are missing and
    wanted: they were found missing while the storage may not have been whole."""

    def work() -> None:
        # By time, which the index has; a clock that was wrong costs no more than some reading.
        copy_ids = index.values(
            "SELECT c.id FROM (SELECT file_id FROM sync_event WHERE node_id = ? AND what = 'missing'"
            " ORDER BY at DESC, id DESC LIMIT ?) e"
            " JOIN archivefilecopy c ON c.file_id = e.file_id AND c.node_id = ? WHERE c.wants_file = 'Y'",
            (node_id, most, node_id),
        )
        why = Code.FOUND_MISSING_IN_DOUBT()
        _turn(index, run, node_id, HasFile.NO, dict.fromkeys(copy_ids, why))

    index.retry(work)


def _turn(index: Index, run: Run, node_id: int, before: HasFile, why: Mapping[int, Reason]) -> int:
    lock = index.dialect.for_update
    turned: list[tuple[int, int, Why]] = []
    for marks, some in in_chunks(list(why)):
        rows = index.execute(
            "SELECT id, file_id FROM archivefilecopy"
            f" WHERE node_id = ? AND has_file = ? AND id IN ({marks}){lock}",
            (node_id, before, *some),
        ).fetchall()
        if before == HasFile.YES:
            once_good(index, node_id, [file_id for _, file_id in rows])
        turned += [(file_id, node_id, why[copy_id]) for copy_id, file_id in rows]
        index.execute(
            f"UPDATE archivefilecopy SET has_file = 'M', last_update = ?"
            f" WHERE node_id = ? AND has_file = ? AND id IN ({marks})",
            (run.now(), node_id, before, *some),
        )
    events(index, run, "suspect", turned)
    return len(turned)
