"""The other machines of a cluster: which of them share the storage of a node, and which one gets a task."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Container

from alpenhorn.config import Sync
from alpenhorn.coordinator.report import Report
from alpenhorn.errors import StorageError
from alpenhorn.extensions.registry import node_io
from alpenhorn.kinds import JOBS
from alpenhorn.model.cluster import Machine, ShareJob, ShareOutcome
from alpenhorn.model.nodes import NodeFact, StorageKind
from alpenhorn.model.tasks import Done, Fate, Job, Task, TaskKind
from alpenhorn.reasons import Code, code_of

_log = logging.getLogger(__name__)

SHARE_SECONDS = 60.0  # longer than it takes to connect, and for all machines to answer or not


class Machines:
    """The machines of one run, and the worklist of the tasks that find out which share a node's storage.

    `locked`: the nodes whose run locks this run holds; no other node is tried or used on another machine.  Until a
    node was tried, this host does its work.
    """

    kind = TaskKind.SHARE

    def __init__(self, sync: Sync, report: Report, locked: Container[int]) -> None:
        self._sync = sync
        self._report = report
        self._locked = locked
        self._untried: dict[int, NodeFact] = {}
        self._tried: set[int] = set()
        self._usable: dict[int, dict[str, Machine]] = {}  # by node id and address
        self._busy: Counter[str] = Counter()
        self._lost: set[str] = set()
        self._in_directory: dict[int, bool] = {}  # by node id

    def plan(self, task: Task) -> None:
        """Note the nodes that a planned task uses."""
        if self._sync.scheduler:
            for node in self._used(task.job) or ():
                if node.id in self._locked and node.id not in self._tried:
                    self._untried[node.id] = node

    def tasks(self, stage: Callable[[], str]) -> list[Task]:
        """Return the tasks that find out which machines share the nodes noted so far.  `stage`: returns a new name."""
        nodes, self._untried = self._untried, {}
        self._tried.update(nodes)
        return [
            Task(TaskKind.SHARE, node.id, ShareJob(node), 0, deadline=SHARE_SECONDS, stage=stage())
            for node in nodes.values()
        ]

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
        return here if all(map(self._is_directory, here)) else None

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
        if done.fate is not Fate.DONE:
            warnings.lasting(Code.MACHINES_NOT_TRIED(node=node.name, why=done.why))
            return
        outcome: ShareOutcome = done.outcome
        if outcome.error:
            warnings.lasting(outcome.error, subject=self._sync.scheduler)
        for machine, error in outcome.proofs:
            if error:
                shown = f"{machine.name} ({machine.address})"
                why = Code.MACHINE_LEFT_OUT(machine=shown, node=node.name, why=error)
                # Not the address, which changes whenever the worker is restarted.
                warnings.lasting(why, subject=f"{machine.name}, {node.name}")
            else:
                self._usable.setdefault(node.id, {})[machine.address] = machine

    def task_withdrawn(self, task: Task) -> None:
        self._tried.discard(task.node_id)
