"""Records values about the index as a whole, in `sync_index`."""

from __future__ import annotations

from datetime import datetime

from alpenhorn.index.connection import Index

COLUMNS = ("name", "value", "at")


def remember(index: Index, name: str, value: str, at: datetime | str) -> None:
    """Set a value, in place of the one before; call it inside a transaction.

    `at`: when it was true, UTC.  Of transactions that set the same value, each waits for the others; on a Galera
    cluster, they conflict.
    """
    index.execute(index.upsert("sync_index", COLUMNS, COLUMNS[:1], COLUMNS[1:]), (name, value, at))
