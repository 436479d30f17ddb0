"""The results of a simulation: a table over time, totals, and what must never happen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from alpenhorn.index.connection import Index
from alpenhorn.index.times import posix
from simulation.hosts import Host
from simulation.links import Network
from simulation.scenario import DAY, Scenario
from simulation.world import DELETED, World

# A group has one node.
LATENCY = """
    SELECT r.node_from_id, n.id, r.timestamp, r.transfer_completed FROM archivefilecopyrequest r
    JOIN storagenode n ON n.group_id = r.group_to_id WHERE r.completed = 1 AND r.transfer_completed IS NOT NULL
"""
PENDING = "SELECT timestamp FROM archivefilecopyrequest WHERE completed = 0 AND cancelled = 0 ORDER BY id"
WAITING = """
    SELECT r.id, r.file_id, r.timestamp, r.node_from_id, n.id FROM archivefilecopyrequest r
    JOIN storagenode n ON n.group_id = r.group_to_id WHERE r.completed = 0 AND r.cancelled = 0 ORDER BY r.id
"""
NEWEST_DONE = """
    SELECT r.node_from_id, n.id, MAX(r.timestamp) FROM archivefilecopyrequest r
    JOIN storagenode n ON n.group_id = r.group_to_id WHERE r.completed = 1 AND r.transfer_completed IS NOT NULL
    GROUP BY r.node_from_id, n.id
