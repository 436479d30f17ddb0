"""Pull files from another node of this host by copying or hard linking."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from alpenhorn.errors import Stopped, StorageError, UnsafePath
from alpenhorn.fs import descriptors
from alpenhorn.fs.paths import TreeOpener
from alpenhorn.model.pulls import Method, PullFile
from alpenhorn.model.tasks import Blame
from alpenhorn.reasons import Code
from alpenhorn.transfer import link
from alpenhorn.transfer.address import root_of
from alpenhorn.transfer.blame import TransferFailed, destination_failed, source_failed
from alpenhorn.transfer.copy import copy
from alpenhorn.workers.work import READ, ArrivedFile, PullState

LINKS = 1000  # sources open at once while linking; fewer if the limit on open files is low


def by_copy(work: PullState, files: Sequence[PullFile]) -> None:
    with _sources(work) as sources:
        for number, file in enumerate(files):
            work.check_stopping()
            work.report.begin(file.path)
            started = time.time()
            # The name that rsync uses, so that either method can continue a partial file.
            name = file.path if work.stage.keeps_parts else str(number)
            try:
                fd = _open(sources, file)
                try:
                    if work.stage.keeps_parts:
                        _make_parents(work, name)
                    found = copy(
                        fd,
                        work.stage.fd,
                        name,
                        file.size_b,
                        file.md5sum,
                        flush=work.flush_each,
                        stopping=work.stopping,
                        on_bytes=work.report_bytes,
                        limiter=work.limiter,
                        sha256=file.sha256,
                    )
                finally:
                    os.close(fd)
            except TransferFailed as error:
                if error.blame is not Blame.UNKNOWN or error.full or not work.stage.keeps_parts:
                    work.discard(name)
                work.fail(file, error, started)
            else:
                work.arrived.append(ArrivedFile(file, name, started, Method.COPY, found.sha256))


def _make_parents(work: PullState, name: str) -> None:
    try:
        os.makedirs(os.path.join(work.stage.path, os.path.dirname(name)), exist_ok=True)
    except OSError as error:
        raise destination_failed(error) from None


def by_link(work: PullState, files: Sequence[PullFile]) -> None:
    """Hard link files, and copy those that cannot be linked."""
    refused: list[PullFile] = []
    # The other half of the descriptors is for the destination directories.
    most = descriptors.share(LINKS)
    with _sources(work) as sources:
        for start in range(0, len(files), most):
            refused += _link_some(work, sources, files[start : start + most])
    if refused:
        by_copy(work, refused)


class _Verified(NamedTuple):
    """A verified source: its descriptor, and its status before it was read."""

    one: ArrivedFile
    fd: int
    status: os.stat_result


def _link_some(work: PullState, sources: TreeOpener, files: Sequence[PullFile]) -> list[PullFile]:
    """Verify, flush and link some files, which stay open meanwhile; return those to copy instead.

    If the run is stopping, those that are verified by then are linked.
    """
    verified: list[_Verified] = []
    refused: list[PullFile] = []
    try:
        with suppress(Stopped):
            for file in files:
                work.check_stopping()
                work.report.begin(file.path)
                started = time.time()
                try:
                    verified.append(_verify(work, sources, file, started))
                except TransferFailed as error:
                    work.fail(file, error, started)
        if verified and not work.flush_each:
            _flush_all(work)
        links: list[tuple[ArrivedFile, int, int | None]] = []
        for one, fd, status in verified:
            now = os.fstat(fd)
            if link.unchanged(now, status):
                links.append((one, fd, work.node.space_used(now)))
            else:
                refused.append(one.file)  # copying verifies it again
        outcomes = work.stage.link(
            [(fd, one.file.path, work.names.replaces(one.file)) for one, fd, _ in links], work.lock
        )
        for (one, _, space_b), outcome in zip(links, outcomes, strict=True):
            if isinstance(outcome, OSError) and outcome.errno in link.REFUSED:
                refused.append(one.file)
            else:
                work.record_placed(one, outcome, space_b)
    finally:
        for source in verified:
            os.close(source.fd)
    return refused


def _verify(work: PullState, sources: TreeOpener, file: PullFile, started: float) -> _Verified:
    """Open a source and verify it; flush it if the files of the job are flushed one by one."""
    fd = _open(sources, file)
    try:
        status, found = link.verify(
            fd, file.size_b, file.md5sum, work.stopping, work.report_bytes, file.sha256
        )
        if work.flush_each:
            _flush(fd)
    except BaseException:
        os.close(fd)
        raise
    return _Verified(ArrivedFile(file, "", started, Method.LINK, found.sha256), fd, status)


def _flush(source: int) -> None:
    """Flush the source: whoever wrote it may not have, and the link shares its bytes."""
    try:
        os.fsync(source)
    except OSError as error:
        raise destination_failed(error) from None


def _flush_all(work: PullState) -> None:
    try:
        work.stage.flush()
    except OSError as error:
        raise destination_failed(error) from None


def _sources(work: PullState) -> TreeOpener:
    source = work.job.source
    try:
        return TreeOpener(root_of(source))
    except StorageError as error:
        raise TransferFailed(Blame.UNKNOWN, error.reason) from None
    except OSError as error:
        raise TransferFailed(
            Blame.UNKNOWN,
            Code.SOURCE_ROOT_UNREADABLE(root=source.root, node=source.name, why=error.strerror),
        ) from None


def _open(sources: TreeOpener, file: PullFile) -> int:
    """Open a source for reading; raises TransferFailed if that fails."""
    try:
        return sources.open(file.path, READ)
    except (OSError, UnsafePath) as error:
        raise source_failed(error) from None
