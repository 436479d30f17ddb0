"""Between the index's datetimes (naive UTC), POSIX seconds, and what a user is shown."""

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


def ago(span: datetime.timedelta) -> str:
    """`4 minutes`, `1 hour`, `3 days`: in the largest unit of which it has one."""
    seconds = max(0, int(span.total_seconds()))
    units = ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))
    length, unit = next((one for one in units if seconds >= one[0]), units[-1])
    number = seconds // length
    return f"{number} {unit}" + ("" if number == 1 else "s")
