"""Pulls under bandwidth limits, from the limits in index and configuration to the shares of jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from alpenhorn.bwlimit import CurrentLimit, Rates, in_force
from alpenhorn.coordinator.context import Context
from alpenhorn.coordinator.planning import bwlimit_of
from alpenhorn.model.pulls import Method, PullJob
from alpenhorn.model.tasks import Task
from alpenhorn.plan.batches import JOB_SECONDS
from alpenhorn.plan.pulls import PullDecision
from alpenhorn.plan.shares import LINK, Key, QueuedPull, Shares
from alpenhorn.transfer.methods import METHODS

# Work planned at a time; a longer queue would be carried out on outdated rows.
AHEAD_SECONDS = 2 * JOB_SECONDS


class Limited:
    """The pulls that wait for a share of a limit, or have one."""

    def __init__(self, context: Context) -> None:
        self._context = context
        jobs = {node_id: io.jobs for node_id, io in context.ios.items() if io.jobs is not None}
        self._shares = Shares(context.limits, jobs)
        self._rates: dict[Key, Rates] = {}
        self._now: dict[tuple[int, int, Method], dict[Key, CurrentLimit]] = {}
        self._planned_b: dict[Key, int] = {}

    # --- planning a page -------------------------------------------------------------------------------

    def new_page(self) -> None:
        """Plan the next page with the limits in force now."""
        self._now.clear()
        self._planned_b.clear()

    def enough(self, decision: PullDecision) -> bool:
        """Add a pull to the page; return whether the page is full for its source, destination and method."""
        size_b = decision.fact.size_b or 0
        for key, limit in self._limits(decision).items():
            planned = self._planned_b[key] = self._planned_b.get(key, 0) + size_b
            if limit.rate and planned >= limit.rate * AHEAD_SECONDS:
                return True
        return False

    def share(self, decision: PullDecision) -> int:
        """Return the expected bytes per second of the job of a pull, 0 for no limit."""
        return self._shares.expected(self._limits(decision).values())

    def hold(self, tasks: Iterable[Task]) -> list[Task]:
        """Queue the tasks that are under a limit; return the others."""
        free = []
        for task in tasks:
            limits = self._limits(_job(task))
            if limits:
                ends = [limit.until for limit in limits.values() if limit.until is not None]
                self._shares.add(QueuedPull(task, tuple(limits), min(ends, default=None)))
            else:
                free.append(task)
        return free

    # --- waiting tasks ---------------------------------------------------------------------------------

    def waits(self, group_id: int) -> bool:
        """Return whether a pull into that group waits."""
        return self._shares.waits(group_id)

    def start(self) -> list[Task]:
        """Return the tasks that may start now, each with its share."""
        now = self._context.posix_now()
        return self._shares.start({key: in_force(rates, now) for key, rates in self._rates.items()})

    def ended(self, task: Task) -> bool:
        """Free the share of a task that has ended or was not started; return whether it was asked to end early."""
        return self._shares.ended(task)

    def speed_up(self) -> None:
        """Ask the last pull of a limit to end early if it would be done much earlier with the whole limit.

        The rest of it is planned again.
        """
        if not self._rates:
            return
        now = self._context.posix_now()
        limits = {key: in_force(rates, now) for key, rates in self._rates.items()}
        done = {(one.task.node_id, one.task.stage): one.bytes for one in self._context.activity() if one.task}
        for task in self._shares.interrupted(
            limits,
            lambda task: (
                # bbcp cannot continue a partial file.
                max(0, task.bytes - done.get((task.node_id, task.stage), 0))
                if _job(task).method is not Method.BBCP
                else 0
            ),
        ):
            self._context.interrupt(task)

    def outdated(self) -> list[Task]:
        """Remove and return the tasks that were planned for limits no longer in force."""
        now = self._context.posix_now()
        return self._shares.withdraw(lambda waiting: waiting.until is None or now < waiting.until)

    def withdraw(self, keep: Callable[[Task], bool]) -> list[Task]:
        """Remove and return the waiting tasks for which `keep` is false."""
        return self._shares.withdraw(lambda waiting: keep(waiting.task))

    def _limits(self, pull: PullDecision | PullJob) -> dict[Key, CurrentLimit]:
        """Return the limits of a pull now, including those that are off at this time of day."""
        source, node, method = pull.source, pull.node, pull.method
        assert source is not None and node is not None
        known = self._now.get((source.id, node.id, method))
        if known is None:
            rates: dict[Key, Rates] = {one.id: bwlimit_of(one) for one in (source, node)}
            if METHODS[method].network or METHODS[method].service:
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
