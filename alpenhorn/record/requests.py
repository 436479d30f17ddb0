"""Creates copy requests."""

from __future__ import annotations

from collections.abc import Iterable

from alpenhorn.index.connection import Index


def create(index: Index, rows: Iterable[tuple[int, int, int]], now: str) -> None:
    """Create pending requests; call it inside a transaction.

    `rows`: (file id, id of the group, id of the source); `now`: UTC, as in the index.
    """
    index.executemany(
        "INSERT INTO archivefilecopyrequest"
        " (file_id, group_to_id, node_from_id, completed, cancelled, timestamp) VALUES (?, ?, ?, 0, 0, ?)",
        [(*row, now) for row in rows],
    )
