"""Hosts created and changed."""

from __future__ import annotations

from alpenhorn.index.connection import Index
from alpenhorn.record.rows import Values, change, refuse_taken
from alpenhorn.record.rows import create as create_row


def create(index: Index, values: Values) -> None:
    """`values`: columns of storagehost, `name` among them.  Raises Refused when the name is taken."""
    refuse_taken(index, "storagehost", values["name"])
    index.retry(lambda: create_row(index, "storagehost", values))


def modify(index: Index, host_id: int, values: Values) -> bool:
    """Set those columns; return whether anything differed.  Raises NotFound when the host is gone."""
    return index.retry(lambda: change(index, "storagehost", host_id, values, {}))
