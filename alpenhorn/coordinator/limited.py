"""The pulls of a round that are under a bandwidth limit, from the limits in rows and configuration to their jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from alpenhorn.bwlimit import InForce, Rates, in_force
from alpenhorn.coordinator.context import Context
from alpenhorn.coordinator.planning import bwlimit_of
from alpenhorn.model.nodes import NodeFact
from alpenhorn.model.pulls import Method, PullJob
from alpenhorn.model.tasks import Task
from alpenhorn.plan.batches import JOB_SECONDS
from alpenhorn.plan.shares import LINK, Key, QueuedPull, Shares
from alpenhorn.transfer.methods import METHODS

# So much is planned at a time, so that what waits here does not wait on rows that are long out of date.
AHEAD_SECONDS = 2 * JOB_SECONDS

Way = tuple[NodeFact, NodeFact, Method]
"""Source, destination, and how the files come."""


class Limited:
    """What waits for its share of a limit, and what goes at one."""

    def __init__(self, context: Context) -> None:
        self._context = context
        jobs = {node_id: io.jobs for node_id, io in context.ios.items() if io.jobs is not None}
        self._shares = Shares(context.limits, jobs)
        self._rates: dict[Key, Rates] = {}
        self._now: dict[tuple[int, int, Method], dict[Key, InForce]] = {}
        self._planned_b: dict[Key, int] = {}

    # --- planning a page -------------------------------------------------------------------------------

    def new_page(self) -> None:
        """What is planned from now on is planned with the limits that are in force now."""
        self._now.clear()
        self._planned_b.clear()

    def enough(self, way: Way, size_b: int) -> bool:
        """Whether no more should be planned in this page, after a file of that length that goes by that way."""
        for key, limit in self._limits(way).items():
            planned = self._planned_b[key] = self._planned_b.get(key, 0) + size_b
            if limit.rate and planned >= limit.rate * AHEAD_SECONDS:
                return True
        return False

    def share(self, source: NodeFact, node: NodeFact, method: Method) -> int:
        """How many bytes per second a job may be expected to move; 0: no limit."""
        return self._shares.expected(self._limits((source, node, method)).values())

    def hold(self, tasks: Iterable[Task]) -> list[Task]:
        """Keep the tasks that are under a limit; returns the others."""
        free = []
        for task in tasks:
            job = _job(task)
            limits = self._limits((job.source, job.node, job.method))
            if limits:
                ends = [limit.until for limit in limits.values() if limit.until is not None]
                self._shares.add(QueuedPull(task, tuple(limits), min(ends, default=None)))
            else:
                free.append(task)
        return free

    # --- what waits ------------------------------------------------------------------------------------

    def waits(self, group_id: int) -> bool:
        """Whether anything that is planned waits to come into that group."""
        return self._shares.waits(group_id)

    def start(self) -> list[Task]:
        """The tasks that may begin now, each with its share."""
        now = self._context.posix_now()
        return self._shares.start({key: in_force(rates, now) for key, rates in self._rates.items()})

    def ended(self, task: Task) -> None:
        """A task has ended, or was not begun after all."""
        self._shares.ended(task)

    def outdated(self) -> list[Task]:
        """What was planned for another limit than is in force now, taken out."""
        now = self._context.posix_now()
        return self._shares.withdraw(lambda waiting: waiting.until is None or now < waiting.until)

    def withdraw(self, keep: Callable[[Task], bool]) -> list[Task]:
        """What waits and is not to be kept, taken out."""
        return self._shares.withdraw(lambda waiting: keep(waiting.task))

    def _limits(self, way: Way) -> dict[Key, InForce]:
        """The limits by that way that are in force now, with those that are none just now."""
        source, node, method = way
        known = self._now.get((source.id, node.id, method))
        if known is None:
            rates: dict[Key, Rates] = {one.id: bwlimit_of(one) for one in (source, node)}
            if METHODS[method].network:
                rates[LINK] = self._context.config.transfer.bwlimit
            rates = {key: some for key, some in rates.items() if some}
            self._rates |= rates
            now = self._context.posix_now()
            known = {key: in_force(some, now) for key, some in rates.items()}
            self._now[source.id, node.id, method] = known
        return known


def _job(task: Task) -> PullJob:
    assert isinstance(task.job, PullJob)
    return task.job
