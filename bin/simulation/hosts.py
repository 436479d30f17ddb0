"""The hosts: each begins a run of alpenhorn at fixed times, as cron does."""

from __future__ import annotations

import math
import os

from alpenhorn.config import Config, Database, DeleteLimit, Sync, Transfer
from alpenhorn.coordinator.report import Asked, Report, Unwatched
from alpenhorn.coordinator.sync import sync
from alpenhorn.index.times import naive
from alpenhorn.record.claims import LEASE
from simulation.archive import Archive
from simulation.pool import SimulatedLock, SimulatedPool
from simulation.schedule import Schedule
from simulation.work import Workers
from simulation.world import World

HOUR = 3600.0


class Host:
    """A host and its runs.

    `runs`: number of those that ended; `failures`: of those with an exit status other than 0; `longest_s`: the most
    seconds that one lasted; `last`: the report of the last one.
    """

    def __init__(self, name: str, offset: float, archive: Archive, world: World, schedule: Schedule) -> None:
        self.name = name
        self.runs = 0
        self.longest_s = 0.0
        self.failures = 0
        self.last = Report()
        self._busy_s = 0.0
        self._began: float | None = None  # the run that is under way
        self._offset = offset
        self._archive = archive
        self._world = world
        self._schedule = schedule
        runs = archive.scenario.runs
        self._every = runs.every_hours * HOUR
        self._asked = Asked(time_limit=runs.time_limit_hours * HOUR)
        self._config = Config(
            Database(archive.url),
            Sync(
                host=name,
                jobs=runs.jobs,
                archive_copy_count=archive.scenario.policy.copies,
                auto_verify_min_days=runs.verify_days,
                # People release what they want to be deleted.
                delete_limit=DeleteLimit(share=1.0),
            ),
            # A row stands for many files, which would be pulled by many jobs with a deadline each.
            Transfer(pull_bytes_per_second=0.0, tar=False),
        )
        self._nodes = {f"/{medium.name}": id for id, medium in world.present.items()}

    def live(self, workers: Workers) -> None:
        """Begin a run at each of the fixed times, unless one is under way."""
        index = self._archive.index
        try:
            with SimulatedPool(
                self._config.sync.jobs, self._schedule, workers.begin, self._keep_claims
            ) as pool:
                begun = self._schedule.now
                while True:
                    turns = math.floor((self._schedule.now - begun - self._offset) / self._every) + 1
                    self._schedule.sleep_until(begun + self._offset + turns * self._every)
                    self._run(pool)
        finally:
            index.disconnect()  # each thread has a connection of its own

    def _run(self, pool: SimulatedPool) -> None:
        self._began = self._schedule.now
        self.last = sync(
            self._archive.index,
            pool,
            self._config,
            self._asked,
            Unwatched(),
            self._schedule.utc,
            lambda: False,
            monotonic=self._schedule.monotonic,
            lock_holder=self._lock,
        )
        seconds = self._schedule.now - self._began
        self._began = None
        self.runs += 1
        self.failures += self.last.exit_status != 0
        self._busy_s += seconds
        self.longest_s = max(self.longest_s, seconds)

    def busy_s(self) -> float:
        """Return the seconds for which a run was under way until now."""
        return self._busy_s + (0.0 if self._began is None else self._schedule.now - self._began)

    def _lock(self, path: str) -> SimulatedLock:
        root = os.path.dirname(os.path.dirname(path))
        return SimulatedLock(path, self._world.present[self._nodes[root]])

    def _keep_claims(self, until: float) -> None:
        """Extend the claims of this host before it sleeps, in place of the renewals of each five minutes."""
        if until - self._schedule.now > LEASE.total_seconds() / 3:
            index, expires = self._archive.index, naive(until) + LEASE
            index.retry(
                lambda: index.execute(
                    "UPDATE sync_claim SET expires = ? WHERE host = ?", (expires, self.name)
                )
            )
