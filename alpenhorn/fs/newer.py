"""Recognise a file that was written after a time, as opposed to one whose bytes have rotted."""

from __future__ import annotations

import datetime
import os


def written_since(status: os.stat_result, since: float) -> bool:
    """Return whether a file was written at or after `since` (POSIX seconds).

    Both times must be that late.  A write sets both, while data that rots changes neither.  A copy has the modification
    time of its source, which may be in the future, and a new hard link changes the status change time.
    """
    return status.st_mtime >= since and status.st_ctime >= since


def modified_at(status: os.stat_result) -> str:
    """Return the modification time of a file as text (UTC)."""
    return time_text(status.st_mtime)


def time_text(moment: float) -> str:
    """Return a time in POSIX seconds as text (UTC)."""
    seconds = int(moment)
    try:
        return f"{datetime.datetime.fromtimestamp(seconds, datetime.UTC):%Y-%m-%d %H:%M:%S}"
    except (OverflowError, ValueError):  # the year is above 9999
        return str(seconds)
