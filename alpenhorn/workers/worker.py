"""Carry out a task in a worker: find the handler for its type of job, and call it.

The handler's module is imported by the first worker that needs it.  What every run needs is imported here, before
the workers are forked: otherwise each of them would import it again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import alpenhorn.io.default
import alpenhorn.workers.lock_holder
import alpenhorn.workers.nodes  # noqa: F401
from alpenhorn.config import Transfer
from alpenhorn.errors import AlpenhornError, StorageError
from alpenhorn.extensions.registry import node_io
from alpenhorn.kinds import HANDLERS, load
from alpenhorn.model.tasks import Reporter, Task
from alpenhorn.reasons import Code

if TYPE_CHECKING:
    from alpenhorn.workers.cluster_link import Cluster


class JobContext(NamedTuple):
    """The arguments available to handlers besides job and node (see `alpenhorn.kinds.Handler`).

    `silent`: other hosts and services that did not answer a deletion's look at keepers, and why; not asked again in
    this run.  `without_tar`: hosts from which no tar stream could be read.  `cluster`: the cluster, if one is
    configured.
    """

    stage: str
    deadline: float | None
    report: Reporter
    transfer: Transfer
    silent: dict[str, AlpenhornError]
    without_tar: set[str]
    cluster: Cluster | None


class Worker:
    """The function that a worker calls with each task."""

    def __init__(self, transfer: Transfer) -> None:
        self.transfer = transfer
        self.silent: dict[str, AlpenhornError] = {}
        self.without_tar: set[str] = set()
        self.cluster: Cluster | None = None

    def close(self) -> None:
        """End the processes on other machines."""
        if self.cluster is not None:
            self.cluster.close()

    def __call__(self, task: Task, report: Reporter) -> object:
        node = node_io(task.job.node)
        handler = HANDLERS[node.storage].get(type(task.job).__name__)
        if handler is None:
            raise StorageError(Code.NODE_WITHOUT_DIRECTORY(node=node.node.name, what=f"{task.kind} work"))
        around = JobContext(
            task.stage, task.deadline, report, self.transfer, self.silent, self.without_tar, self.cluster
        )
        return load(handler.target)(task.job, node, *(getattr(around, name) for name in handler.takes))
