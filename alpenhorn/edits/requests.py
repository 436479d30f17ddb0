"""Creation and cancellation of many copy requests at a time, and removal of their failed attempts."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from alpenhorn.edits import priorities
from alpenhorn.errors import NotFound
from alpenhorn.index.bulk import chunks, in_chunks, marks, update
from alpenhorn.index.connection import Index
from alpenhorn.index.selections import SelectionPart
from alpenhorn.reasons import Code, code_of
from alpenhorn.record.copies import to_replace
from alpenhorn.record.run import EVENT, FORMAT


def create(
    index: Index,
    parts: Sequence[SelectionPart],
    node_id: int,
    group_id: int,
    now: datetime.datetime,
    priority: int = 0,
) -> int:
    """Request the files of a selection made by `new_requests`, with a priority; return their number."""

    def work() -> int:
        created = 0
        highest = index.value("SELECT MAX(id) FROM archivefilecopyrequest") if priority else 0
        for part in parts:
            cursor = index.execute(
                "INSERT INTO archivefilecopyrequest"
                " (file_id, group_to_id, node_from_id, completed, cancelled, timestamp)"
                f" SELECT f.id, ?, ?, 0, 0, ? {part.sql} ORDER BY f.id",
                (group_id, node_id, now, *part.values),
            )
            created += cursor.rowcount
        if priority and created:
            new = priorities.created_after(node_id, group_id, highest or 0)
            priorities.prioritise_selection(index, [new], priority)
        return created

    return index.retry(work)


def create_for(
    index: Index,
    file_ids: Sequence[int],
    node_id: int,
    group_id: int,
    now: datetime.datetime,
    *,
    any_source: bool = True,
    priority: int = 0,
) -> int:
    """Request files, whatever the state of their source, unless a request into the group is pending.

    `any_source`: also a request from another node counts.  Returns the number of new requests.
    """
    source, values = ("", (group_id,)) if any_source else (" AND +q.node_from_id = ?", (group_id, node_id))
    parts = [
        SelectionPart(
            f"FROM archivefile f WHERE f.id IN ({some_marks}) AND NOT EXISTS"
            " (SELECT 1 FROM archivefilecopyrequest q WHERE q.file_id = f.id AND q.group_to_id = ?"
            f"{source} AND +q.completed = 0 AND +q.cancelled = 0)",
            (*some, *values),
        )
        for some_marks, some in in_chunks(file_ids)
    ]
    return create(index, parts, node_id, group_id, now, priority)


def allow_replacement(index: Index, node_id: int, file_ids: Sequence[int]) -> int:
    """Allow pulls to replace copies on a node that their owners changed; see `to_replace`."""
    return index.retry(lambda: to_replace(index, node_id, file_ids))


def cancel_selection(index: Index, parts: Sequence[SelectionPart], now: datetime.datetime) -> int:
    """Cancel the requests of a selection made by `pending_requests`, in one transaction; return their number.

    The history gets an event for each, by which the next run notices what policies ask for.
    """
    at, why = now.strftime(FORMAT), Code.REQUEST_CANCELLED()

    def work() -> int:
        changed = 0
        for part in parts:
            # Read first: MariaDB would search the events of a retirement once for each of its requests if their own
            # events were written from the selection.
            rows = index.execute(
                f"SELECT DISTINCT r.id, r.file_id, r.node_from_id {part.sql}", part.values
            ).fetchall()
            state = "u.completed = 0 AND u.cancelled = 0"
            done = update(index, "archivefilecopyrequest", {"cancelled": 1}, state, "r.id", [part])
            if done != len(rows):  # some were completed meanwhile
                rows = _cancelled(index, rows)
            index.executemany(
                EVENT,
                [
                    (at, None, file_id, node_id, "cancelled", why, str(code_of(why)))
                    for _, file_id, node_id in sorted(rows)
                ],
            )
            changed += done
        return changed

    return index.retry(work)


def _cancelled(index: Index, rows: Sequence[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    found: set[int] = set()
    for some_marks, some in in_chunks([request_id for request_id, _, _ in rows]):
        sql = f"SELECT id FROM archivefilecopyrequest WHERE id IN ({some_marks}) AND cancelled = 1"
        found.update(index.values(sql, some))
    return [row for row in rows if row[0] in found]


def cancel(index: Index, ids: Sequence[int], now: datetime.datetime) -> int:
    """Cancel the pending requests among those given; return their number.

    Raises NotFound, and cancels none, if one does not exist.
    """

    def work() -> int:
        require(index, ids)
        parts = [
            SelectionPart(
                f"FROM archivefilecopyrequest r WHERE r.id IN ({some_marks}) AND +r.completed = 0"
                " AND +r.cancelled = 0",
                some,
            )
            for some_marks, some in in_chunks(ids)
        ]
        return cancel_selection(index, parts, now)

    return index.retry(work)


def forget_attempts(index: Index, ids: Sequence[int] | None) -> int:
    """Delete the failed attempts of requests (None: of all), so that the next run tries them; return their number.

    Raises NotFound, and changes none, if one does not exist.
    """

    def work() -> int:
        if ids is None:
            return int(index.execute("DELETE FROM sync_attempt WHERE kind IN ('pull', 'source')").rowcount)
        require(index, ids)
        deleted = 0
        for some in chunks(ids):
            among, values = f"({marks(some)})", tuple(some)
            sources = (
                "SELECT c.id FROM archivefilecopyrequest r JOIN archivefilecopy c ON c.file_id = r.file_id"
                f" WHERE r.id IN {among}"
            )
            deleted += index.execute(
                f"DELETE FROM sync_attempt WHERE kind = 'pull' AND subject_id IN {among}", values
            ).rowcount
            deleted += index.execute(
                f"DELETE FROM sync_attempt WHERE kind = 'source' AND subject_id IN ({sources})", values
            ).rowcount
        return deleted

    return index.retry(work)


def require(index: Index, ids: Sequence[int]) -> None:
    """Raise NotFound if there is no request with one of the ids."""
    known: set[int] = set()
    for some in chunks(ids):
        sql = f"SELECT id FROM archivefilecopyrequest WHERE id IN ({marks(some)})"
        known.update(index.values(sql, tuple(some)))
    missing = [str(id_) for id_ in ids if id_ not in known]
    if missing:
        raise NotFound(
            f"no request with the id {', '.join(missing)}; nothing was changed; see: alpenhorn request list"
        )
