"""Between the index's datetimes (naive UTC) and POSIX seconds."""

from __future__ import annotations

import datetime
from typing import overload


@overload
def moment(value: datetime.datetime | str) -> datetime.datetime: ...
@overload
def moment(value: None) -> None: ...
def moment(value: datetime.datetime | str | None) -> datetime.datetime | None:
    """A datetime column, naive UTC; SQLite hands them out as text."""
    return datetime.datetime.fromisoformat(value) if isinstance(value, str) else value


def posix(value: datetime.datetime | str) -> float:
    """POSIX seconds of a datetime column."""
    return moment(value).replace(tzinfo=datetime.UTC).timestamp()


def naive(seconds: float) -> datetime.datetime:
    """Naive UTC of POSIX seconds, in whole seconds."""
    return datetime.datetime.fromtimestamp(int(seconds), datetime.UTC).replace(tzinfo=None)
