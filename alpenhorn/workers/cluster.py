"""The worker of a run with a cluster: it hands tasks for other machines on, and carries out all others itself.

So the pool, its queues, deadlines and records are the same with and without a cluster.
"""

from __future__ import annotations

import logging

from alpenhorn.config import Transfer
from alpenhorn.model.cluster import ShareOutcome
from alpenhorn.model.tasks import Reporter, Task, TaskKind
from alpenhorn.outside import exception
from alpenhorn.reasons import Code
from alpenhorn.workers.worker import Worker

_log = logging.getLogger(__name__)


class ClusterWorker(Worker):
    """The function that a worker calls with each task if a scheduler of Dask is configured at the address `scheduler`.

    A machine that cannot be reached gets no further task from this worker.
    """

    def __init__(self, transfer: Transfer, scheduler: str) -> None:
        super().__init__(transfer)
        self._scheduler = scheduler
        self._lost: set[str] = set()

    def __call__(self, task: Task, report: Reporter) -> object:
        if task.kind is TaskKind.SHARE or task.at:
            try:
                # Dask takes half a second of CPU time, and a run without work, or an idle worker, needs none.
                from alpenhorn.workers.cluster_link import Cluster, NotBegun
            except ImportError as error:
                return ShareOutcome(error=Code.DASK_MISSING(why=exception(error)))
            if self.cluster is None:
                self.cluster = Cluster(self._scheduler, self.transfer)
            if task.at and task.at not in self._lost:
                try:
                    return self.cluster.carry_out(task, report)
                except NotBegun as error:
                    self._lost.add(task.at)
                    _log.warning("%s; this host does its jobs", error)
        return super().__call__(task._replace(at=""), report)
