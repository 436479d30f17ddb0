"""Copy requests created and cancelled, many at a time, and their back-off forgotten."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from alpenhorn.errors import NotFound
from alpenhorn.index.bulk import chunks, in_chunks, marks, update
from alpenhorn.index.connection import Index
from alpenhorn.index.selections import SelectionPart
from alpenhorn.listings.states import REQUEST_PENDING


def create(
    index: Index, parts: Sequence[SelectionPart], node_id: int, group_id: int, now: datetime.datetime
) -> int:
    """Request the files of a selection made by `new_requests`, and return how many it was."""

    def work() -> int:
        created = 0
        for part in parts:
            cursor = index.execute(
                "INSERT INTO archivefilecopyrequest"
                " (file_id, group_to_id, node_from_id, completed, cancelled, timestamp)"
                f" SELECT f.id, ?, ?, 0, 0, ? {part.sql} ORDER BY f.id",
                (group_id, node_id, now, *part.values),
            )
            created += cursor.rowcount
        return created

    return index.retry(work)


def create_for(
    index: Index, file_ids: Sequence[int], node_id: int, group_id: int, now: datetime.datetime
) -> int:
    """Request files whatever is known of their source, but for those for which one into the group is pending;
    return how many were requested."""
    parts = [
        SelectionPart(
            f"FROM archivefile f WHERE f.id IN ({some_marks}) AND NOT EXISTS"
            " (SELECT 1 FROM archivefilecopyrequest q WHERE q.file_id = f.id AND q.group_to_id = ?"
            " AND +q.completed = 0 AND +q.cancelled = 0)",
            (*some, group_id),
        )
        for some_marks, some in in_chunks(file_ids)
    ]
    return create(index, parts, node_id, group_id, now)


def cancel_selection(index: Index, parts: Sequence[SelectionPart]) -> int:
    """Cancel the requests of a selection made by `pending_requests`, and return how many it was."""

    state = "u.completed = 0 AND u.cancelled = 0"
    return update(index, "archivefilecopyrequest", {"cancelled": 1}, state, "r.id", parts)


def cancel(index: Index, ids: Sequence[int]) -> int:
    """Cancel those requests which are pending, and return how many it was.

    Raises NotFound, and cancels none, when one does not exist.
    """
    return index.retry(lambda: _cancel(index, ids))


def _cancel(index: Index, ids: Sequence[int]) -> int:
    _require(index, ids)
    changed = 0
    for some in chunks(ids):
        cursor = index.execute(
            "UPDATE archivefilecopyrequest SET cancelled = 1"
            f" WHERE {REQUEST_PENDING} AND id IN ({marks(some)})",
            tuple(some),
        )
        changed += cursor.rowcount
    return changed


def forget_attempts(index: Index, ids: Sequence[int] | None) -> int:
    """Let the next run try those requests again, or all, as if none had failed; return how many had.

    Raises NotFound, and changes none, when one does not exist.
    """

    def work() -> int:
        if ids is None:
            return int(index.execute("DELETE FROM sync_attempt WHERE kind = 'pull'").rowcount)
        _require(index, ids)
        return sum(
            index.execute(
                f"DELETE FROM sync_attempt WHERE kind = 'pull' AND subject_id IN ({marks(some)})", tuple(some)
            ).rowcount
            for some in chunks(ids)
        )

    return index.retry(work)


def _require(index: Index, ids: Sequence[int]) -> None:
    known: set[int] = set()
    for some in chunks(ids):
        sql = f"SELECT id FROM archivefilecopyrequest WHERE id IN ({marks(some)})"
        known.update(index.values(sql, tuple(some)))
    missing = [str(id_) for id_ in ids if id_ not in known]
    if missing:
        raise NotFound(
            f"no request with the id {', '.join(missing)}; nothing was changed; see: alpenhorn request list"
        )
