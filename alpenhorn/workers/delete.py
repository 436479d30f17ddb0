"""Delete copies: remove the claimed files, or move them to the trash, and the directories that become empty.

Before each removal, the keepers and the age of the claim are checked; before any removal is recorded, the
directories are flushed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

from alpenhorn.config import Transfer
from alpenhorn.errors import AlpenhornError, Stopped, StorageError, UnsafePath
from alpenhorn.extensions.registry import node_io
from alpenhorn.fs.newer import modified_at, written_since
from alpenhorn.fs.removal import DirectoryEntry, FileDiffers, Removal
from alpenhorn.fs.trash import BatchWriter, NotTrashed
from alpenhorn.io.base import DirectoryNode, TapeNode
from alpenhorn.model.copies import HasFile
from alpenhorn.model.deletions import DeleteFile, DeleteJob, DeleteOutcome, DeleteResult
from alpenhorn.model.nodes import NodeFact, StorageKind
from alpenhorn.model.tasks import Reporter, Verdict
from alpenhorn.reasons import Code, Reason, Why
from alpenhorn.workers.keepers import JobKeepers, KeeperDecision, KeepersElsewhere

if TYPE_CHECKING:
    from alpenhorn.io.objects import ObjectNode

GONE = (Verdict.DELETED, Verdict.MISSING)

_log = logging.getLogger(__name__)


class _Kept(Exception):
    """The file must stay."""

    def __init__(self, why: Reason) -> None:
        super().__init__(why)
        self.why = why


class _Written(Exception):
    """The file was written after the copy was last known to be good, at `modified`."""

    def __init__(self, modified: str) -> None:
        super().__init__(modified)
        self.modified = modified


class ClaimsExpired(Exception):
    """The claims are too old for further removals."""


def delete(
    job: DeleteJob,
    node: DirectoryNode,
    report: Reporter,
    transfer: Transfer,
    silent: dict[str, AlpenhornError] | None = None,
) -> DeleteOutcome:
    """Remove the files one by one, until the run is asked to stop, the storage fails, or the claims expire.

    `transfer`: has the command for looking at keepers on other hosts, if the job names any.  `silent`:
    hosts and nodes with objects that did not answer, and why; shared by the jobs of a worker.

    Storage errors are returned, not raised, so that what was removed is always reported.
    """
    results: list[DeleteResult] = []
    error: Why = ""
    expired = False
    try:
        with (
            node.removal() as removal,
            keepers_of(job, report, transfer.ssh, {} if silent is None else silent) as keepers,
        ):
            trash = removal.trash(job.trash) if job.trash else None
            try:
                error = _remove(job, node, removal, trash, keepers, report, results)
            except ClaimsExpired:
                expired = True
            if not error:
                _prune(node, removal, report)
            results = _off_tape(_durable(results, removal, trash), node)
    except (StorageError, OSError) as gone:
        error = _why(gone)
    return DeleteOutcome(tuple(results), error, expired)


def keepers_of(
    job: DeleteJob, report: Reporter, ssh: Sequence[str], silent: dict[str, AlpenhornError]
) -> JobKeepers:
    """Return the keepers of a job, by where they are."""
    objects = {fact.id: node for fact in (*job.keepers, *job.remote) if (node := _objects_of(fact))}
    elsewhere: list[KeepersElsewhere] = []
    if objects:
        from alpenhorn.workers.objects.keepers import ObjectKeepers  # few archives have any

        elsewhere.append(ObjectKeepers(job, objects, report.stopping, silent))
    if remote := [fact for fact in job.remote if fact.id not in objects]:
        from alpenhorn.workers.remote_keepers import RemoteKeepers  # few archives look at other hosts

        elsewhere.append(RemoteKeepers(job.files, remote, ssh, report.stopping, silent))
    return JobKeepers([fact for fact in job.keepers if fact.id not in objects], elsewhere)


def _objects_of(fact: NodeFact) -> ObjectNode | None:
    """Return the object of a node whose copies are objects; None for others, and for one with wrong settings."""
    try:
        node = node_io(fact)
    except StorageError:
        return None  # its keepers do not count, for that reason
    if node.storage is not StorageKind.OBJECTS:
        return None
    return cast("ObjectNode", node)


def _remove(
    job: DeleteJob,
    node: DirectoryNode,
    removal: Removal,
    trash: BatchWriter | None,
    keepers: JobKeepers,
    report: Reporter,
    results: list[DeleteResult],
) -> Why:
    """Fill `results`; return why the node cannot be used any more, or "".  Raises ClaimsExpired."""
    for file in job.files:
        if report.stopping():
            break
        check_age(job)
        report.begin(file.path)
        try:
            to = None if file.for_room else trash
            result = _attempt(job, file, node, removal, to, keepers)
        except Stopped:
            break
        if result.verdict not in (Verdict.DELETED, Verdict.KEPT):
            # The results of an unmounted or dead disk prove nothing about its files.
            try:
                removal.check()
            except (StorageError, OSError) as gone:
                if result.verdict is Verdict.FAILED:
                    results.append(result)
                return _why(gone)
        if result.verdict not in GONE:
            report.fail()
        results.append(result)
        report.progress(1, 0)
    return ""


def _attempt(
    job: DeleteJob,
    file: DeleteFile,
    node: DirectoryNode,
    removal: Removal,
    trash: BatchWriter | None,
    keepers: JobKeepers,
) -> DeleteResult:
    judgement = KeeperDecision("", ())

    def decide(entry: DirectoryEntry) -> None:
        nonlocal judgement
        if written_since(entry.status, file.since):
            raise _Written(modified_at(entry.status))
        judgement = keepers.judge(file, entry)
        if judgement.kept:
            raise _Kept(judgement.kept)
        check_age(job)  # again: looking at keepers on slow storage takes time

    result = _attempted(file, node, removal, trash, decide)
    return result._replace(wrong=judgement.wrong)


def _attempted(
    file: DeleteFile,
    node: DirectoryNode,
    removal: Removal,
    trash: BatchWriter | None,
    decide: Callable[[DirectoryEntry], None],
) -> DeleteResult:
    try:
        status = removal.remove(file.path, file.size_b, decide, trash)
    except (FileNotFoundError, NotADirectoryError):
        return DeleteResult(file, Verdict.MISSING)
    except FileDiffers as error:
        if modified := _modified(file, removal):
            return to_be_read(file, modified)
        return DeleteResult(file, Verdict.CORRUPT, error=error.reason)
    except (UnsafePath, NotTrashed) as error:
        return DeleteResult(file, Verdict.FAILED, error=error.reason)
    except OSError as error:
        why = Code.REMOVAL_FAILED(path=repr(file.path), why=error.strerror or error)
        return _failed(file, removal, why)
    except _Written as written:
        return to_be_read(file, written.modified)
    except _Kept as kept:
        return DeleteResult(file, Verdict.KEPT, error=kept.why)
    # The space is not freed while the file has another hard link.
    freed_b = node.space_used(status) if status.st_nlink == 1 else 0
    if trash is None:
        return DeleteResult(file, Verdict.DELETED, freed_b)
    trashed = file.path in trash.taken
    past = "" if trashed else trash.unmovable
    return DeleteResult(file, Verdict.DELETED, freed_b, trashed=trashed, past_trash=past)


def _modified(file: DeleteFile, removal: Removal) -> str:
    """Return when a file of another length was written, if that was after its copy was last known to be good."""
    try:
        status = removal.look(file.path, None).status
    except (AlpenhornError, OSError):
        return ""
    return modified_at(status) if written_since(status, file.since) else ""


def to_be_read(file: DeleteFile, modified: str) -> DeleteResult:
    """Return the result for a file that its owner may have changed: a check must read it first."""
    why = Code.RELEASED_COPY_WRITTEN(modified=modified)
    return DeleteResult(file._replace(has_file=HasFile.MAYBE), Verdict.FAILED, error=why)


def check_age(job: DeleteJob) -> None:
    """Raise ClaimsExpired for claims that are too old.

    By CLOCK_BOOTTIME, which nobody sets, and which also runs while the host sleeps or the worker is stopped.
    """
    if job.expires is not None and time.clock_gettime(time.CLOCK_BOOTTIME) >= job.expires:
        raise ClaimsExpired


def _durable(results: list[DeleteResult], removal: Removal, trash: BatchWriter | None) -> list[DeleteResult]:
    """Flush the removals; if that fails, none is certain: after a power cut the files may be back."""
    try:
        # A run that was killed before its flush may have removed a missing file.
        paths = [result.file.path for result in results if result.verdict in GONE]
        removal.flush([*paths, *trash.new_paths()] if trash is not None else paths)
    except OSError as failure:
        error = Code.REMOVAL_NOT_FLUSHED(why=failure.strerror or failure)
        return [_uncertain(result, error) if result.verdict in GONE else result for result in results]
    return results


def _uncertain(result: DeleteResult, error: Reason) -> DeleteResult:
    """Return the result for a file that was removed, and may be there again or elsewhere."""
    file = result.file._replace(has_file=HasFile.MAYBE)
    return DeleteResult(file, Verdict.FAILED, error=error, wrong=result.wrong)


def _off_tape(results: list[DeleteResult], node: DirectoryNode) -> list[DeleteResult]:
    """Remove deleted files from tape; those that may still be there are suspect, and are deleted again by a later run.

    A run that was killed before may have removed a missing file from the disk only.
    """
    paths = [result.file.path for result in results if result.verdict in GONE]
    if not paths or not isinstance(node, TapeNode):
        return results
    try:
        failed = node.remove(paths)
    except (StorageError, OSError) as error:
        failed = dict.fromkeys(paths, _why(error))
    return [
        _uncertain(result, Code.TAPE_REMOVAL_FAILED(why=failed[result.file.path]))
        if result.verdict in GONE and result.file.path in failed
        else result
        for result in results
    ]


def _why(error: StorageError | OSError) -> Reason:
    return error.reason if isinstance(error, StorageError) else Code.SYSTEM_ERROR(why=error)


def _failed(file: DeleteFile, removal: Removal, error: Reason) -> DeleteResult:
    """Return a failure; unless the file is seen to exist, it may be gone."""
    try:
        there = removal.exists(file.path)
    except (OSError, UnsafePath):
        there = False
    return DeleteResult(file if there else file._replace(has_file=HasFile.MAYBE), Verdict.FAILED, error=error)


def _prune(node: DirectoryNode, removal: Removal, report: Reporter) -> None:
    try:
        removal.prune(report.stopping)
    except (AlpenhornError, OSError) as error:
        _log.warning("on %s, empty directories are left: %s", node.node.name, error)
