"""Bring files back from the trash of a node, delete what is due there, and list what the index does not know."""

from __future__ import annotations

from collections.abc import Container
from math import inf

from alpenhorn.errors import AlpenhornError, StorageError
from alpenhorn.fs.trashed import Trash, why_not
from alpenhorn.fs.tree_lock import LOCK_SECONDS, TreeLock
from alpenhorn.io.base import DirectoryNode
from alpenhorn.model.tasks import Reporter
from alpenhorn.model.trash import (
    EmptyJob,
    EmptyOutcome,
    FoundInTrash,
    LookIntoTrashJob,
    LookIntoTrashOutcome,
    Restored,
    RestoreJob,
    RestoreOutcome,
    RestoreResult,
)


def restore(job: RestoreJob, node: DirectoryNode, report: Reporter) -> RestoreOutcome:
    """Move files back to their paths, and flush that.

    If the flush fails, none is certain, and all are tried again.
    """
    lock = TreeLock(node.root, LOCK_SECONDS, report.stopping)
    try:
        with node.trash() as trash:
            results = trash.restore(job.files, lock, report.stopping)
            trash.check()
    except StorageError as error:
        return RestoreOutcome(error=error.reason)
    except (AlpenhornError, OSError) as error:
        why = why_not(error)
        return RestoreOutcome(tuple(RestoreResult(file, Restored.FAILED, why) for file in job.files))
    finally:
        lock.close()
    report.progress(len(results), 0)
    return RestoreOutcome(tuple(RestoreResult(*result) for result in results))


def empty(job: EmptyJob, node: DirectoryNode, report: Reporter) -> EmptyOutcome:
    """Delete batches, until there is enough room or the run is asked to stop."""
    outcome = EmptyOutcome()
    room_b = inf if job.room_b is None else job.room_b
    try:
        with node.trash() as trash:
            for batch in job.batches:
                if report.stopping() or outcome.freed_b >= room_b:
                    break
                report.begin(batch)
                needed = job.needed.get(batch, frozenset())
                outcome = _empty(trash, batch, needed, room_b, node, report, outcome)
    except (AlpenhornError, OSError) as error:
        return outcome._replace(error=why_not(error))
    return outcome


def _empty(
    trash: Trash,
    batch: str,
    needed: Container[str],
    room_b: float,
    node: DirectoryNode,
    report: Reporter,
    before: EmptyOutcome,
) -> EmptyOutcome:
    found = trash.empty(batch, needed, room_b - before.freed_b, node.space_used, report.stopping)
    report.progress(len(found.paths), found.freed_b)
    after = before._replace(files=before.files + len(found.paths), freed_b=before.freed_b + found.freed_b)
    if found.whole:
        return after._replace(emptied=(*before.emptied, batch))
    after = after._replace(partly=(*before.partly, (batch, tuple(found.paths))))
    return after._replace(left=(*before.left, (batch, found.why))) if found.why else after


def look(job: LookIntoTrashJob, node: DirectoryNode, report: Reporter) -> LookIntoTrashOutcome:
    """List the files of batches; a batch without any is removed."""
    found: list[tuple[str, tuple[FoundInTrash, ...]]] = []
    try:
        with node.trash() as trash:
            for batch in job.future:
                trash.begin_age(batch)
            for batch in job.batches:
                if report.stopping():
                    break
                report.begin(batch)
                files = tuple(
                    FoundInTrash(path, node.space_used(status)) for path, status in trash.files(batch)
                )
                if files or not trash.remove_directories(batch):
                    found.append((batch, files))
    except (AlpenhornError, OSError) as error:
        return LookIntoTrashOutcome(tuple(found), why_not(error))
    return LookIntoTrashOutcome(tuple(found))
