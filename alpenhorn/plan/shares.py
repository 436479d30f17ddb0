"""Which pulls under a bandwidth limit may begin, and how much of the limit each may use.

rsync is told its limit when it begins, once for all, so what the jobs of a run use together is kept below a limit by
handing it out: a job has its share from the moment at which it may begin until it has ended, and what has no share
waits here and not in the pool.  The share of a job alone is the whole limit, so that the last file of a night is not
brought at a quarter of the rate; at most STREAMS jobs share a limit, whatever the number of workers, since more of
them only make each slower.  A share does not grow when others end: rsync could not be told, and the next job gets what
became free.

When the time of day brings another limit, a job ends where it is (its part is kept), and the rest is planned anew.
So nothing, an rsync session included, ever runs on at a limit that is no longer in force.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from alpenhorn.bwlimit import CurrentLimit
from alpenhorn.model.pulls import PullJob
from alpenhorn.model.tasks import Task
from alpenhorn.plan.limits import Limits

STREAMS = 4  # enough for a link whose latency keeps one connection below its rate
LEAST_SHARE = 16 * 1024  # bytes per second; less makes a file take for ever
_WHOLE = 12  # a limit in parts, of which 1, 2, 3 and 4 jobs can have as many each

Key = int | str
"""What has a limit: a node's id, or LINK."""

LINK = "link"
"""This host's way to the others."""


class Waiting(NamedTuple):
    """A task that was planned for the limits that are in force `until` then."""

    task: Task
    keys: tuple[Key, ...]
    until: float | None


class _Grant(NamedTuple):
    parts: Mapping[Key, int]
    node_id: int


class Shares:
    """`jobs`: how many tasks may run at once on a node, for nodes that have such a limit."""

    def __init__(self, limits: Limits, jobs: Mapping[int, int]) -> None:
        self._limits = limits
        self._jobs = jobs
        self._waiting: list[Waiting] = []
        self._running: dict[tuple[int, str], _Grant] = {}

    def expected(self, limits: Iterable[CurrentLimit]) -> int:
        """The share that a job under these limits has while there is much to do; 0: none of them limits it."""
        return min((limit.rate // self._streams(limit.rate) for limit in limits if limit.rate), default=0)

    def add(self, waiting: Waiting) -> None:
        self._waiting.append(waiting)

    def waits(self, group_id: int) -> bool:
        """Whether anything waits to come into that group."""
        return any(_job(waiting.task).node.group_id == group_id for waiting in self._waiting)

    def withdraw(self, keep: Callable[[Waiting], bool]) -> list[Task]:
        """Take out again, and return, what waits and is not to be kept."""
        out = [waiting.task for waiting in self._waiting if not keep(waiting)]
        self._waiting = [waiting for waiting in self._waiting if keep(waiting)]
        return out

    def start(self, limits: Mapping[Key, CurrentLimit]) -> list[Task]:
        """The tasks that may begin now, in the order in which they came, each with its share.

        `limits`: what is in force now, for every key that waits.
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
        # By identity: tasks of two thousand files each take long to compare.
        begun = {id(waiting) for waiting, _ in started}
        self._waiting = [waiting for waiting in self._waiting if id(waiting) not in begun]
        return [task for _, task in started]

    def ended(self, task: Task) -> None:
        """A task that was started has ended, or was not begun after all."""
        self._running.pop((task.node_id, task.stage), None)

    def _able(self) -> list[Waiting]:
        """What waits for nothing but its share: more than a node's `jobs` would keep theirs without using it."""
        busy = Counter(grant.node_id for grant in self._running.values())
        able = []
        for waiting in self._waiting:
            node_id = waiting.task.node_id
            if busy[node_id] < self._jobs.get(node_id, self._limits.workers):
                busy[node_id] += 1
                able.append(waiting)
        return able

    def _parts(
        self, waiting: Waiting, limits: Mapping[Key, CurrentLimit], wanting: Mapping[Key, int]
    ) -> dict[Key, int] | None:
        """How many parts of each limit the task gets; None when one has nothing left."""
        parts: dict[Key, int] = {}
        for key in waiting.keys:
            rate = limits[key].rate
            if rate == 0:
                continue
            taken = [grant.parts[key] for grant in self._running.values() if key in grant.parts]
            left, places = _WHOLE - sum(taken), self._streams(rate) - len(taken)
            if left <= 0 or places <= 0:
                return None
            parts[key] = max(1, left // min(places, wanting[key]))
        return parts

    def _granted(
        self, waiting: Waiting, limits: Mapping[Key, CurrentLimit], parts: dict[Key, int]
    ) -> tuple[Waiting, Task]:
        task = waiting.task
        self._running[task.node_id, task.stage] = _Grant(parts, task.node_id)
        rate = min((limits[key].rate * part // _WHOLE for key, part in parts.items()), default=0)
        ends = [until for key in waiting.keys if (until := limits[key].until) is not None]
        return waiting, task._replace(
            job=_job(task)._replace(rate=rate, until=min(ends, default=None)),
            deadline=self._limits.deadline(task.files, task.bytes, rate),
        )

    def _streams(self, rate: int) -> int:
        """How many jobs may share a limit."""
        return max(1, min(STREAMS, self._limits.workers, rate // LEAST_SHARE)) if rate else 1


def _job(task: Task) -> PullJob:
    assert isinstance(task.job, PullJob)
    return task.job
