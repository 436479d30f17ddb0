"""Changes of the priorities of pending requests."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from alpenhorn.index.bulk import in_chunks
from alpenhorn.index.connection import Index
from alpenhorn.index.selections import SelectionPart
from alpenhorn.listings.states import REQUEST_PENDING
from alpenhorn.scan.priorities import CHANGED

COLUMNS = ("request_id", "group_id", "priority")


def prioritise_selection(index: Index, parts: Sequence[SelectionPart], priority: int) -> int:
    """Give the pending requests of a selection, `r`, a priority; return their number.

    0 is the priority of requests without a row.  Runs in progress notice it before they plan more requests.
    """

    def work() -> int:
        found = 0
        for part in parts:
            found += int(index.value(f"SELECT COUNT(*) {part.sql}", part.values))
            if priority:
                index.execute(
                    index.upsert_from(
                        "sync_priority",
                        COLUMNS,
                        f"SELECT r.id, r.group_to_id, ? {part.sql}",
                        COLUMNS[:1],
                        COLUMNS[1:],
                    ),
                    (priority, *part.values),
                )
            else:
                index.execute(
                    f"DELETE FROM sync_priority WHERE request_id IN (SELECT r.id {part.sql})", part.values
                )
        if found:
            columns = ("name", "value", "at")
            index.execute(
                index.upsert("sync_index", columns, columns[:1], columns[1:]),
                (CHANGED, secrets.token_hex(8), index.now().replace(microsecond=0)),
            )
        return found

    return index.retry(work)


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
