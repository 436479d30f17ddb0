"""Copy requests as they are listed and described."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from alpenhorn.errors import NotFound
from alpenhorn.index.connection import Index
from alpenhorn.index.times import moment
from alpenhorn.reasons import Reason, recorded
from alpenhorn.scan.values import stream


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
    """Names are None where the row that they stand in is gone; `attempts` and so on are of failed ones."""

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

    @property
    def path(self) -> str:
        return f"{self.acq}/{self.name}" if self.acq is not None and self.name is not None else "(file gone)"

    @property
    def state(self) -> RequestState:
        return request_state(self.completed, self.cancelled, self.attempts)


REQUESTS = """
    SELECT r.id, a.name, f.name, n.name, g.name, r.completed, r.cancelled, r.timestamp,
           r.transfer_started, r.transfer_completed, f.size_b, t.count, t.last, t.next, t.blame, t.error, t.code
    FROM archivefilecopyrequest r LEFT JOIN archivefile f ON f.id = r.file_id
    LEFT JOIN archiveacq a ON a.id = f.acq_id LEFT JOIN storagenode n ON n.id = r.node_from_id
    LEFT JOIN storagegroup g ON g.id = r.group_to_id
    LEFT JOIN sync_attempt t ON t.kind = 'pull' AND t.subject_id = r.id
    WHERE {where} ORDER BY r.id
"""
STATES = {
    RequestState.PENDING: "r.completed = 0 AND r.cancelled = 0",
    RequestState.FAILING: (
        "r.completed = 0 AND r.cancelled = 0"
        " AND r.id IN (SELECT subject_id FROM sync_attempt WHERE kind = 'pull')"
    ),
    RequestState.DONE: "r.completed = 1",
    RequestState.CANCELLED: "r.cancelled = 1 AND r.completed = 0",
}
# Lets the index on (group, completed, cancelled) find what is pending among all that was ever done.
ANY_GROUP = "r.group_to_id IN (SELECT id FROM storagegroup)"


def requests(
    index: Index,
    state: RequestState = RequestState.PENDING,
    *,
    node_id: int | None = None,
    group_id: int | None = None,
    acq_id: int | None = None,
) -> Iterator[RequestRow]:
    """Requests in that state (pending: also those that are failing), oldest first."""
    terms, values = [STATES[state]], []
    given = {"r.node_from_id": node_id, "r.group_to_id": group_id, "f.acq_id": acq_id}
    for column, value in given.items():
        if value is not None:
            terms.append(f"{column} = ?")
            values.append(value)
    if node_id is None and group_id is None and state is RequestState.PENDING:
        terms.append(ANY_GROUP)
    for row in stream(index, REQUESTS.format(where=" AND ".join(terms)), values):
        yield _request(row)


def request(index: Index, request_id: int) -> RequestRow:
    """Raises NotFound."""
    row = index.execute(REQUESTS.format(where="r.id = ?"), (request_id,)).fetchone()
    if row is None:
        raise NotFound(f"no request with the id {request_id}; see: alpenhorn request list")
    return _request(row)


def _request(row: tuple[Any, ...]) -> RequestRow:
    found = RequestRow(*row[:-1])
    return found._replace(
        completed=bool(found.completed),
        cancelled=bool(found.cancelled),
        timestamp=moment(found.timestamp),
        started=moment(found.started),
        ended=moment(found.ended),
        attempts=found.attempts or 0,
        last_attempt=moment(found.last_attempt),
        next_attempt=moment(found.next_attempt),
        error=None if found.error is None else recorded(found.error, row[-1]),
    )
