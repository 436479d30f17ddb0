"""What a worker does with a task: the one place that goes from kinds of job to the code that does them.

That code is imported by the worker that first needs it, and not by the parent, which never runs it.
"""

from __future__ import annotations

from alpenhorn.config import Transfer
from alpenhorn.errors import AlpenhornError
from alpenhorn.extensions.registry import node_io, remote_io
from alpenhorn.io.base import Node, TapeNode
from alpenhorn.model import (
    CheckJob,
    DeleteJob,
    DetectJob,
    IdentityJob,
    ImportJob,
    InitJob,
    ProbeJob,
    PullJob,
    RememberJob,
    Reporter,
    SearchJob,
    SurveyJob,
    Task,
)


class Worker:
    """Called in a worker with each task it is handed.  `silent`: the other hosts that did not answer a deletion's look
    at keepers, and why; they are left alone for the rest of the run."""

    def __init__(self, transfer: Transfer) -> None:
        self.transfer = transfer
        self.silent: dict[str, AlpenhornError] = {}

    def prepare(self) -> None:
        """Import what every run needs, while the parent is still busy with what it needs itself."""
        import alpenhorn.io.default
        import alpenhorn.run.nodes  # noqa: F401

    def __call__(self, task: Task, report: Reporter) -> object:
        job = task.job
        node = node_io(job.node)
        match job:
            case PullJob():
                from alpenhorn.run.pull import pull

                if job.source.host == job.node.host:
                    return pull(job, node, task.stage, self.transfer, report, node_io(job.source))
                witness = remote_io(job.source).witness
                return pull(
                    job, node, task.stage, self.transfer, report, witness=witness, deadline=task.deadline
                )
            case CheckJob():
                from alpenhorn.run.check import check

                return check(job, node, report)
            case DeleteJob():
                from alpenhorn.run.delete import delete

                return delete(job, node, report, self.transfer.ssh, self.silent)
            case ImportJob():
                from alpenhorn.run.import_files import import_files

                return import_files(job, node, report)
            case SearchJob():
                from alpenhorn.run.search import search

                return search(job, node)
            case DetectJob():
                from alpenhorn.run.detect import detect

                return detect(job, node, report)
            case SurveyJob():
                from alpenhorn.run.survey import survey

                return survey(job, node)
            case RememberJob():
                from alpenhorn.run.survey import remember

                return remember(job, node, task.stage)
            case ProbeJob():
                from alpenhorn.run.nodes import probe

                return probe(job, node)
            case IdentityJob():
                from alpenhorn.run.identity import write

                return write(job, node, task.stage)
            case InitJob():
                from alpenhorn.run.nodes import initialise

                return initialise(job, node)
            case _:
                return _seldom(task, node, report)


def _seldom(task: Task, node: Node, report: Reporter) -> object:
    """Jobs of whose types the parent knows nothing in most runs."""
    from alpenhorn.links import LookJob, SeparateJob
    from alpenhorn.manifests import CompareJob, ManifestJob
    from alpenhorn.reconciling import ReconcileJob
    from alpenhorn.tape import TapeJob

    match task.job:
        case TapeJob():
            from alpenhorn.run.tape import tape

            assert isinstance(node, TapeNode)
            return tape(task.job, node, report)
        case CompareJob():
            from alpenhorn.run.manifest import compare

            return compare(task.job, node, report)
        case LookJob():
            from alpenhorn.run.links import look

            return look(task.job, node, report)
        case SeparateJob():
            from alpenhorn.run.links import separate

            return separate(task.job, node, task.stage, report)
        case ReconcileJob():
            from alpenhorn.run.reconcile import reconcile

            return reconcile(task.job, node, report)
        case ManifestJob():
            from alpenhorn.run.manifest import write

            return write(task.job, node, task.stage, report)
        case _:
            raise TypeError(f"no worker knows what to do with {type(task.job).__name__}")
