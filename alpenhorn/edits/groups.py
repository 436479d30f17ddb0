"""Creation and changes of groups."""

from __future__ import annotations

from collections.abc import Mapping

from alpenhorn.edits.rows import TextEdit, Values, change, refuse_taken
from alpenhorn.edits.rows import create as create_row
from alpenhorn.index.connection import Index


def create(index: Index, values: Values) -> None:
    """Create a group.  `values`: columns of storagegroup, including `name`.  Raises Refused if the name exists."""
    refuse_taken(index, "storagegroup", values["name"])
    index.retry(lambda: create_row(index, "storagegroup", values))


def modify(index: Index, group_id: int, values: Values, edits: Mapping[str, TextEdit]) -> bool:
    """Set columns, and apply `edits` to the values of others; return whether anything changed.

    Raises NotFound if the group was removed, and the errors of edits.
    """
    return index.retry(lambda: change(index, "storagegroup", group_id, values, edits))
