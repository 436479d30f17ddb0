"""Look at copies without reading them, and replace hard links by files of their own.

Hard links of one file are one copy: what damages or removes its bytes does so for all names.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from alpenhorn.errors import AlpenhornError, Stopped, UnsafePath
from alpenhorn.fs.paths import TreeOpener
from alpenhorn.fs.placing import Outcome, Replacement, Stage, unchanged
from alpenhorn.fs.tree_lock import LOCK_SECONDS, LockTimeout, TreeLock
from alpenhorn.io.base import DirectoryNode, TapeNode
from alpenhorn.model.links import LookFile, LookJob, LookOutcome, SeparateJob, SeparateResult
from alpenhorn.model.tasks import Blame, Reporter
from alpenhorn.reasons import Code, Reason, Why
from alpenhorn.transfer.blame import TransferFailed, destination_failed, source_failed
from alpenhorn.transfer.copy import copy
from alpenhorn.workers.tape import out_of_reach

_FEW = 8  # flush more files than this with one call for the file system
_READ = os.O_RDONLY | os.O_NONBLOCK  # a fifo in place of a file must not block the worker
_CHANGED = Code.COPY_CHANGED_MEANWHILE()


class _OwnCopy(NamedTuple):
    """A verified copy in the stage, and the file it replaces."""

    file: LookFile
    name: str
    status: os.stat_result


def look(job: LookJob, node: DirectoryNode, report: Reporter) -> LookOutcome:
    """Look at each file, until the run is asked to stop.

    Raises StorageError if the node itself is gone, so that an unmounted disk does not make files look
    missing.
    """
    node.check()
    looked = 0
    lost: list[tuple[LookFile, Reason]] = []
    linked: list[LookFile] = []
    with TreeOpener(node.root) as below:
        for file in job.files:
            if report.stopping():
                break
            looked += 1
            report.begin(file.path)
            try:
                status = _status(below, file.path)
            except (FileNotFoundError, NotADirectoryError):
                lost.append((file, Code.COPY_MISSING()))
            except UnsafePath as error:
                lost.append((file, error.reason))
            except OSError as error:
                lost.append((file, Code.COPY_NOT_LOOKED_AT(why=error.strerror)))
            else:
                if not stat.S_ISREG(status.st_mode):
                    lost.append((file, Code.COPY_NOT_REGULAR()))
                elif status.st_nlink > 1:
                    linked.append(file)
            report.progress(1, 0)
    node.check()
    return LookOutcome(looked, tuple(lost), tuple(linked))


def _status(below: TreeOpener, path: str) -> os.stat_result:
    directory, name = below.parent(path)
    return os.stat(name, dir_fd=directory, follow_symlinks=False)


def separate(
    job: SeparateJob, node: DirectoryNode, stage: str, report: Reporter
) -> tuple[SeparateResult, ...]:
    """Copy each file to the stage, verify and flush the copy, and rename it over the file's name on this node.

    The other hard links keep the old bytes.  Mode, times and, for root, the owner are kept.  Files not begun
    when the run is stopped get no result.  For the holder of the node's run lock only, so that nothing else
    of alpenhorn removes or replaces files meanwhile.  Raises StorageError if the node itself is gone.
    """
    node.check()
    results: dict[LookFile, SeparateResult] = {}
    try:
        with node.stage(stage) as aside, TreeOpener(node.root) as below:
            try:
                own = _copies(job.files, node, below, aside, report, results)
                _place(own, node, below, aside, len(job.files) > _FEW, report, results)
            finally:
                with suppress(OSError):
                    aside.clear()  # frees space on a full disk
    except OSError as error:
        left = destination_failed(error).reason
        for file in job.files:
            results.setdefault(file, SeparateResult(file, left=left))
    node.check()
    return tuple(results[file] for file in job.files if file in results)


def _copies(
    files: Sequence[LookFile],
    node: DirectoryNode,
    below: TreeOpener,
    aside: Stage,
    report: Reporter,
    results: dict[LookFile, SeparateResult],
) -> list[_OwnCopy]:
    """Return the verified copies; add failures to `results`."""
    away = _away(node, files)
    own: list[_OwnCopy] = []
    full: Why = ""
    for number, file in enumerate(files):
        if report.stopping():
            break
        if file.path in away:
            results[file] = SeparateResult(file, left=away[file.path])
            continue
        if full:
            results[file] = SeparateResult(file, left=full)
            continue
        name = str(number)
        report.begin(file.path)
        try:
            status = _copy(file, name, below, aside, len(files) <= _FEW, report)
            own.append(_OwnCopy(file, name, status))
        except Stopped:
            break
        except TransferFailed as error:
            if error.blame is Blame.SOURCE:
                results[file] = SeparateResult(file, wrong=error.reason)
            else:
                results[file] = SeparateResult(file, left=error.reason)
            if error.blame is Blame.DESTINATION:
                full = error.reason
                with suppress(OSError):
                    os.unlink(name, dir_fd=aside.fd)
        report.progress(1, 0)
    return own


def _away(node: DirectoryNode, files: Sequence[LookFile]) -> dict[str, Why]:
    """Return the files on tape only, and why they are not read; runs do not wait for tape."""
    if not isinstance(node, TapeNode):
        return {}
    states = out_of_reach(node, [file.path for file in files])
    return {
        path: Code.FILE_NOT_ON_DISK(where=one.where) if one.where else one.error
        for path, one in states.items()
    }


def _copy(
    file: LookFile, name: str, below: TreeOpener, aside: Stage, flush: bool, report: Reporter
) -> os.stat_result:
    """Copy a file to the stage unless it has only one hard link; return its status."""
    if file.size_b is None or not file.md5sum:
        raise TransferFailed(Blame.UNKNOWN, Code.FILE_LENGTH_OR_MD5_MISSING())
    try:
        fd = below.open(file.path, _READ)
    except (OSError, UnsafePath) as error:
        raise source_failed(error) from None
    try:
        status = os.fstat(fd)
        if status.st_nlink > 1:
            copy(
                fd,
                aside.fd,
                name,
                file.size_b,
                file.md5sum.lower(),
                flush=flush,
                stopping=report.stopping,
                on_bytes=lambda count: report.progress(0, count),
            )
        return status
    finally:
        os.close(fd)


def _place(
    own: Sequence[_OwnCopy],
    node: DirectoryNode,
    below: TreeOpener,
    aside: Stage,
    flush: bool,
    report: Reporter,
    results: dict[LookFile, SeparateResult],
) -> None:
    """Rename the copies over their files.  `flush`: none has been flushed yet."""
    results.update((one.file, SeparateResult(one.file)) for one in own if one.status.st_nlink == 1)
    moved = [one for one in own if one.status.st_nlink > 1]
    if not moved:
        return
    if flush:
        aside.flush()
    node.check()
    for one in moved:
        if not _same(below, one):
            results[one.file] = SeparateResult(one.file, left=_CHANGED)
    moved = [one for one in moved if one.file not in results]
    lock = TreeLock(node.root, LOCK_SECONDS, report.stopping)
    try:
        outcomes = aside.place([(one.name, one.file.path, Replacement()) for one in moved], lock)
    except Stopped:
        return
    except LockTimeout as error:
        results.update((one.file, SeparateResult(one.file, left=error.reason)) for one in moved)
        return
    finally:
        lock.close()
    for one, outcome in zip(moved, outcomes, strict=True):
        results[one.file] = SeparateResult(one.file, left=_why(outcome))


def _why(outcome: Outcome) -> Why:
    if isinstance(outcome, AlpenhornError):
        return outcome.reason
    return Code.DESTINATION_UNWRITABLE(why=outcome) if isinstance(outcome, OSError) else ""


def _same(below: TreeOpener, one: _OwnCopy) -> bool:
    """Return whether the name still refers to the copied file, unchanged."""
    try:
        now = _status(below, one.file.path)
    except (OSError, UnsafePath):
        return False
    return unchanged(now, one.status)
