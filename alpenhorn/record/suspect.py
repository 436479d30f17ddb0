"""Copies in which something was seen that a good copy does not have: suspect until they are read."""

from __future__ import annotations

from collections.abc import Mapping

from alpenhorn.index.bulk import in_chunks
from alpenhorn.index.connection import Index
from alpenhorn.record.run import Run, events


def suspect_good(index: Index, run: Run, node_id: int, why: Mapping[int, str]) -> None:
    """Turn copies on a node suspect, by copy id, those that are good; of any other nobody relies on what was seen."""
    lock = "" if index.sqlite else " FOR UPDATE"

    def work() -> None:
        turned: list[tuple[int, int, str]] = []
        for marks, some in in_chunks(list(why)):
            rows = index.execute(
                "SELECT id, file_id FROM archivefilecopy"
                f" WHERE node_id = ? AND has_file = 'Y' AND id IN ({marks}){lock}",
                (node_id, *some),
            ).fetchall()
            turned += [(file_id, node_id, why[copy_id]) for copy_id, file_id in rows]
            index.execute(
                f"UPDATE archivefilecopy SET has_file = 'M', last_update = ?"
                f" WHERE node_id = ? AND has_file = 'Y' AND id IN ({marks})",
                (run.now(), node_id, *some),
            )
        events(index, run, "suspect", turned)

    index.retry(work)
