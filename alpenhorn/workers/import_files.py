"""Import files: hash them, skip unfinished ones, flush the others, and move those at the top of the root.

A file is moved only after it was flushed, and recorded only after its directories were flushed.  One that was moved and
not recorded is found in its new place by the next search.
"""

from __future__ import annotations

import os

from alpenhorn.errors import AlpenhornError, Stopped, StorageError, UnsafePath
from alpenhorn.fs.flushing import Flusher
from alpenhorn.fs.hashing import BLOCK, digests_of
from alpenhorn.fs.moving import FileMove
from alpenhorn.fs.newer import modified_at, written_since
from alpenhorn.fs.paths import TreeOpener
from alpenhorn.fs.placing import Occupied
from alpenhorn.fs.removal import FileDiffers
from alpenhorn.fs.settled import settled, storage_now
from alpenhorn.fs.tree_lock import LockTimeout
from alpenhorn.fs.verified_status import StatusTaker
from alpenhorn.io.base import DirectoryNode, OpenFile, TapeNode
from alpenhorn.model.imports import ImportFile, ImportJob, ImportResult
from alpenhorn.model.tasks import Reporter, Verdict
from alpenhorn.reasons import Code
from alpenhorn.workers.search import owner_of
from alpenhorn.workers.tape import out_of_reach, why_unread


def import_files(job: ImportJob, node: DirectoryNode, report: Reporter) -> tuple[ImportResult, ...]:
    """Return a result for each file, until the run is asked to stop.

    A file that changes while it is hashed, or gets a lock file, is left for later.  Raises StorageError if
    the node itself is gone.
    """
    node.check()
    began = storage_now(node.root)
    with node.flusher() as flusher:
        statuses: dict[str, os.stat_result] = {}
        with node.reading() as open_file:
            results = _read(job, node, open_file, flusher, began, report, statuses)
        try:
            flusher.flush()
        except OSError as error:
            node.check()
            why = Code.COPY_NOT_FLUSHED(why=error.strerror or error)
            return tuple(
                ImportResult(result.file, Verdict.UNREADABLE, error=why)
                if result.verdict is Verdict.HASHED
                else result
                for result in results
            )
    return tuple(result._replace(began=began) for result in _moved(results, statuses, node, report))


def _read(
    job: ImportJob,
    node: DirectoryNode,
    open_file: OpenFile,
    flusher: Flusher,
    now: float,
    report: Reporter,
    statuses: dict[str, os.stat_result],
) -> list[ImportResult]:
    """Return the results; put the status of each file that is to be moved into `statuses`, by path.

    `now`: the time of the storage when the job began.  Files that change later are in the future, and not settled.
    """
    verified = StatusTaker(now) if job.keep_status else None
    away: dict[str, ImportResult] = {}
    if isinstance(node, TapeNode):
        states = out_of_reach(node, [file.path for file in job.files])
        for file in job.files:
            if one := states.get(file.path):
                verdict = Verdict.LATER if one.where else Verdict.UNREADABLE
                away[file.path] = ImportResult(file, verdict, error=why_unread(node, file.path, one))
    results: list[ImportResult] = []
    for file in job.files:
        if report.stopping():
            break
        if file.path in away:
            results.append(away[file.path])
            continue
        report.begin(file.path)
        try:
            results.append(_hash(file, node, open_file, flusher, job, now, report, statuses, verified))
        except Stopped:
            break
        if results[-1].verdict in (Verdict.UNREADABLE, Verdict.DECLINED):
            report.fail()
        report.progress(1, 0)
    return results


