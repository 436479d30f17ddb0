"""What all the steps of one run share."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from alpenhorn.config import Config
from alpenhorn.coordinator.report import Report
from alpenhorn.index.connection import Index
from alpenhorn.index.times import posix
from alpenhorn.io.base import Group, Node
from alpenhorn.model import Done, Kind, NodeFact, Task
from alpenhorn.plan.batches import Limits
from alpenhorn.plan.pulls import PullPlanner
from alpenhorn.plan.space import Space
from alpenhorn.record.run import Run
from alpenhorn.scan.topology import Topology


@dataclass
class Context:
    """`ios`: the storage objects of the nodes that are worked on, by node id; `groups` those of their
    groups.  `changed` is set by whatever may have made new work possible.  `clock` gives naive UTC.
    `stages` is the run's, not the round's: a worker that could not be killed may still write where it was."""

    index: Index
    config: Config
    run: Run
    clock: Callable[[], datetime.datetime]
    topology: Topology
    ios: dict[int, Node]
    groups: dict[int, Group]
    space: Space
    planner: PullPlanner
    report: Report
    limits: Limits
    stages: Iterator[int]
    changed: bool = False

    @property
    def gone(self) -> dict[int, str]:
        """The nodes of this host that are not worked on, and why."""
        return self.planner.troubles.absent

    def node(self, node_id: int) -> NodeFact:
        return self.topology.nodes[node_id]

    def posix_now(self) -> float:
        return posix(self.clock())

    def stage(self) -> str:
        """A name for a job's stage that no other job of any run has."""
        return f"run-{self.run.id}-{next(self.stages)}"

    def node_gone(self, node_id: int, why: str) -> None:
        """A node stopped answering, or is not what it was: leave it alone for the rest of the run."""
        if node_id not in self.gone:
            name = self.node(node_id).name
            self.report.left_out[name] = why
            self.report.failures.add(f"node {name}: {why}")
            self.planner.node_absent(node_id, why)


class Worklist(Protocol):
    """One kind of work on its way through scan, plan, run and record, within one round."""

    kind: Kind

    def feed(self) -> list[Task]:
        """The next page of tasks; an empty list when there is nothing to hand out now."""
        ...

    def take(self, done: Done) -> None:
        """Record how a task of this kind ended."""
        ...

    def withdrawn(self, task: Task) -> None:
        """A task was taken out of the queue before a worker had it."""
        ...
