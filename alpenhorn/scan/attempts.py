"""Rows of sync_attempt as facts."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple, Protocol

from alpenhorn.index.times import posix
from alpenhorn.model.tasks import AttemptFact

# `t` is sync_attempt.
ATTEMPT = "t.count AS tries__count, t.last, t.next, t.blame, t.error"

_Stored = str | float | datetime | None  # a time as a row has it


class AttemptColumns(Protocol):
    """A row with the columns of ATTEMPT, all None where there was no attempt."""

    @property
    def tries(self) -> int | None: ...
    @property
    def last(self) -> _Stored: ...
    @property
    def next(self) -> _Stored: ...
    @property
    def blame(self) -> str | None: ...
    @property
    def error(self) -> str | None: ...


class AttemptRow(NamedTuple):
    """`subject_id`: of what the attempts were."""

    subject_id: int
    tries: int
    last: _Stored
    next: _Stored
    blame: str
    error: str


def attempt_fact(row: AttemptColumns) -> AttemptFact | None:
    """Return the attempts that a row tells of; None when there was none."""
    if not row.tries:
        return None
    return AttemptFact(row.tries, posix(row.last), posix(row.next), row.blame or "", row.error or "")
