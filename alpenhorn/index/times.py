"""Between the index's datetimes (naive UTC) and POSIX seconds."""

from __future__ import annotations

import datetime


def posix(moment: datetime.datetime | str) -> float:
    """POSIX seconds of a naive UTC datetime; SQLite hands them out as text."""
    if isinstance(moment, str):
        moment = datetime.datetime.fromisoformat(moment)
    return moment.replace(tzinfo=datetime.UTC).timestamp()


def naive(seconds: float) -> datetime.datetime:
    """Naive UTC of POSIX seconds, in whole seconds."""
    return datetime.datetime.fromtimestamp(int(seconds), datetime.UTC).replace(tzinfo=None)
