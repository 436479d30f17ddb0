"""The links between sites: each sends one file after the other, at its speed, and breaks off now and then.

A real link carries several transfers at once, each of them slower.  In the same time the same bytes arrive.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from typing import NamedTuple

from simulation.scenario import YEAR, Links

CONNECT_SECONDS = 30.0  # until ssh gives up
STALL_SECONDS = 600.0  # until a session without progress is ended, as `stall_timeout`


class Sent(NamedTuple):
    """A transfer.  `end`: POSIX seconds; `bytes`: how many arrive; `fault`: why not all of them do, "" if they do."""

    end: float
    bytes: int
    fault: str = ""


class Link:
    """A link in one direction.

    `bytes`: what has arrived.  `outages`: (begin, end) in POSIX seconds, one after the other.
    """

    def __init__(self, values: Links, start: float, end: float, chance: random.Random) -> None:
        self.bytes = 0
        self.outages: list[tuple[float, float]] = []
        self._bytes_per_second = values.mbit_s * 1e6 / 8
        self._failures = values.failures
        self._chance = chance
        self._free_at = start
        at = start
        while values.outages_per_year:
            at += chance.expovariate(values.outages_per_year) * YEAR
            if at >= end:
                break
            self.outages.append((at, at := at + values.outage_hours * 3600))

    def down_until(self, at: float) -> float | None:
        """Return the end of the outage at a time, None if there is none."""
        number = bisect_right(self.outages, (at, float("inf"))) - 1
        return self.outages[number][1] if number >= 0 and at < self.outages[number][1] else None

    def send(self, now: float, size_b: int) -> Sent:
        """Begin a transfer, once those that began before are done."""
        if not self._bytes_per_second or self.down_until(now) is not None:
            return Sent(now + CONNECT_SECONDS, 0, "Connection timed out")
        start = max(now, self._free_at)
        seconds = size_b / self._bytes_per_second
        sent, fault, wait = size_b, "", 0.0
        if self._chance.random() < self._failures:
            sent, fault = int(size_b * self._chance.random()), "Connection reset by peer"
            seconds *= sent / size_b if size_b else 0.0
        number = bisect_right(self.outages, (now, float("inf")))
        if number < len(self.outages) and self.outages[number][0] < start + seconds:
            left = max(0.0, self.outages[number][0] - start)
            sent, fault = int(left * self._bytes_per_second), "no data arrived"
            seconds, wait = left, STALL_SECONDS
        self._free_at = start + seconds
        return Sent(start + seconds + wait, sent, fault)


class Network:
    """The links of a scenario, by (from, to)."""

    def __init__(self) -> None:
        self.links: dict[tuple[str, str], Link] = {}

    def add(self, source: str, to: str, link: Link) -> None:
        self.links[source, to] = link

    def between(self, source: str, to: str) -> Link:
        return self.links[source, to]
