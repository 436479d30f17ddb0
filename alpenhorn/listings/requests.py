"""Copy requests for listings and descriptions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from alpenhorn.errors import NotFound
from alpenhorn.index.bulk import at_most, marks
from alpenhorn.index.connection import Index
from alpenhorn.index.facts import whole
from alpenhorn.index.times import moment
from alpenhorn.reasons import Reason, recorded
from alpenhorn.scan.pulls import PENDING, every_pending


class RequestState(StrEnum):
    PENDING = "pending"
    FAILING = "failing"  # pending, and at least one attempt has failed
    DONE = "done"
    CANCELLED = "cancelled"


def request_state(completed: bool, cancelled: bool, attempts: int = 0) -> RequestState:
    if completed:
        return RequestState.DONE
    if cancelled:
        return RequestState.CANCELLED
    return RequestState.FAILING if attempts else RequestState.PENDING


class RequestRow(NamedTuple):
    """A request.  Names are None if the row was removed; `attempts` and later fields are about failed attempts."""

    id: int
    acq: str | None
    name: str | None
    node: str | None
    group: str | None
    completed: bool
    cancelled: bool
    timestamp: datetime | None
    started: datetime | None
    ended: datetime | None
    size_b: int | None
    attempts: int
    last_attempt: datetime | None
    next_attempt: datetime | None
    blame: str | None
    error: Reason | None
    code: str | None = None
    priority: int = 0

    @property
    def path(self) -> str:
        return f"{self.acq}/{self.name}" if self.acq is not None and self.name is not None else "(file gone)"

    @property
    def state(self) -> RequestState:
        return request_state(self.completed, self.cancelled, self.attempts)


REQUESTS = """
    SELECT r.id, a.name AS acq__name, f.name, n.name AS node__name, g.name AS group__name, r.completed, r.cancelled,
           r.timestamp, r.transfer_started AS started__transfer_started,
           r.transfer_completed AS ended__transfer_completed,
           f.size_b, t.count AS attempts__count, t.last AS last_attempt__last, t.next AS next_attempt__next, t.blame,
           t.error, t.code, COALESCE(p.priority, 0) AS priority
    FROM archivefilecopyrequest r LEFT JOIN archivefile f ON f.id = r.file_id
    LEFT JOIN archiveacq a ON a.id = f.acq_id LEFT JOIN storagenode n ON n.id = r.node_from_id
    LEFT JOIN storagegroup g ON g.id = r.group_to_id
    LEFT JOIN sync_attempt t ON t.kind = 'pull' AND t.subject_id = r.id
    LEFT JOIN sync_priority p ON p.request_id = r.id
    WHERE {where} ORDER BY r.id
"""
CONVERT: dict[str, Callable[[Any], Any]] = {
    "completed": bool,
    "cancelled": bool,
    "timestamp": moment,
    "started": moment,
    "ended": moment,
    "attempts": whole,
    "last_attempt": moment,
    "next_attempt": moment,
}
STATES = {
    RequestState.PENDING: PENDING,
    RequestState.FAILING: (
        f"{PENDING} AND r.id IN (SELECT subject_id FROM sync_attempt WHERE kind = 'pull')"
    ),
    RequestState.DONE: "r.completed = 1",
    RequestState.CANCELLED: "r.cancelled = 1 AND r.completed = 0",
}


def requests(
    index: Index,
    state: RequestState = RequestState.PENDING,
    *,
    nodes: Sequence[int] = (),
    groups: Sequence[int] = (),
    acqs: Sequence[int] = (),
    limit: int | None = None,
) -> Iterator[RequestRow]:
    """Yield the requests in a state (pending includes failing), or the first ones, oldest first.

    `nodes`, `groups`, `acqs`: ids; without any, requests of all.
    """
    terms: list[str] = [STATES[state]]
    values: list[int] = []
    given = {"r.node_from_id": nodes, "r.group_to_id": groups, "f.acq_id": acqs}
    for column, ids in given.items():
        if ids:
            terms.append(f"{column} IN ({marks(ids)})")
            values += ids
    if not nodes and not groups and state is RequestState.PENDING:
        terms.append(every_pending(index))
    sql = REQUESTS.format(where=" AND ".join(terms)) + at_most(limit)
    for row in index.stream(RequestRow, sql, values, **CONVERT):
        yield _explained(row)


def request(index: Index, request_id: int) -> RequestRow:
    """Return a request.  Raises NotFound."""
    row = index.fact(RequestRow, REQUESTS.format(where="r.id = ?"), (request_id,), **CONVERT)
    if row is None:
        raise NotFound(f"no request with the id {request_id}; see: alpenhorn request list")
    return _explained(row)


def _explained(row: RequestRow) -> RequestRow:
    """Return the row with the error as a reason, made from its text and code."""
    return row if row.error is None else row._replace(error=recorded(row.error, row.code))