def _hash(
    file: ImportFile,
    node: DirectoryNode,
    open_file: OpenFile,
    flusher: Flusher,
    job: ImportJob,
    now: float,
    report: Reporter,
    statuses: dict[str, os.stat_result],
    verified: StatusTaker | None,
) -> ImportResult:
    try:
        fd, before = open_file(file.path)
    except (UnsafePath, StorageError) as error:
        return ImportResult(file, Verdict.DECLINED, error=error.reason)
    except (FileNotFoundError, NotADirectoryError):
        node.check()
        return ImportResult(file, Verdict.DECLINED, error=Code.FOUND_FILE_GONE())
    except OSError as error:
        return ImportResult(
            file, Verdict.UNREADABLE, error=Code.FOUND_FILE_UNREADABLE(doing="open", why=error.strerror)
        )
    try:
        # Saves reading a big file that is locked.  Without `settle`, the last change may have been a moment ago, and
        # the next one does not change the times.
        if (before.st_size > BLOCK or not job.settle) and node.locked(file.path):
            return ImportResult(file, Verdict.LATER, error=Code.FOUND_FILE_LOCKED())
        if not settled(before, job.settle, now):
            return ImportResult(file, Verdict.LATER, error=Code.FOUND_FILE_CHANGED_LATELY())
        # Moving the file will change its status.
        verified_status = ""
        if verified is not None and not file.moves:
            verified_status = verified.before_reading(fd, before.st_size)
        length, sums = digests_of(
            fd, before.st_size, report.stopping, lambda count: report.progress(0, count), sha256=job.sha256
        )
        # Before the status, which shows whether a writer that has released its lock by now wrote after the reading.
        if node.locked(file.path):
            return ImportResult(file, Verdict.LATER, error=Code.FOUND_FILE_LOCKED())
        after = os.fstat(fd)
        if length != after.st_size or _times(before) != _times(after):
            return ImportResult(file, Verdict.LATER, error=Code.FOUND_FILE_CHANGING())
        if file.moves:
            known = file.known
            if known is not None and (length, sums.md5) != (known.size_b, (known.md5sum or "").lower()):
                return ImportResult(file, Verdict.UNREADABLE, error=Code.TOP_NAME_TAKEN(target=file.target))
            statuses[file.path] = after
        flusher.add_file(fd, file.path, after.st_dev)
        space_b = node.space_used(after)
        modified = modified_at(after) if written_since(after, file.since) else ""
        return ImportResult(
            file,
            Verdict.HASHED,
            length,
            sums.md5,
            space_b,
            linked=after.st_nlink > 1,
            modified=modified,
            sha256=sums.sha256,
            verified_status=verified_status,
        )
    except OSError as error:
        return ImportResult(
            file, Verdict.UNREADABLE, error=Code.FOUND_FILE_UNREADABLE(doing="read", why=error.strerror)
        )
    finally:
        os.close(fd)


def _moved(
    results: list[ImportResult], statuses: dict[str, os.stat_result], node: DirectoryNode, report: Reporter
) -> list[ImportResult]:
    """Move the hashed files at the top of the root, and return the results after that."""
    top: list[ImportResult] = []
    rest: list[ImportResult] = []
    for result in results:
        (top if result.verdict is Verdict.HASHED and result.file.moves else rest).append(result)
    if not top:
        return results
    allowed, declined = _outside_other_roots(top, node)
    moves = [FileMove(one.file.path, one.file.target, statuses[one.file.path]) for one in allowed]
    try:
        with node.moving() as moving:
            outcomes = moving.move(moves, report.stopping)
    except Stopped:
        return rest
    except LockTimeout as error:
        outcomes = [error] * len(moves)
    # A disk unmounted meanwhile looks like an empty tree.
    node.check()
    moved = list(map(_after_move, allowed, outcomes))
    for result in (*declined, *moved):
        if result.verdict is Verdict.UNREADABLE:
            report.fail()
    return [*rest, *declined, *moved]


def _outside_other_roots(
    top: list[ImportResult], node: DirectoryNode
) -> tuple[list[ImportResult], list[ImportResult]]:
    """Return the files whose target is not in the root of another node, and the results of the others."""
    allowed, declined = [], []
    with TreeOpener(node.root) as below:
        for one in top:
            elements = one.file.target.split("/")[:-1]
            above = ("/".join(elements[: depth + 1]) for depth in range(len(elements)))
            if any(owner_of(directory, below) is not None for directory in above):
                where = f"{node.root}/{one.file.acq}, which is the root of another node"
                why = Code.TOP_FILE_NOT_MOVED(
                    target=one.file.target, why=Code.PATH_OF_OTHER_NODE(how="lies in", where=where)
                )
                declined.append(ImportResult(one.file, Verdict.UNREADABLE, error=why))
            else:
                allowed.append(one)
    return allowed, declined


def _after_move(result: ImportResult, outcome: OSError | AlpenhornError | None) -> ImportResult:
    file = result.file
    if outcome is None:
        return result._replace(file=file._replace(path=file.target), moved=True)
    if isinstance(outcome, Occupied):
        return ImportResult(file, Verdict.UNREADABLE, error=Code.TOP_NAME_TAKEN(target=file.target))
    if isinstance(outcome, FileDiffers):
        return ImportResult(file, Verdict.LATER, error=outcome.reason)
    why = (outcome.strerror or str(outcome)) if isinstance(outcome, OSError) else outcome.reason
    return ImportResult(file, Verdict.UNREADABLE, error=Code.TOP_FILE_NOT_MOVED(target=file.target, why=why))


def _times(status: os.stat_result) -> tuple[int, int]:
    """Return the times that must not change; the second changes even if another file takes the name."""
    return status.st_mtime_ns, status.st_ctime_ns
