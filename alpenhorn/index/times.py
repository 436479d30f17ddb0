"""Between the index's datetimes (naive UTC), POSIX seconds, and what a user is shown."""

from __future__ import annotations

import datetime
from typing import overload

EPOCH = datetime.datetime(1970, 1, 1)


@overload
def moment(value: datetime.datetime | str | float) -> datetime.datetime: ...
@overload
def moment(value: None) -> None: ...
def moment(value: datetime.datetime | str | float | None) -> datetime.datetime | None:
    """Return the naive UTC datetime of a column: text on SQLite, or POSIX seconds where a program wrote a number."""
    if isinstance(value, str):
        return datetime.datetime.fromisoformat(value)
    if isinstance(value, int | float):
        return _of_number(value)
    return value


def _of_number(seconds: float) -> datetime.datetime:
    """Return the datetime of POSIX seconds, the last or the first one there is where they lie beyond it."""
    try:
        return EPOCH + datetime.timedelta(seconds=seconds)
    except (OverflowError, ValueError):
        return datetime.datetime.max if seconds > 0 else datetime.datetime.min


def posix(value: datetime.datetime | str | float) -> float:
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
