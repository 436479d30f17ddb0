"""Free inodes of nodes that have few, as recorded by runs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from alpenhorn.index.connection import Index
from alpenhorn.index.times import moment

FEW = 100_000  # larger numbers are not recorded
_NAME = "inodes "
_SAME_RUN = timedelta(minutes=10)


def row_name(node_id: int) -> str:
    return f"{_NAME}{node_id}"


def load(index: Index, checked: Mapping[int, datetime | None]) -> dict[int, int]:
    """Return the free inodes, by node id, of nodes on which the last run that checked found few.

    `checked`: by node id, the time at which a run last checked the free space.
    """
    noted = {
        name: (value, moment(at))
        for name, value, at in index.execute(
            "SELECT name, value, at FROM sync_index WHERE name LIKE 'inodes %'"
        )
    }
    found = {}
    for node_id, looked in checked.items():
        value, at = noted.get(row_name(node_id), ("", None))
        if at is not None and looked is not None and value.isdigit() and at >= looked - _SAME_RUN:
            found[node_id] = int(value)
    return found
