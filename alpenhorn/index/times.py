"""Conversions between the index's datetimes (naive UTC), POSIX seconds, and text for the user.

All dates from the index are converted here: SQLite stores any value in a date column, and other programs write
integers, dates with a time zone, and text that is not a date.
"""

from __future__ import annotations

import datetime

EPOCH = datetime.datetime(1970, 1, 1)


def moment(value: object) -> datetime.datetime | None:
    """Convert the value of a datetime column to naive UTC; None for null and for invalid values.

    SQLite returns text; numbers are taken as POSIX seconds.  Never raises.
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
    """Convert the value of a datetime column that is never null to naive UTC; 1970 for invalid values."""
    return moment(value) or EPOCH


def posix(value: object) -> float:
    """Convert the value of a datetime column to POSIX seconds; 0 for null and for invalid values."""
    return known_moment(value).replace(tzinfo=datetime.UTC).timestamp()


def naive(seconds: float) -> datetime.datetime:
    """Convert POSIX seconds to naive UTC in whole seconds."""
    return datetime.datetime.fromtimestamp(int(seconds), datetime.UTC).replace(tzinfo=None)


def ago(span: datetime.timedelta) -> str:
    """Format a duration in its largest unit: `4 minutes`, `1 hour`, `3 days`."""
    seconds = max(0, int(span.total_seconds()))
    units = ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))
    length, unit = next((one for one in units if seconds >= one[0]), units[-1])
    number = seconds // length
    return f"{number} {unit}" + ("" if number == 1 else "s")
