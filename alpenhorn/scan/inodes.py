"""The free inodes of nodes that have few, as runs have noted them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from alpenhorn.index.connection import Index
from alpenhorn.index.times import moment

FEW = 100_000  # more are never noted
_NAME = "inodes "
_SAME_RUN = timedelta(minutes=10)


def row_name(node_id: int) -> str:
    return f"{_NAME}{node_id}"


def load(index: Index, checked: Mapping[int, datetime | None]) -> dict[int, int]:
    """Free inodes by node id, of the nodes where the last run that looked found few.

    `checked`: by node id, when a run last looked at the free space.
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
