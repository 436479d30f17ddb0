"""Carry out a task in a worker: find the code for its type of job, and call it.

That code is imported by the worker that first needs it, and not by the parent, which never runs it.
"""

from __future__ import annotations

from typing import NamedTuple

from alpenhorn.config import Transfer
from alpenhorn.errors import AlpenhornError
from alpenhorn.extensions.registry import node_io
from alpenhorn.kinds import JOBS, load
from alpenhorn.model.tasks import Reporter, Task


class Surroundings(NamedTuple):
    """What a job may be given beside its node (see `alpenhorn.kinds.Handler`).

    `silent`: the other hosts that did not answer a deletion's look at keepers, and why; they are left alone for the
    rest of the run.
    """

    stage: str
    deadline: float | None
    report: Reporter
    transfer: Transfer
    ssh: tuple[str, ...]
    silent: dict[str, AlpenhornError]


class Worker:
    """Called in a worker with each task it is handed."""

    def __init__(self, transfer: Transfer) -> None:
        self.transfer = transfer
        self.silent: dict[str, AlpenhornError] = {}

    def prepare(self) -> None:
        """Import what every run needs, while the parent is still busy with what it needs itself."""
        import alpenhorn.io.default
        import alpenhorn.workers.nodes  # noqa: F401

    def __call__(self, task: Task, report: Reporter) -> object:
        handler = JOBS[type(task.job).__name__]
        around = Surroundings(
            task.stage, task.deadline, report, self.transfer, self.transfer.ssh, self.silent
        )
        return load(handler.target)(
            task.job, node_io(task.job.node), *(getattr(around, name) for name in handler.takes)
        )