"""
OVERTAKEN = 30 * DAY  # a request waits in vain if one that is so much younger, over the same link, was done


class Sample(NamedTuple):
    """A month.

    `files`: all, at its end; `below`: with fewer copies, or at fewer sites, than the policy says; `at_risk`: with one
    good copy; both the most at the end of any of its days; `lost`: without any, at its end.  `pending`: requests at its
    end, in files; `oldest_d`: age of the oldest one in days.  `moved_tb`: sent through the links.  `runs`: that ended;
    `busy`: the largest share of the time in which a host had a run.
    """

    day: int
    files: int
    below: int
    at_risk: int
    lost: int
    pending: int
    oldest_d: float
    moved_tb: float
    runs: int
    busy: float


class Report:
    """Takes samples, and makes the document of the results.  `last`: when the last sample was taken, POSIX seconds."""

    def __init__(
        self,
        scenario: Scenario,
        world: World,
        network: Network,
        hosts: Sequence[Host],
        index: Index,
        start: float,
    ) -> None:
        self.samples: list[Sample] = []
        self._scenario = scenario
        self._world = world
        self._network = network
        self._hosts = hosts
        self._index = index
        self._start = self.last = start
        self._below = self._at_risk = 0
        self._moved_b = 0
        self._runs = 0
        self._busy_s = {host.name: 0.0 for host in hosts}

    def end_day(self) -> Counter[str]:
        """Count the files at the end of a day, and return the numbers of rows."""
        counts = self._world.counts()
        self._below = max(self._below, counts["below"])
        self._at_risk = max(self._at_risk, counts["at risk"])
        return counts

    def sample(self, now: float) -> Sample:
        """Take a sample, and return it."""
        each = self._scenario.data.files_per_row
        counts = self.end_day()
        pending = [posix(at) for at in self._index.values(PENDING)]
        moved_b = sum(link.bytes for link in self._network.links.values())
        runs = sum(host.runs for host in self._hosts)
        span = now - self.last
        taken = Sample(
            day=round((now - self._start) / DAY),
            files=counts["rows"] * each,
            below=self._below * each,
            at_risk=self._at_risk * each,
            lost=counts["lost"] * each,
            pending=len(pending) * each,
            oldest_d=round((now - min(pending)) / DAY, 1) if pending else 0.0,
            moved_tb=round((moved_b - self._moved_b) / 1e12, 3),
            runs=runs - self._runs,
            busy=round(max((host.busy_s() - self._busy_s[host.name]) / span for host in self._hosts), 3),
        )
        self.samples.append(taken)
        self.last, self._moved_b, self._runs = now, moved_b, runs
        self._below = self._at_risk = 0
        self._busy_s = {host.name: host.busy_s() for host in self._hosts}
        return taken

    def document(self, now: float) -> dict[str, Any]:
        """Return the results as plain data."""
        waits = self._waits()
        world, each = self._world, self._scenario.data.files_per_row
        causes = [world.lost[file_id] for file_id, held in world.holders.items() if not held]
        return {
            "scenario": {
                "sites": len(self._scenario.sites),
                "nodes": len(world.present),
                "files_per_row": each,
                "days": round((now - self._start) / DAY),
            },
            "samples": [sample._asdict() for sample in self.samples],
            "links": [
                {
                    "from": source,
                    "to": to,
                    "tb": round(link.bytes / 1e12, 3),
                    "latency_h": _latency(waits.get((source, to), [])),
                }
                for (source, to), link in self._network.links.items()
            ],
            "latency_h": _latency([wait for some in waits.values() for wait in some]),
            "runs": {
                host.name: {
                    "runs": host.runs,
                    "failed": host.failures,
                    "longest_h": round(host.longest_s / 3600, 1),
                }
                for host in self._hosts
            },
            "disks": {"died": world.deaths, "rotted_files": world.rotted * each},
            "deleted_files": world.deleted * each,
            "lost_files": {why: causes.count(why) * each for why in sorted(set(causes))},
            "reasons": self._reasons(),
            "violations": self.violations(),
        }

    def _waits(self) -> dict[tuple[str, str], list[float]]:
        """Return the seconds from each request that was done to its copy, by the sites of source and copy."""
        found: dict[tuple[str, str], list[float]] = {}
        present = self._world.present
        for node_from, node_to, asked, done in self._index.execute(LATENCY).fetchall():
            way = present[node_from].site, present[node_to].site
            found.setdefault(way, []).append(posix(done) - posix(asked))
        return found

    def _reasons(self) -> dict[str, list[str]]:
        """Return what the last run of each host said of the work that is still pending."""
        found = {}
        for host in self._hosts:
            notes = (host.last.failures, host.last.waiting, host.last.later, host.last.warnings)
            said = [str(line) for one in notes for line in one.lines()]
            if said:
                found[host.name] = said[:10]
        return found

    def violations(self) -> list[str]:
        """Return what must never happen, and has."""
        found = [
            f"file {file_id}: deleting its copy on {node} left it below the policy, although no disk had failed"
            for file_id, node in self._world.wrong_deletions
        ]
        found += [
            f"file {file_id}: its last copy was deleted"
            for file_id, why in self._world.lost.items()
            if why == DELETED
        ]
        return found + list(self._starved())

    def _starved(self) -> Iterator[str]:
        """Yield the requests that wait although everything for them is there, and much younger ones were done."""
        present, holders = self._world.present, self._world.holders
        newest: dict[tuple[str, str], float] = {}
        for node_from, node_to, asked in self._index.execute(NEWEST_DONE).fetchall():
            way = present[node_from].site, present[node_to].site
            newest[way] = max(newest.get(way, 0.0), posix(asked))
        for request_id, file_id, asked, node_from, node_to in self._index.execute(WAITING).fetchall():
            source, to = present[node_from], present[node_to]
            possible = (
                source.usable
                and to.usable
                and source in holders[file_id]
                and to.free_b > source.files[file_id]
            )
            if possible and newest.get((source.site, to.site), 0.0) - posix(asked) > OVERTAKEN:
                yield f"request {request_id}: still pending, although one {OVERTAKEN / DAY:.0f} days younger was done"


def _latency(waits: Sequence[float]) -> dict[str, float | None]:
    """Return the number of requests, and quantiles of their waits in hours."""
    waits = sorted(waits)
    parts = {"median": 0.5, "95": 0.95, "max": 1.0}
    return {"requests": len(waits)} | {
        name: round(waits[min(len(waits) - 1, int(part * len(waits)))] / 3600, 2) if waits else None
        for name, part in parts.items()
    }
