"""The kinds of work and of jobs, and where the code of each is.  Register new ones here only.

Code is named and not imported, since most runs have no work of most kinds.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, NamedTuple

from alpenhorn.model.nodes import StorageKind
from alpenhorn.model.tasks import TaskKind


class WorkKind(NamedTuple):
    """A kind of work, as named by `--only`.  A target is "module:name".

    `tasks`: the kinds of its tasks.  `pending`: target of a function that returns whether there may be any
    (see `alpenhorn.scan.work`).  `worklist`: target of a class (see `Worklist` in
    `alpenhorn.coordinator.context`).  `preview`: target of a function that yields what `plan` shows of it
    (see `alpenhorn.coordinator.preview`).  `decides_late`: its worklist decides again about a task just
    before a worker gets it.
    """

    name: str
    tasks: tuple[TaskKind, ...]
    pending: str
    worklist: str
    preview: str
    decides_late: bool = False


# In the order of planning.  Deletions precede checks, so that no copy is read just before it is deleted.
WORK = (
    WorkKind(
        "import",
        (TaskKind.IMPORT, TaskKind.SURVEY, TaskKind.SEARCH, TaskKind.REMEMBER),
        "alpenhorn.scan.work:imports",
        "alpenhorn.coordinator.imports:Imports",
        "alpenhorn.coordinator.preview:imports",
    ),
    WorkKind(
        "tape",
        (TaskKind.TAPE,),
        "alpenhorn.scan.work:tape",
        "alpenhorn.coordinator.tape:Tapes",
        "alpenhorn.coordinator.preview:tape",
    ),
    WorkKind(
        "delete",
        (TaskKind.DELETE,),
        "alpenhorn.scan.work:deletions",
        "alpenhorn.coordinator.deletions:Deletions",
        "alpenhorn.coordinator.preview:deletions",
        decides_late=True,
    ),
    WorkKind(
        "check",
        (TaskKind.CHECK,),
        "alpenhorn.scan.work:checks",
        "alpenhorn.coordinator.checks:Checks",
        "alpenhorn.coordinator.preview:checks",
    ),
    WorkKind(
        "pull",
        (TaskKind.PULL,),
        "alpenhorn.scan.work:pulls",
        "alpenhorn.coordinator.pulls:Pulls",
        "alpenhorn.coordinator.preview_pulls:pulls",
    ),
    # After the pulls, which find out how much room they lack.
    WorkKind(
        "trash",
        (TaskKind.TRASH,),
        "alpenhorn.scan.work:trash",
        "alpenhorn.coordinator.trash:Trashes",
        "alpenhorn.coordinator.preview:trash",
    ),
)

NAMES = tuple(work.name for work in WORK)


class Handler(NamedTuple):
    """The function that carries out a type of job in a worker.

    It is called with the job, the storage object of the job's node, and the fields of
    `alpenhorn.workers.worker.JobContext` named in `takes`.

    `uses`: the fields of the job with further nodes whose storage it uses, if they are of this host; None if the job is
    never carried out on another machine of a cluster.
    """

    target: str
    takes: tuple[str, ...] = ()
    uses: tuple[str, ...] | None = None


JOBS = {
    "ProbeJob": Handler("alpenhorn.workers.nodes:probe"),
    "InitJob": Handler("alpenhorn.workers.nodes:initialise"),
    "IdentityJob": Handler("alpenhorn.workers.identity:write", ("stage",)),
    "SurveyJob": Handler("alpenhorn.workers.survey:survey"),
    "RememberJob": Handler("alpenhorn.workers.survey:remember", ("stage",)),
    "SearchJob": Handler("alpenhorn.workers.search:search"),
    "DetectJob": Handler("alpenhorn.workers.detect:detect", ("report",)),
    "ImportJob": Handler("alpenhorn.workers.import_files:import_files", ("report",), ()),
    "TapeJob": Handler("alpenhorn.workers.tape:tape", ("report",)),
    "BatchJob": Handler("alpenhorn.workers.tape_batches:run_batch", ("report",)),
    "DeleteJob": Handler(
        "alpenhorn.workers.delete:delete", ("report", "transfer", "silent"), ("keepers", "remote")
    ),
    "RestoreJob": Handler("alpenhorn.workers.trash:restore", ("report",)),
    "EmptyJob": Handler("alpenhorn.workers.trash:empty", ("report",)),
    "LookIntoTrashJob": Handler("alpenhorn.workers.trash:look", ("report",)),
    "CheckJob": Handler("alpenhorn.workers.check:check", ("report",), ()),
    "PullJob": Handler(
        "alpenhorn.workers.pull:pull_from",
        ("stage", "transfer", "report", "deadline", "without_tar"),
        ("source",),
    ),
    "CompareJob": Handler("alpenhorn.workers.manifest:compare", ("report",)),
    "ManifestJob": Handler("alpenhorn.workers.manifest:write", ("stage", "report")),
    "LookJob": Handler("alpenhorn.workers.links:look", ("report",)),
    "SeparateJob": Handler("alpenhorn.workers.links:separate", ("stage", "report")),
    "ExportJob": Handler("alpenhorn.workers.export:export_files", ("report",)),
    "ReconcileJob": Handler("alpenhorn.workers.reconcile:reconcile", ("report",)),
    "ShareJob": Handler("alpenhorn.workers.cluster_proof:share", ("stage", "report", "cluster")),
    "ProofJob": Handler("alpenhorn.workers.cluster_there:prove"),
    "HoldJob": Handler("alpenhorn.workers.cluster_there:hold"),
}
"""The handlers for nodes whose copies are files in a directory, by the name of the job's type."""

OBJECT_JOBS = {
    "ProbeJob": Handler("alpenhorn.workers.objects.nodes:probe"),
    "InitJob": Handler("alpenhorn.workers.nodes:initialise"),
    "IdentityJob": Handler("alpenhorn.workers.objects.nodes:identify"),
    "DeleteJob": Handler(
        "alpenhorn.workers.objects.delete:delete", ("report", "transfer", "silent", "deadline")
    ),
    "CheckJob": Handler("alpenhorn.workers.objects.check:check", ("report", "deadline")),
    "PullJob": Handler(
        "alpenhorn.workers.objects.pull:pull_from",
        ("stage", "transfer", "report", "deadline", "without_tar"),
    ),
    "CompareJob": Handler("alpenhorn.workers.objects.look:compare", ("report", "deadline")),
    "ManifestJob": Handler("alpenhorn.workers.objects.manifest:write", ("stage", "report", "deadline")),
    "LookJob": Handler("alpenhorn.workers.objects.look:look", ("report", "deadline")),
    "ReconcileJob": Handler("alpenhorn.workers.objects.reconcile:reconcile", ("report", "deadline")),
}
"""The same for nodes whose copies are objects, which have fewer kinds of work."""

HANDLERS = {StorageKind.DIRECTORY: JOBS, StorageKind.OBJECTS: OBJECT_JOBS}
"""By kind of storage.  A job without a handler there is not planned for such nodes."""


def load(target: str) -> Any:
    """Import and return "module:name"."""
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)
