"""Bandwidth limits: their format, and the one in force at a time.

A limit is the value of the key `bwlimit`, in a host's `[transfer]` or in a node's `io_config`.  That of a
host applies to what its pulls fetch from other hosts; copies between its own nodes do not use the link.  That
of a node applies to what pulls write to it and read from it, on any host: it protects a disk or a mount as
well as a link.  If several apply, the lowest counts.  The jobs of a run share it
(`alpenhorn/plan/shares.py`).

Times of day are local times of the host, not UTC as in output: a link is shared with people, whose working
hours follow summer time.

Units are those of `alpenhorn/sizes.py`: 5 M is 5,000,000 bytes, not 5 MiB as in rsync's `5M`; the lower of both
meanings never exceeds the intended limit.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from alpenhorn.sizes import parse_rate

Rates = tuple[tuple[int, int], ...]
"""(start as second of the day, bytes per second or 0 for no limit), in ascending order; the last one lasts
over midnight until the first.  Empty: never a limit.
"""

LEAST = 1024  # bytes per second; the minimum of rsync
MOST = 10**12
DAY = 86_400
EXPECTED = (
    'bytes per second, from 1024 on, such as 500000, "5 MB" or "2 MiB"; 0 or "off" for no limit; or a table of these by'
    ' local time, such as {"08:00" = "5 MB", "18:00" = "off"}'
)

_TIME = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])")


class CurrentLimit(NamedTuple):
    """The limit in force.

    `rate`: bytes per second, 0 for no limit.  `until`: POSIX seconds at which the next one begins, None for
    never.
    """

    rate: int
    until: float | None


def read(value: Any) -> Rates:
    """Parse a value of TOML or JSON.

    Raises ValueError with a text for each fault, to be appended to the key's name.
    """
    if not isinstance(value, Mapping):
        rate = _read_rate(value)
        if rate is None:
            raise ValueError(f" = {_shown(value)}: expected {EXPECTED}")
        return ((0, rate),) if rate else ()
    faults: list[str] = []
    if not value:
        faults.append(f" is empty: expected {EXPECTED}")
    rates: dict[int, int] = {}
    for text, entry in value.items():
        match = _TIME.fullmatch(str(text))
        rate = _read_rate(entry)
        if match is None:
            faults.append(f".{_shown(text)}: expected a time of day from 00:00 to 23:59")
        if rate is None:
            faults.append(
                f".{_shown(text)} = {_shown(entry)}: expected bytes per second, from {LEAST} on, such as 500000,"
                ' "5 MB" or "2 MiB"; or 0 or "off" for no limit'
            )
        if match is None or rate is None:
            continue
        second = int(match[1]) * 3600 + int(match[2]) * 60
        if second in rates:
            faults.append(f".{_shown(text)}: duplicate time")
        rates[second] = rate
    if faults:
        raise ValueError(*faults)
    return tuple(sorted(rates.items())) if any(rates.values()) else ()


def rate_at(rates: Rates, second: int) -> int:
    """Return the limit at a second of the day; 0 for none."""
    rate = rates[-1][1] if rates else 0
    for start, next_rate in rates:
        if start > second:
            break
        rate = next_rate
    return rate


def seconds_left(rates: Rates, second: int) -> int | None:
    """Return the seconds from a second of the day until the next limit begins; None for never."""
    now = rate_at(rates, second)
    ahead = sorted((start - second - 1) % DAY + 1 for start, rate in rates if rate != now)
    return ahead[0] if ahead else None


def in_force(rates: Rates, now: float) -> CurrentLimit:
    """Return the limit at a POSIX time, by the local time of this process."""
    local = time.localtime(now)
    second = local.tm_hour * 3600 + local.tm_min * 60 + min(local.tm_sec, 59)
    left = seconds_left(rates, second)
    if left is None:
        return CurrentLimit(rate_at(rates, second), None)
    days, at = divmod(second + left, DAY)
    # By hours and minutes: when clocks change, seconds since midnight give another time of day.
    hours, minutes = divmod(at // 60, 60)
    until = time.mktime(
        (local.tm_year, local.tm_mon, local.tm_mday + days, hours, minutes, at % 60, 0, 0, -1)
    )
    # In the hour repeated at the end of summer time, a time of day may mean the earlier one.
    return CurrentLimit(rate_at(rates, second), until if until > now else now + left)


def _read_rate(value: Any) -> int | None:
    """Return bytes per second; None for an invalid value."""
    if isinstance(value, str):
        if value.strip().lower() == "off":
            return 0
        try:
            value = parse_rate(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if value == 0 or LEAST <= value <= MOST else None


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 80 else shown[:77] + "…"
