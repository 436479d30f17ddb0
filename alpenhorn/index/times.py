"""Between the index's datetimes (naive UTC), POSIX seconds, and what a user is shown.

This is the one door for dates: SQLite keeps whatever is written into a column, and other programs write integers,
dates with a zone, and text that is no date.
"""

from __future__ import annotations

import datetime

EPOCH = datetime.datetime(1970, 1, 1)


def moment(value: object) -> datetime.datetime | None:
    """Return a datetime column as naive UTC; None for null, and for what is no date.

    SQLite gives text; a number there is POSIX seconds.  Raises nothing.
    """
    if isinstance(value, str):
        try:
            value = datetime.datetime.fromisoformat(value)
        except ValueError:
            return None
    if isinstance(value, datetime.datetime):
        return value if value.tzinfo is None else _without_zone(value)
    if isinstance(value, int | float):
        try:
            return EPOCH + datetime.timedelta(seconds=value)
        except (OverflowError, ValueError):  # too far away, or not a number
            return None
    return None


def _without_zone(value: datetime.datetime) -> datetime.datetime | None:
    try:
        return value.astimezone(datetime.UTC).replace(tzinfo=None)
    except OverflowError:  # its year in UTC is 0 or 10000
        return None


def known_moment(value: object) -> datetime.datetime:
    """As `moment`, for a column that is never null: 1970 for what is no date."""
    return moment(value) or EPOCH


def posix(value: object) -> float:
    """Return the POSIX seconds of a datetime column; 0 for null, and for what is no date."""
    return known_moment(value).replace(tzinfo=datetime.UTC).timestamp()


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
