"""Sizes, numbers and times, formatted for people."""

from __future__ import annotations

from datetime import UTC, datetime

UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def size(bytes_: int | float | None) -> str:
    """Format bytes in a fitting binary unit, such as `10.00 KiB`; `-` if unknown."""
    if bytes_ is None:
        return "-"
    if abs(bytes_) < 1024:
        return f"{int(bytes_)} B"
    value = float(bytes_)
    for unit in UNITS:
        # 1023.995 would be rounded to "1024.00".
        if abs(value) < 1023.995 or unit == UNITS[-1]:
            break
        value /= 1024
    return f"{value:.2f} {unit}"


def percent(part: float | None) -> str:
    """Format a fraction as `50.0 %`; `-` if unknown."""
    return "-" if part is None else f"{100 * part:.1f} %"


def time(moment: datetime | None) -> str:
    """Format a time as `2026-11-22 11:20:03`, without its zone; `-` if there is none."""
    return "-" if moment is None else moment.replace(tzinfo=None).isoformat(" ", "seconds")


def in_local_time(moment: datetime) -> datetime:
    """Convert naive UTC to local time with a zone; times near the years 1 and 9999, which have none, stay UTC."""
    known = moment.replace(tzinfo=UTC)
    try:
        return known.astimezone()
    except (OverflowError, ValueError, OSError):
        return known


def zoned(moment: datetime | None) -> str:
    """Format naive UTC, or a time with a zone, as `2026-11-22 11:20:03 UTC`; `-` if there is none."""
    return "-" if moment is None else f"{time(moment)} {moment.tzname() or 'UTC'}"


def age(seconds: float) -> str:
    """Format a duration in its largest unit, in as few characters as possible: `5 min`, `3 h`, `12 d`."""
    whole = max(0, int(seconds))
    units = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))
    length, unit = next((one for one in units if whole >= one[0]), units[-1])
    return f"{whole // length} {unit}"


def count(number: int, thing: str, plural: str = "") -> str:
    """Format a number with a noun: `1 file`, `2 files`."""
    return f"{number} {thing if number == 1 else plural or thing + 's'}"


def part(done: int, whole: int) -> str:
    """Format a part of bytes and the whole in the unit of the whole: `1.21 of 2.87 GiB`."""
    shown = size(whole)
    number, _, unit = shown.rpartition(" ")
    if unit == "B":
        return f"{done} of {shown}"
    return f"{done / 1024 ** UNITS.index(unit):.2f} of {number} {unit}"


def clock(seconds: float) -> str:
    """Format a duration as `2:11` or, from an hour on, `1:02:11`."""
    hours, rest = divmod(int(seconds), 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"
