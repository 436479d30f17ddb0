"""Nodes created and changed."""

from __future__ import annotations

import datetime
from collections.abc import Mapping

from alpenhorn.index.connection import Index
from alpenhorn.record import import_requests
from alpenhorn.record.rows import TextEdit, Values, change, refuse_taken
from alpenhorn.record.rows import create as create_row


def create(
    index: Index, values: Values, now: datetime.datetime, *, group_id: int | None, initialise: bool = False
) -> None:
    """`values`: columns of storagenode without the group.  `group_id` None makes a group of the node's name.
    `initialise` files the request for it.

    All of it or nothing.  Raises Refused when one of the names is taken.
    """
    refuse_taken(index, "storagenode", values["name"])
    if group_id is None:
        refuse_taken(index, "storagegroup", values["name"])

    def work() -> None:
        group = create_row(index, "storagegroup", {"name": values["name"]}) if group_id is None else group_id
        node = create_row(index, "storagenode", {**values, "group_id": group})
        if initialise:
            import_requests.file_within(index, import_requests.initialisation(node), now)

    index.retry(work)


def modify(index: Index, node_id: int, values: Values, edits: Mapping[str, TextEdit]) -> bool:
    """Set columns, and change those in `edits` from what they are; return whether anything differed.

    Raises NotFound when the node is gone, and what an edit raises.
    """
    return index.retry(lambda: change(index, "storagenode", node_id, values, edits))
