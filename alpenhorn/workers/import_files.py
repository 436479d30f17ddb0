"""Import files: hash them, skip unfinished ones, and flush the others."""

from __future__ import annotations

import os
import time

from alpenhorn.errors import Stopped, StorageError, UnsafePath
from alpenhorn.fs.flushing import Flusher
from alpenhorn.fs.hashing import md5_of
from alpenhorn.fs.newer import modified_at, written_since
from alpenhorn.fs.settled import settled, storage_now
from alpenhorn.io.base import Node, TapeNode
from alpenhorn.model.imports import ImportFile, ImportJob, ImportResult
from alpenhorn.model.tasks import Reporter, Verdict
from alpenhorn.reasons import Code
from alpenhorn.workers.tape import out_of_reach, why_unread


def import_files(job: ImportJob, node: Node, report: Reporter) -> tuple[ImportResult, ...]:
    """Return a result for each file, until the run is asked to stop.

    A file that changes while it is hashed, or gets a lock file, is left for later.  Raises StorageError if
    the node itself is gone.
    """
    node.check()
    began = time.time()
    with node.flusher() as flusher:
        results = _read(job, node, flusher, report)
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
        return tuple(result._replace(began=began) for result in results)


def _read(job: ImportJob, node: Node, flusher: Flusher, report: Reporter) -> list[ImportResult]:
    # Taken once per job: files that change later then lie in the future, and count as unsettled too.
    now = storage_now(node.root) if job.settle else 0.0
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
            results.append(_hash(file, node, flusher, job.settle, now, report))
        except Stopped:
            break
        if results[-1].verdict in (Verdict.UNREADABLE, Verdict.DECLINED):
            report.fail()
        report.progress(1, 0)
    return results


def _hash(
    file: ImportFile, node: Node, flusher: Flusher, settle: float, now: float, report: Reporter
) -> ImportResult:
    try:
        fd = node.open(file.path)
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
        before = os.fstat(fd)
        if node.locked(file.path):
            return ImportResult(file, Verdict.LATER, error=Code.FOUND_FILE_LOCKED())
        if not settled(before, settle, now):
            return ImportResult(file, Verdict.LATER, error=Code.FOUND_FILE_CHANGED_LATELY())
        length, md5sum = md5_of(fd, before.st_size, report.stopping, lambda count: report.progress(0, count))
        after = os.fstat(fd)
        if length != after.st_size or _times(before) != _times(after):
            return ImportResult(file, Verdict.LATER, error=Code.FOUND_FILE_CHANGING())
        if node.locked(file.path):
            return ImportResult(file, Verdict.LATER, error=Code.FOUND_FILE_LOCKED())
        flusher.add_file(fd, file.path)
        space_b = node.space_used(after)
        modified = modified_at(after) if written_since(after, file.since) else ""
        return ImportResult(
            file, Verdict.HASHED, length, md5sum, space_b, linked=after.st_nlink > 1, modified=modified
        )
    except OSError as error:
        return ImportResult(
            file, Verdict.UNREADABLE, error=Code.FOUND_FILE_UNREADABLE(doing="read", why=error.strerror)
        )
    finally:
        os.close(fd)


def _times(status: os.stat_result) -> tuple[int, int]:
    """Return the times that must not change; the second changes even if another file takes the name."""
    return status.st_mtime_ns, status.st_ctime_ns
