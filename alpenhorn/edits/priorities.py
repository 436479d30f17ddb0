"""Changes of the priorities of pending requests."""

from __future__ import annotations

from collections.abc import Sequence

from alpenhorn.index.bulk import in_chunks
from alpenhorn.index.connection import Index
from alpenhorn.index.selections import SelectionPart
from alpenhorn.listings.states import REQUEST_PENDING
from alpenhorn.record.priorities import give


def prioritise_selection(index: Index, parts: Sequence[SelectionPart], priority: int) -> int:
    """Give the pending requests of a selection, `r`, a priority; return their number."""
    return index.retry(lambda: give(index, parts, priority))


def by_ids(ids: Sequence[int]) -> list[SelectionPart]:
    """Select the pending requests among those given."""
    return [
        SelectionPart(f"FROM archivefilecopyrequest r WHERE {REQUEST_PENDING} AND r.id IN ({marks})", some)
        for marks, some in in_chunks(ids)
    ]


def created_after(node_id: int, group_id: int, highest: int) -> SelectionPart:
    """Select the pending requests from a node into a group with ids above `highest`."""
    return SelectionPart(
        f"FROM archivefilecopyrequest r WHERE {REQUEST_PENDING} AND r.id > ? AND +r.node_from_id = ?"
        " AND +r.group_to_id = ?",
        (highest, node_id, group_id),
    )
