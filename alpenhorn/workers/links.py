"""Look at copies without reading them, and give those with more than one name bytes of their own.

Two names of one inode are one copy, whatever the index says: what damages or removes the bytes of one does it to
both.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from alpenhorn.errors import AlpenhornError, Stopped, UnsafePath
from alpenhorn.fs.paths import Below
from alpenhorn.fs.placing import Stage
from alpenhorn.fs.tree_lock import PATIENCE, LockTimeout, TreeLock
from alpenhorn.io.base import Node, TapeNode
from alpenhorn.model.links import LookFile, LookJob, LookOutcome, SeparateJob, SeparateResult
from alpenhorn.model.tasks import Blame, Reporter
from alpenhorn.reasons import Code, Reason, Why
from alpenhorn.transfer.blame import TransferFailed, destination_failed, source_failed
from alpenhorn.transfer.copy import copy

_FEW = 8  # files that are flushed one by one; more with one call for the file system
_READ = os.O_RDONLY | os.O_NONBLOCK  # a fifo that stands where a file should be must not hang the worker
_CHANGED = Code.COPY_CHANGED_MEANWHILE()


class _Own(NamedTuple):
    """A verified copy in the stage, and the file that it replaces."""

    file: LookFile
    name: str
    status: os.stat_result


def look(job: LookJob, node: Node, report: Reporter) -> LookOutcome:
    """Look at each file until the run is asked to stop.

    Raises StorageError when the node itself is gone: an unmounted disk must not look like one that has lost its files.
    """
    node.check()
    looked = 0
    lost: list[tuple[LookFile, Reason]] = []
    linked: list[LookFile] = []
    with Below(node.root) as below:
        for file in job.files:
            if report.stopping():
                break
            looked += 1
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


def _status(below: Below, path: str) -> os.stat_result:
    directory, name = below.parent(path)
    return os.stat(name, dir_fd=directory, follow_symlinks=False)


def separate(job: SeparateJob, node: Node, stage: str, report: Reporter) -> tuple[SeparateResult, ...]:
    """Copy each file aside, verify and flush the copy, and rename it over the name that the file has on this node.

    The other names keep the old bytes.  Mode, times and, for root, the owner stay.  Files without a result were not
    begun, since the run is stopping.  Only for the holder of the node's run lock: nothing else of ours removes or
    replaces files there meanwhile.  Raises StorageError when the node itself is gone.
    """
    node.check()
    results: dict[LookFile, SeparateResult] = {}
    try:
        with node.stage(stage) as aside, Below(node.root) as below:
            try:
                own = _copies(job.files, node, below, aside, report, results)
                _place(own, node, below, aside, len(job.files) > _FEW, report, results)
            finally:
                with suppress(OSError):
                    aside.clear()  # it may take up the room that is lacking
    except OSError as error:
        left = destination_failed(error).reason
        for file in job.files:
            results.setdefault(file, SeparateResult(file, left=left))
    node.check()
    return tuple(results[file] for file in job.files if file in results)


def _copies(
    files: Sequence[LookFile],
    node: Node,
    below: Below,
    aside: Stage,
    report: Reporter,
    results: dict[LookFile, SeparateResult],
) -> list[_Own]:
    """The copies that are verified; why there is none of a file goes to `results`."""
    away = _away(node, files)
    own: list[_Own] = []
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
        try:
            status = _copy(file, name, below, aside, len(files) <= _FEW, report)
            own.append(_Own(file, name, status))
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


def _away(node: Node, files: Sequence[LookFile]) -> dict[str, Why]:
    """Files on tape only, which no run waits for, and what is known of them."""
    if not isinstance(node, TapeNode):
        return {}
    from alpenhorn.workers.tape import out_of_reach  # few nodes have tape

    told = out_of_reach(node, [file.path for file in files])
    return {
        path: Code.FILE_NOT_ON_DISK(where=one.where) if one.where else one.error for path, one in told.items()
    }


def _copy(
    file: LookFile, name: str, below: Below, aside: Stage, flush: bool, report: Reporter
) -> os.stat_result:
    """The status of the file that was copied, or that had only one name after all."""
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
    own: Sequence[_Own],
    node: Node,
    below: Below,
    aside: Stage,
    flush: bool,
    report: Reporter,
    results: dict[LookFile, SeparateResult],
) -> None:
    """Rename the copies over the names of their files; `flush`: none was flushed yet."""
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
    lock = TreeLock(node.root, PATIENCE, report.stopping)
    try:
        outcomes = aside.place([(one.name, one.file.path, True) for one in moved], lock)
    except Stopped:
        return
    except LockTimeout as error:
        results.update((one.file, SeparateResult(one.file, left=error.reason)) for one in moved)
        return
    finally:
        lock.close()
    for one, outcome in zip(moved, outcomes, strict=True):
        results[one.file] = SeparateResult(one.file, left=_why(outcome) if outcome else "")


def _why(outcome: OSError | AlpenhornError) -> Reason:
    if isinstance(outcome, AlpenhornError):
        return outcome.reason
    return Code.DESTINATION_UNWRITABLE(why=outcome)


def _same(below: Below, one: _Own) -> bool:
    """Whether the name still stands for the file that was copied, unchanged."""
    try:
        now = _status(below, one.file.path)
    except (OSError, UnsafePath):
        return False
    before = one.status
    return (now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns) == (
        before.st_dev,
        before.st_ino,
        before.st_size,
        before.st_mtime_ns,
    )
