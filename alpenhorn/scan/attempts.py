"""Failed attempts as facts."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple, Protocol

from alpenhorn.index.times import posix
from alpenhorn.model.tasks import AttemptFact

# `t` is sync_attempt.
ATTEMPT = "t.count AS tries__count, t.last, t.next, t.blame, t.error"

Stored = str | float | datetime | None  # a time as a row has it


class AttemptColumns(Protocol):
    """A row with the columns of ATTEMPT; all None if there was no attempt."""

    @property
    def tries(self) -> int | None: ...
    @property
    def last(self) -> Stored: ...
    @property
    def next(self) -> Stored: ...
    @property
    def blame(self) -> str | None: ...
    @property
    def error(self) -> str | None: ...


class AttemptRow(NamedTuple):
    """Failed attempts.  `subject_id`: id of the request, copy or import request."""

    subject_id: int
    tries: int
    last: Stored
    next: Stored
    blame: str
    error: str


def attempt_fact(row: AttemptColumns) -> AttemptFact | None:
    """Return the attempts in a row; None if there was none."""
    if not row.tries:
        return None
    return AttemptFact(row.tries, posix(row.last), posix(row.next), row.blame or "", row.error or "")
