"""The pool of a simulated host: alpenhorn's own queues, with simulated workers in place of processes."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from typing import Any, NamedTuple

from alpenhorn.model.tasks import Fate, Task
from alpenhorn.reasons import Why
from alpenhorn.workers.lock_holder import LockHolder
from alpenhorn.workers.pool import Pool, _Worker
from simulation.schedule import Schedule
from simulation.world import Medium


class Outcome(NamedTuple):
    """How a task ends; see `alpenhorn.model.tasks.Done`."""

    fate: Fate = Fate.DONE
    outcome: Any = None
    error: Why = ""


class Begun(NamedTuple):
    """A task that is under way.  `end`: POSIX seconds; `outcome`: is called at that time."""

    end: float
    outcome: Callable[[], Outcome]


class SimulatedPool(Pool):
    """Runs each task as long as `begin` says.

    `before_sleep` is called with the time of the next end before the host sleeps.  A wait ends with the next task,
    whatever its timeout: what a run looks at every few seconds changes only with the end of a task here.
    """

    def __init__(
        self,
        size: int,
        schedule: Schedule,
        begin: Callable[[Task], Begun],
        before_sleep: Callable[[float], None],
    ) -> None:
        self._schedule = schedule
        self._begin = begin
        self._before_sleep = before_sleep
        self._number = count()
        self._ends: list[tuple[float, int, _Worker, Begun]] = []
        super().__init__(size, _no_work)

    def _start(self, number: int) -> _Worker:
        worker = self._workers[number] = _Worker(number, -1, -1, -1, -1)
        return worker

    def _assign(self, worker: _Worker, task: Task) -> None:
        worker.task = task
        worker.started = self._schedule.now
        self._running[task.node_id] += 1
        begun = self._begin(task)
        heapq.heappush(self._ends, (begun.end, next(self._number), worker, begun))

    def _look(self, end: float | None) -> bool:
        if end != 0.0 and self._ends:
            at = self._ends[0][0]
            # A task that takes no time must not let another host run in between, which it would now and then.
            if at > self._schedule.now:
                self._before_sleep(at)
                self._schedule.sleep_until(at)
        while self._ends and self._ends[0][0] <= self._schedule.now:
            _, _, worker, begun = heapq.heappop(self._ends)
            self._finish(worker, *begun.outcome())
        return False

    def _finish(self, worker: _Worker, fate: Fate, outcome: object, error: Why) -> None:
        super()._finish(worker, fate, outcome, error)
        self._ended[-1] = self._ended[-1]._replace(seconds=self._schedule.now - worker.started)

    def close(self) -> None:
        self._workers.clear()
        super().close()


def _no_work(*_: object) -> None:
    raise AssertionError("a simulated worker runs no code")


class SimulatedLock(LockHolder):
    """The run lock of a node, whose host has one run at a time; its note is on the medium."""

    def __init__(self, path: str, medium: Medium) -> None:
        self.path = path
        self._medium = medium

    def ask(self, wait: float | None = None) -> None:
        pass

    def answer(self, seconds: float, stopping: Callable[[], bool]) -> bool:
        return True

    @property
    def lost(self) -> bool:
        return False

    def noted(self) -> str:
        return self._medium.note

    def note(self, text: str) -> None:
        self._medium.note = text

    def release(self, seconds: float = 0.0) -> bool:
        return True

    def start_release(self) -> None:
        pass
