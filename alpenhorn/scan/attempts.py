"""Rows of sync_attempt as facts."""

from __future__ import annotations

from typing import Any

from alpenhorn.index.times import posix
from alpenhorn.model.tasks import AttemptFact


def attempt_fact(row: tuple[Any, ...]) -> AttemptFact:
    """From (count, last, next, blame, error) as the database gives it."""
    tries, last, next_, blame, error = row
    return AttemptFact(tries, posix(last), posix(next_), blame, error)
