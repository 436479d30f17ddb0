"""Pull files from another node of this host by copying or hard linking."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from alpenhorn.errors import Stopped, StorageError, UnsafePath
from alpenhorn.fs import descriptors
from alpenhorn.fs.paths import TreeOpener
from alpenhorn.fs.placing import StatusAround, unchanged
from alpenhorn.fs.verified_status import StatusTaker
from alpenhorn.model.pulls import Method, PullFile
from alpenhorn.model.tasks import Blame
from alpenhorn.reasons import Code
from alpenhorn.transfer import link
from alpenhorn.transfer.address import root_of
from alpenhorn.transfer.blame import TransferFailed, check_source, destination_failed, source_failed
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
    statuses = None if work.transfer.verify_links else StatusTaker(work.began)
    with _sources(work) as sources:
        for start in range(0, len(files), most):
            refused += _link_some(work, sources, files[start : start + most], statuses)
    if refused:
        by_copy(work, refused)


class _Verified(NamedTuple):
    """A verified source: its descriptor, and its status before it was read.

    `proof`: its status as text, "" if that proves nothing.
    """

    one: ArrivedFile
    fd: int
    status: os.stat_result
    proof: str

    def is_same(self, now: os.stat_result) -> bool:
        """Return whether a file with the status `now` is the verified one, unchanged."""
        same_time = not self.one.unread or now.st_ctime_ns == self.status.st_ctime_ns
        return same_time and unchanged(now, self.status)


def _link_some(
    work: PullState,
    sources: TreeOpener,
    files: Sequence[PullFile],
    statuses: StatusTaker | None,
    read_all: bool = False,
) -> list[PullFile]:
    """Verify, flush and link some files, which stay open meanwhile; return those to copy instead.

    If the run is stopping, those that are verified by then are linked.  `statuses`: to read only files without a known
    status; None to read all.  `read_all`: read all, but take their statuses.
    """
    verified: list[_Verified] = []
    refused: list[PullFile] = []
    changed: list[PullFile] = []
    try:
        with suppress(Stopped):
            for file in files:
                work.check_stopping()
                work.report.begin(file.path)
                started = time.time()
                try:
                    verified.append(_verify(work, sources, file, started, statuses, read_all))
                except TransferFailed as error:
                    work.fail(file, error, started)
        if verified and not work.flush_each:
            _flush_all(work)
        links: list[tuple[_Verified, int | None]] = []
        around: dict[int, StatusAround] = {}
        for source in verified:
            # After the flush, which sets the times of a mapped file on some file systems.
            now = os.fstat(source.fd)
            if source.is_same(now):
                if source.proof:
                    around[len(links)] = StatusAround(now if source.one.unread else None)
                links.append((source, work.node.space_used(now)))
            elif source.one.unread:
                changed.append(source.one.file)
            else:
                refused.append(source.one.file)  # copying verifies it again
        outcomes = work.stage.link(
            [(source.fd, source.one.file.path, work.names.replaces(source.one.file)) for source, _ in links],
            work.lock,
            around,
        )
        for number, ((source, space_b), outcome) in enumerate(zip(links, outcomes, strict=True)):
            why = outcome.errno if isinstance(outcome, OSError) else None
            if why == errno.ESTALE and source.one.unread:
                changed.append(source.one.file)
                continue
            if why in link.REFUSED:
                refused.append(source.one.file)
                continue
            if statuses is not None and number in around:
                source.one.verified_status = statuses.after_link(source.proof, around[number])
            work.record_placed(source.one, outcome, space_b)
    finally:
        for source in verified:
            os.close(source.fd)
    if changed:
        refused += _link_some(work, sources, changed, statuses, read_all=True)
    return refused


def _verify(
    work: PullState,
    sources: TreeOpener,
    file: PullFile,
    started: float,
    statuses: StatusTaker | None,
    read_all: bool,
) -> _Verified:
    """Open a source and verify it; flush it if the files of the job are flushed one by one.

    `statuses`, `read_all`: as in `_link_some`.
    """
    fd = _open(sources, file)
    try:
        source = None
        if statuses is not None and file.verified_status and not read_all:
            source = _known(file, fd, started, statuses)
        if source is None:
            proof = "" if statuses is None else _status_before_reading(fd, file, statuses)
            status, found = link.verify(
                fd, file.size_b, file.md5sum, work.stopping, work.report_bytes, file.sha256
            )
            one = ArrivedFile(file, "", started, Method.LINK, found.sha256)
            source = _Verified(one, fd, status, proof)
        if work.flush_each:
            _flush(fd)
    except BaseException:
        os.close(fd)
        raise
    return source


def _known(file: PullFile, fd: int, started: float, statuses: StatusTaker) -> _Verified | None:
    """Return an open source if it has the status with which its bytes were verified."""
    status = check_source(fd, file.size_b)
    if statuses.text(status) != file.verified_status:
        return None
    one = ArrivedFile(file, "", started, Method.LINK, file.sha256 or "")
    one.unread = True
    return _Verified(one, fd, status, file.verified_status)


def _status_before_reading(source: int, file: PullFile, statuses: StatusTaker) -> str:
    try:
        return statuses.before_reading(source, file.size_b)
    except OSError as error:
        raise destination_failed(error) from None


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
