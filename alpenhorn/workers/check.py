"""Check copies: read each in full, compare it with the index, and flush good copies and missing names.

Good copies of a re-read are flushed too: they may have been replaced meanwhile, and one call per job is
cheap.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from alpenhorn.errors import Stopped, StorageError, UnsafePath
from alpenhorn.fs.flushing import Flusher
from alpenhorn.fs.hashing import digests_of
from alpenhorn.fs.newer import modified_at, written_since
from alpenhorn.fs.paths import irregular
from alpenhorn.fs.settled import storage_now
from alpenhorn.fs.verified_status import StatusTaker
from alpenhorn.io.base import DirectoryNode, OpenFile, TapeNode
from alpenhorn.model.checks import CheckFile, CheckJob, CheckResult
from alpenhorn.model.copies import HasFile
from alpenhorn.model.tape import TapeState
from alpenhorn.model.tasks import Reporter, Verdict
from alpenhorn.reasons import Code, Reason, Why, within
from alpenhorn.workers.tape import out_of_reach


def check(job: CheckJob, node: DirectoryNode, report: Reporter) -> tuple[CheckResult, ...]:
    """Return a result for each file, until the run is asked to stop.

    Raises StorageError if the node itself is gone, so that an unmounted disk does not turn copies into
    missing ones, nor a dead disk into corrupt ones.
    """
    node.check()
    began = storage_now(node.root)
    with node.flusher() as flusher:
        with node.reading() as open_file:
            statuses = StatusTaker(began) if job.keep_status else None
            results = _read(job, node, open_file, flusher, report, statuses)
        return tuple(result._replace(began=began) for result in _durable(results, node, flusher))


def _read(
    job: CheckJob,
    node: DirectoryNode,
    open_file: OpenFile,
    flusher: Flusher,
    report: Reporter,
    statuses: StatusTaker | None,
) -> list[CheckResult]:
    away: dict[str, TapeState] = {}
    if isinstance(node, TapeNode):
        away = out_of_reach(node, [file.path for file in job.files])
    results: list[CheckResult] = []
    for file in job.files:
        if report.stopping():
            break
        report.begin(file.path)
        try:
            result = (
                _unread(file, node, away[file.path])
                if file.path in away
                else _verdict(file, node, open_file, flusher, report, statuses)
            )
        except Stopped:
            break
        if result.verdict in (Verdict.MISSING, Verdict.UNREADABLE):
            node.check()
        if result.verdict is Verdict.UNREADABLE:
            report.fail()
        results.append(result)
        report.progress(1, 0)
    return results


def _durable(
    results: Sequence[CheckResult], node: DirectoryNode, flusher: Flusher
) -> tuple[CheckResult, ...]:
    """Flush good copies and the removal of missing ones; if that fails, neither state is certain."""
    try:
        flusher.flush()
    except OSError as error:
        node.check()
        why = Code.COPY_NOT_FLUSHED(why=error.strerror or error)
        return tuple(
            CheckResult(result.file, Verdict.UNREADABLE, error=why)
            if result.verdict in (Verdict.GOOD, Verdict.MISSING)
            else result
            for result in results
        )
    return tuple(results)


def _unread(file: CheckFile, node: DirectoryNode, state: TapeState) -> CheckResult:
    if state.where is None:
        return _not_opened(file, node, state.error or Code.COPY_NOT_REGULAR())
    return CheckResult(file, Verdict.AWAY, error=Code.FILE_NOT_ON_DISK(where=state.where))


def _verdict(
    file: CheckFile,
    node: DirectoryNode,
    open_file: OpenFile,
    flusher: Flusher,
    report: Reporter,
    statuses: StatusTaker | None,
) -> CheckResult:
    try:
        fd, status = open_file(file.path)
    except (FileNotFoundError, NotADirectoryError):
        flusher.add_name(file.path)
        return CheckResult(file, Verdict.MISSING, error=Code.COPY_MISSING())
    except StorageError as error:
        return CheckResult(file, Verdict.CORRUPT, error=error.reason)
    except UnsafePath as error:
        return _not_opened(file, node, error.reason)
    except OSError as error:
        return _not_opened(file, node, _unreadable("open", file, error))
    try:
        length = status.st_size
        wrong: Why = ""
        if length != file.size_b:
            wrong = Code.COPY_LENGTH_WRONG(found=length, expected=file.size_b)
        if wrong and file.has_file == HasFile.YES:
            return _differs(file, node, fd, wrong)
        verified_status = "" if statuses is None else statuses.before_reading(fd, length)
        _, found = digests_of(
            fd,
            length,
            report.stopping,
            lambda count: report.progress(0, count),
            sha256=file.sha256 is not None,
        )
        if wrong:
            # The sum identifies what was found, since it may be a different file.
            return _differs(file, node, fd, within(wrong, f"{wrong}; its MD5 sum is {found.md5}"))
        if found.md5 != (file.md5sum or "").lower():
            return _differs(file, node, fd, Code.COPY_MD5_WRONG(found=found.md5, expected=file.md5sum))
        if found.other_sha256(file.sha256):
            why = Code.COPY_SHA256_WRONG(found=found.sha256, expected=file.sha256)
            return _differs(file, node, fd, why)
        flusher.add_file(fd, file.path, status.st_dev)
        return CheckResult(
            file,
            Verdict.GOOD,
            node.space_used(status),
            linked=status.st_nlink > 1,
            sha256=found.sha256,
            verified_status=verified_status,
        )
    except OSError as error:
        return CheckResult(file, Verdict.UNREADABLE, error=_unreadable("read", file, error))
    finally:
        os.close(fd)


def _differs(file: CheckFile, node: DirectoryNode, fd: int, why: Reason) -> CheckResult:
    """Return the result for a file with other data than the index says."""
    status = os.fstat(fd)  # after reading, since its owner may have written meanwhile
    modified = modified_at(status) if written_since(status, file.since) else ""
    return CheckResult(file, Verdict.CORRUPT, node.space_used(status), why, modified=modified)


def _unreadable(doing: str, file: CheckFile, error: OSError) -> Reason:
    return Code.COPY_UNREADABLE(doing=doing, path=repr(file.path), why=error.strerror or error)


def _not_opened(file: CheckFile, node: DirectoryNode, error: Reason) -> CheckResult:
    """Return the result for a file that cannot be opened; a link, socket or device is certainly not the file."""
    if found := irregular(node.root, file.path):
        why = Code.COPY_IRREGULAR_ON_NODE(path=repr(file.path), node=node.node.name, found=found)
        return CheckResult(file, Verdict.CORRUPT, error=why)
    return CheckResult(file, Verdict.UNREADABLE, error=error)
