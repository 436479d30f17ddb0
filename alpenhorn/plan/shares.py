"""Shares of bandwidth limits: which pulls may start, and how much of a limit each may use.

The limit of an rsync process is fixed when it starts.  So a job has a fixed share of the limit from its start to its
end, and jobs without a share wait here, not in the pool.  A single job gets the whole limit, so that the last file of a
night is not pulled at a quarter of the rate.  At most STREAMS jobs share a limit, since more only make each slower.
The share of a job that has ended goes to the next one.  If none waits, and the last job of a limit would end much
earlier with all of it, that job stops as well, and continues with the whole limit.

When the limit changes with the time of day, jobs stop (their partial files are kept), and the rest is planned again.
So nothing, not even an rsync session, continues at a limit that is no longer in force.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from alpenhorn.bwlimit import CurrentLimit
from alpenhorn.fs.placing import PARTS
from alpenhorn.model.pulls import PullJob
from alpenhorn.model.tasks import Task
from alpenhorn.plan.limits import Limits

STREAMS = 4  # enough for a link whose latency keeps one connection below its rate
LEAST_SHARE = 16 * 1024  # bytes per second; less makes a file take for ever
GAIN_SECONDS = (
    10.0  # a job stops for a larger share if it then ends this much earlier; a new session costs some
)
_WHOLE = 12  # parts of a limit, divisible among 1, 2, 3 and 4 jobs

Key = int | str
"""The owner of a limit: a node's id, or LINK."""

LINK = "link"
"""The link between this host and the others."""


class QueuedPull(NamedTuple):
    """A task that waits for a share.  `until`: when the limits for which it was planned end."""

    task: Task
    keys: tuple[Key, ...]
    until: float | None


class _Share(NamedTuple):
    """The parts of the limits that a running task has, and the rate in bytes per second; 0 for none."""

    task: Task
    parts: Mapping[Key, int]
    rate: int
    interrupted: bool = False


class Shares:
    """The shares of all limits.  `jobs`: the most tasks that may run at once, for nodes with such a limit."""

    def __init__(self, limits: Limits, jobs: Mapping[int, int]) -> None:
        self._limits = limits
        self._jobs = jobs
        self._waiting: list[QueuedPull] = []
        # By the node and stage of a task: its parts of the limits.
        self._running: dict[tuple[int, str], _Share] = {}

    def expected(self, limits: Iterable[CurrentLimit]) -> int:
        """Return the share that a job under these limits has while many wait; 0 for no limit."""
        return min((limit.rate // self._streams(limit.rate) for limit in limits if limit.rate), default=0)

    def add(self, waiting: QueuedPull) -> None:
        self._waiting.append(waiting)

    def waits(self, group_id: int) -> bool:
        """Return whether a pull into that group waits."""
        return any(_job(waiting.task).node.group_id == group_id for waiting in self._waiting)

    def withdraw(self, keep: Callable[[QueuedPull], bool]) -> list[Task]:
        """Remove and return the waiting tasks for which `keep` is false."""
        out = [waiting.task for waiting in self._waiting if not keep(waiting)]
        self._waiting = [waiting for waiting in self._waiting if keep(waiting)]
        return out

    def start(self, limits: Mapping[Key, CurrentLimit]) -> list[Task]:
        """Return the tasks that may start now, in the order in which they were added, each with its share.

        `limits`: the limits in force now, for every key that waits.
        """
        able = self._able()
        wanting = Counter(key for waiting in able for key in waiting.keys)
        started = []
        for waiting in able:
            parts = self._parts(waiting, limits, wanting)
            if parts is None:
                continue
            for key in waiting.keys:
                wanting[key] -= 1
            started.append(self._granted(waiting, limits, parts))
        # By identity, since comparing tasks of thousands of files is slow.
        begun = {id(waiting) for waiting, _ in started}
        self._waiting = [waiting for waiting in self._waiting if id(waiting) not in begun]
        return [task for _, task in started]

    def ended(self, task: Task) -> bool:
        """Free the share of a task that has ended or was not started; return whether it was asked to end early."""
        share = self._running.pop((task.node_id, task.stage), None)
        return share is not None and share.interrupted

    def interrupted(self, limits: Mapping[Key, CurrentLimit], left_b: Callable[[Task], int]) -> list[Task]:
        """Return the tasks to end early, because each is the last one of its limits and would end much earlier with all
        of them.  `left_b`: the bytes that a task has still to pull.
        """
        wanted = {key for waiting in self._waiting for key in waiting.keys}
        users = Counter(key for share in self._running.values() for key in share.parts)
        found = []
        for name, share in self._running.items():
            if share.interrupted or not share.rate or any(users[key] > 1 for key in share.parts):
                continue
            rate = min((limits[key].rate for key in share.parts if limits[key].rate), default=0)
            if not wanted.isdisjoint(share.parts) or rate <= share.rate:
                continue
            left = left_b(share.task)
            # Of a single file without a stage of its own nothing is kept.
            rest = left if share.task.files > 1 or share.task.stage.startswith(PARTS) else share.task.bytes
            if left / share.rate - rest / rate >= GAIN_SECONDS:
                self._running[name] = share._replace(interrupted=True)
                found.append(share.task)
        return found

    def _able(self) -> list[QueuedPull]:
        """Return what waits only for a share: tasks beyond a node's `jobs` would hold shares without using them."""
        busy = Counter(node_id for node_id, _ in self._running)
        able = []
        for waiting in self._waiting:
            node_id = waiting.task.node_id
            if busy[node_id] < self._jobs.get(node_id, self._limits.workers):
                busy[node_id] += 1
                able.append(waiting)
        return able

    def _parts(
        self, waiting: QueuedPull, limits: Mapping[Key, CurrentLimit], wanting: Mapping[Key, int]
    ) -> dict[Key, int] | None:
        """Return how many parts of each limit a task gets, None if one limit has none left."""
        parts: dict[Key, int] = {}
        for key in waiting.keys:
            rate = limits[key].rate
            if rate == 0:
                continue
            taken = [share.parts[key] for share in self._running.values() if key in share.parts]
            left, places = _WHOLE - sum(taken), self._streams(rate) - len(taken)
            if left <= 0 or places <= 0:
                return None
            parts[key] = max(1, left // min(places, wanting[key]))
        return parts

    def _granted(
        self, waiting: QueuedPull, limits: Mapping[Key, CurrentLimit], parts: dict[Key, int]
    ) -> tuple[QueuedPull, Task]:
        task = waiting.task
        rate = min((limits[key].rate * part // _WHOLE for key, part in parts.items()), default=0)
        self._running[task.node_id, task.stage] = _Share(task, parts, rate)
        ends = [until for key in waiting.keys if (until := limits[key].until) is not None]
        return waiting, task._replace(
            job=_job(task)._replace(rate=rate, until=min(ends, default=None)),
            deadline=self._limits.deadline(task.files, task.bytes, rate),
        )

    def _streams(self, rate: int) -> int:
        """Return how many jobs may share a limit."""
        return max(1, min(STREAMS, self._limits.workers, rate // LEAST_SHARE)) if rate else 1


def _job(task: Task) -> PullJob:
    assert isinstance(task.job, PullJob)
    return task.job
