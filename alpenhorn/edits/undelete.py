"""Requests to bring files back from the trash of nodes, and their cancellation.

The next run of the node's host moves the files, since only it may change the node, and it holds the node's lock.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from alpenhorn.index.bulk import update
from alpenhorn.index.connection import Index
from alpenhorn.index.selections import SelectionPart


def request(index: Index, parts: Sequence[SelectionPart], now: datetime.datetime) -> int:
    """Ask for the files of `parts`, which `to_undelete` made; return their number."""
    return update(index, "sync_trash", {"asked": now}, "u.asked IS NULL", "t.id", parts)


def cancel(index: Index, parts: Sequence[SelectionPart]) -> int:
    """Cancel the requests of `parts`, which `to_cancel` made; return their number."""
    return update(index, "sync_trash", {"asked": None}, "u.asked IS NOT NULL", "t.id", parts)
