"""Groups created and changed."""

from __future__ import annotations

from collections.abc import Mapping

from alpenhorn.edits.rows import TextEdit, Values, change, refuse_taken
from alpenhorn.edits.rows import create as create_row
from alpenhorn.index.connection import Index


def create(index: Index, values: Values) -> None:
    """`values`: columns of storagegroup, `name` among them.  Raises Refused when the name is taken."""
    refuse_taken(index, "storagegroup", values["name"])
    index.retry(lambda: create_row(index, "storagegroup", values))


def modify(index: Index, group_id: int, values: Values, edits: Mapping[str, TextEdit]) -> bool:
    """Set columns, and change those in `edits` from what they are; return whether anything differed.

    Raises NotFound when the group is gone, and what an edit raises.
    """
    return index.retry(lambda: change(index, "storagegroup", group_id, values, edits))
