"""The other machines of a cluster: which of them share the storage of a node, and which one gets a task."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Container
from math import inf

from alpenhorn.config import Sync
from alpenhorn.coordinator.report import Report
from alpenhorn.errors import StorageError
from alpenhorn.extensions.registry import has_objects, node_io
from alpenhorn.kinds import JOBS
from alpenhorn.model.cluster import Machine, ShareJob, ShareOutcome
from alpenhorn.model.nodes import NodeFact, StorageKind
from alpenhorn.model.tasks import Done, Fate, Job, Task, TaskKind
from alpenhorn.reasons import Code, code_of

_log = logging.getLogger(__name__)

SHARE_SECONDS = 60.0  # longer than it takes to connect, and for all machines to answer or not
AGAIN = 20.0  # seconds after which a node is tried on machines that have joined the cluster


class Machines:
    """The machines of one run, and the worklist of the tasks that find out which share a node's storage.

    `locked`: the nodes whose run locks this run holds; no other node is tried or used on another machine; `monotonic`:
    seconds by a clock that is never put back.  Until a node was tried, this host does its work.
    """

    kind = TaskKind.SHARE

    def __init__(
        self, sync: Sync, report: Report, locked: Container[int], monotonic: Callable[[], float]
    ) -> None:
        self._sync = sync
        self._report = report
        self._locked = locked
        self._monotonic = monotonic
        self._unusable = not sync.scheduler
        self._registered: int | None = None  # most workers that the scheduler had, None if unknown
        self._untried: dict[int, NodeFact] = {}
        self._trying: dict[int, Task] = {}  # by node id
        self._tried: dict[int, float] = {}  # by node id: when, by `monotonic`
        self._known: dict[int, set[str]] = {}  # by node id: addresses that were tried
        self._usable: dict[int, dict[str, Machine]] = {}  # by node id and address
        self._busy: Counter[str] = Counter()
        self._lost: set[str] = set()
        self._in_directory: dict[int, bool] = {}  # by node id

    def plan(self, task: Task) -> None:
        """Note the nodes that a planned task uses, if machines may have joined since they were tried."""
        if self._unusable:
            return
        now = self._monotonic()
        for node in self._used(task.job) or ():
            if (
                node.id in self._locked
                and node.id not in self._trying
                and now - self._tried.get(node.id, -inf) >= AGAIN
            ):
                self._untried[node.id] = node

    def tasks(self, stage: Callable[[], str]) -> list[Task]:
        """Return tasks that find out which machines share the nodes noted so far.  `stage`: returns a new name.

        One worker is left to the work of this host, which would otherwise wait for a scheduler that does not answer.
        """
        if self._unusable:
            return []
        jobs = self._sync.jobs
        room = jobs - 1 - len(self._trying) if jobs > 1 else len(self._untried)
        found = []
        for node in list(self._untried.values())[: max(0, room)]:
            del self._untried[node.id]
            job = ShareJob(node, frozenset(self._known.get(node.id, ())))
            task = Task(TaskKind.SHARE, node.id, job, 0, deadline=SHARE_SECONDS, stage=stage())
            self._trying[node.id] = task
            self._tried[node.id] = self._monotonic()
            found.append(task)
        return found

    def trying(self) -> list[Task]:
        """Return the tasks of this worklist that are queued or running."""
        return list(self._trying.values())

    def finish(self) -> None:
        """Report that the cluster had no machine while this run had work for it."""
        if self._registered == 0:
            self._report.warnings.lasting(
                Code.SCHEDULER_WITHOUT_WORKERS(scheduler=self._sync.scheduler), subject=self._sync.scheduler
            )

    def place(self, task: Task) -> Task:
        """Return the task with the machine that gets it; unchanged if none is free that shares all that it uses."""
        used = self._used(task.job)
        if not used:
            return task
        self.plan(task)  # a deletion gets its keepers only now
        shared = [self._usable.get(node.id, {}) for node in used]
        free = [
            machine
            for address, machine in shared[0].items()
            if address not in self._lost
            and self._busy[address] < machine.threads
            and all(address in one for one in shared)
        ]
        if not free:
            return task
        chosen = min(free, key=lambda machine: self._busy[machine.address] / machine.threads)
        self._busy[chosen.address] += 1
        _log.debug("a %s job on node %s goes to machine %s", task.kind, task.job.node.name, chosen.address)
        return task._replace(at=chosen.address)

    def release(self, done: Done) -> None:
        """Note that a task has ended, and whether its machine is lost."""
        at = done.task.at
        if not at:
            return
        if done.fate is not Fate.ABANDONED:  # otherwise it may still be active there
            self._busy[at] -= 1
        if code_of(done.error) is Code.MACHINE_LOST and at not in self._lost:
            self._lost.add(at)
            self._report.warnings.add(done.reason)

    def _used(self, job: Job) -> list[NodeFact] | None:
        """Return the nodes of this host whose storage a job uses; None if it is always done here."""
        uses = JOBS[type(job).__name__].uses
        if uses is None:
            return None
        nodes = [job.node]
        for name in uses:
            value = getattr(job, name)
            nodes += [value] if isinstance(value, NodeFact) else value
        here = [node for node in nodes if node.host == self._sync.host]
        others = [node for node in nodes if node.host != self._sync.host]
        return here if all(map(self._is_directory, here)) and not any(map(has_objects, others)) else None

    def _is_directory(self, node: NodeFact) -> bool:
        """Return whether a node's copies are files; for objects, only this host has the configuration."""
        if node.id not in self._in_directory:
            try:
                self._in_directory[node.id] = node_io(node).storage is StorageKind.DIRECTORY
            except StorageError:
                self._in_directory[node.id] = False
        return self._in_directory[node.id]

    # as a worklist

    def feed(self) -> list[Task]:
        return []

    def task_ended(self, done: Done) -> None:
        node, warnings = done.task.job.node, self._report.warnings
        self._trying.pop(node.id, None)
        if done.fate is not Fate.DONE:
            warnings.lasting(Code.MACHINES_NOT_TRIED(node=node.name, why=done.why))
            return
        outcome: ShareOutcome = done.outcome
        if outcome.error:
            self._unusable = True
            warnings.lasting(outcome.error, subject=self._sync.scheduler)
        if outcome.registered is not None:
            self._registered = max(self._registered or 0, outcome.registered)
        for machine, error in outcome.proofs:
            self._known.setdefault(node.id, set()).add(machine.address)
            if error:
                shown = f"{machine.name} ({machine.address})"
                why = Code.MACHINE_LEFT_OUT(machine=shown, node=node.name, why=error)
                # Not the address, which changes whenever the worker is restarted.
                warnings.lasting(why, subject=f"{machine.name}, {node.name}")
            else:
                self._usable.setdefault(node.id, {})[machine.address] = machine

    def task_withdrawn(self, task: Task) -> None:
        self._trying.pop(task.node_id, None)
        self._tried.pop(task.node_id, None)
