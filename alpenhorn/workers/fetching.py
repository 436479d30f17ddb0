"""Transfer files with rsync and bbcp, and verify them."""

from __future__ import annotations

import os
import signal
import stat
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from alpenhorn.errors import Stopped, StorageError, UnsafePath
from alpenhorn.fs.hashing import Digests, digests_of
from alpenhorn.fs.paths import TreeOpener, open_below
from alpenhorn.io.base import MARKER_BYTES, marked_name
from alpenhorn.model.nodes import MARKER
from alpenhorn.model.pulls import Method, PullFile
from alpenhorn.model.tasks import Blame
from alpenhorn.reasons import Code
from alpenhorn.transfer import bbcp, range_part, rsync
from alpenhorn.transfer.address import login, remote_path, root_of
from alpenhorn.transfer.blame import (
    TransferFailed,
    check_source,
    destination_failed,
    mismatch,
    other_content,
    source_failed,
    wrong_length,
)
from alpenhorn.transfer.methods import METHODS
from alpenhorn.transfer.session_timer import SessionTimer
from alpenhorn.workers.work import READ, ArrivedFile, PullState


def by_rsync(work: PullState, files: Sequence[PullFile]) -> None:
    """Pull files with rsync, from this host or another, many in one session."""
    work.check_stopping()
    remote = METHODS[work.job.method].network
    part = work.stage.keeps_parts
    try:
        argv = rsync.command(
            work.transfer.rsync,
            remote_path(work.job.source) if remote else root_of(work.job.source),
            work.stage.path,
            ssh=work.transfer.ssh if remote else None,
            user=login(work.job.source).user if remote else None,
            part=part,
            rate=work.job.rate,
            owners=work.stage.abilities.keeps_owners,
        )
    except StorageError as error:
        raise TransferFailed(Blame.UNKNOWN, error.reason) from None
    doubtful = part and _prepare_part(work, files[0])
    wrong = _sessions(work, argv, files, remote, doubtful)
    # Once more for files whose partial file was not the beginning of this file.
    _sessions(work, argv, wrong, remote, doubtful=False)


def _prepare_part(work: PullState, file: PullFile) -> bool:
    """Return whether a partial file can be continued; remove one that is too long."""
    try:
        range_part.give_to_rsync(work.stage.fd, file)
        work.begin_part()
        status = os.stat(file.path, dir_fd=work.stage.fd, follow_symlinks=False)
        # Writing through a link would change another file.
        ours = stat.S_ISREG(status.st_mode) and status.st_nlink == 1
        if not ours or status.st_size > file.size_b:
            os.unlink(file.path, dir_fd=work.stage.fd)
            return False
        os.chmod(file.path, 0o600, dir_fd=work.stage.fd)
    except PermissionError:
        work.discard(file.path)  # left by a run of another user
        return False
    except OSError:
        return False
    return True


def _sessions(
    work: PullState, argv: Sequence[str], files: Sequence[PullFile], remote: bool, doubtful: bool
) -> list[PullFile]:
    """Run sessions until all files are settled; return those that arrived whole but wrong, if `doubtful`."""
    wrong: list[PullFile] = []
    method = Method.RSYNC_SSH if remote else Method.RSYNC
    while files:
        session, right = _session(work, argv, files)
        absent: list[PullFile] = []
        unmounted = _look_at_witness(work, session)
        if work.stage.keeps_parts and (session is None or not _went_through(work, session, files)):
            absent += files  # a partial file is kept
        else:
            with TreeOpener(work.stage.fd) as below:
                for file in files:
                    try:
                        here = right.get(file.path) or verify_part(work, below, file, file.path)
                    except TransferFailed as error:
                        work.discard(file.path)
                        if doubtful:
                            wrong.append(file)
                        elif session is not None or not work.unseen:  # a file cut short proves nothing
                            work.fail(file, error)
                        continue
                    if here is not None:
                        work.arrived.append(ArrivedFile(file, file.path, work.began, method, here.sha256))
                    else:
                        absent.append(file)
        if session is None:
            raise Stopped
        if unmounted:
            for file in absent:
                work.fail(file, TransferFailed(Blame.SOURCE, Code.SOURCE_NOT_THERE()))
            return wrong
        files = _explain(work, session, absent, remote)
    return wrong


def _look_at_witness(work: PullState, session: rsync.SessionEnd | None) -> bool:
    """Look at the marker fetched with the files, to see whether the source's storage is mounted on its host.

    Otherwise, all files of an unmounted storage would count as missing.  Returns whether it is known not to
    be mounted.
    """
    if not work.witness:
        return False
    node = work.job.source
    try:
        fd = os.open(work.witness, READ | os.O_NOFOLLOW, dir_fd=work.stage.fd)
    except OSError:
        why = rsync.complaints(session, [work.witness]).get(work.witness) if session is not None else None
        did_not_arrive = f"{work.witness} did not arrive{f' ({why})' if why else ''}"
        work.unseen = Code.SOURCE_UNMOUNTED(node=node.name, host=node.host, what=did_not_arrive)
        return why is not None
    try:
        name = marked_name(os.read(fd, MARKER_BYTES))
    except OSError as error:
        raise destination_failed(error) from None
    finally:
        os.close(fd)
        work.discard(work.witness)
    # Only extensions know the contents of other witnesses.
    right = work.witness != MARKER or name == node.name
    work.unseen = (
        "" if right else Code.SOURCE_UNMOUNTED(node=node.name, host=node.host, what=f"says {name!r}")
    )
    return not right


def _went_through(work: PullState, session: rsync.SessionEnd, files: Sequence[PullFile]) -> bool:
    """Return whether the session dealt with all files, though the marker may be missing."""
    if session.status == 0:
        return True
    said = rsync.complaints(session, [work.witness, *(file.path for file in files)]) if work.witness else {}
    return rsync.is_partial(session) and said.keys() == {work.witness}


def _session(
    work: PullState, argv: Sequence[str], files: Sequence[PullFile]
) -> tuple[rsync.SessionEnd | None, dict[str, Digests]]:
    """Run one session; return how it ended (None if it was stopped), and the sums of files that are known to be
    correct, by path.
    """
    wanted = {file.path: file for file in files}
    asked = [*wanted]
    if work.witness:
        work.discard(work.witness)  # that of an earlier session proves nothing
        asked.append(work.witness)
    right: dict[str, Digests] = {}
    timer = work.timer() if METHODS[work.job.method].network else None
    with TreeOpener(work.stage.fd) as below:

        def on_bytes(count: int) -> None:
            if count and timer is not None:
                timer.moved()
            work.report_bytes(count)

        def on_file(path: str) -> None:
            work.report.begin(path)
            # Verify during the transfer; failures are dealt with afterwards.
            with suppress(KeyError, TransferFailed):
                if (found := verify_part(work, below, wanted[path], path)) is not None:
                    right[path] = found

        try:
            return rsync.fetch(argv, asked, on_bytes, on_file, _until(work, timer)), right
        except Stopped:
            if timer is not None and timer.why is not None:
                return rsync.SessionEnd(-signal.SIGTERM, "", timer.why), right
            return None, right
        except (StorageError, UnsafePath) as error:
            raise TransferFailed(Blame.UNKNOWN, error.reason) from None


def _until(work: PullState, timer: SessionTimer | None) -> Callable[[], bool]:
    """Return the condition for ending a session early."""
    return lambda: work.stopping() or (timer is not None and timer.over())


def _explain(
    work: PullState, session: rsync.SessionEnd, absent: Sequence[PullFile], remote: bool
) -> list[PullFile]:
    """Record why files did not arrive; return those to ask for again."""
    said = rsync.complaints(session, [file.path for file in absent])
    silent = []
    for file in absent:
        if file.path in said:
            work.fail(file, said[file.path])
        else:
            silent.append(file)
    # Only the end of rsync's standard error is kept, which may not hold all complaints.
    if said and rsync.is_partial(session):
        return silent
    for file in silent:
        error = rsync.failure(session, work.job.source.host if remote else None)
        if error.full:
            work.discard(file.path)
        work.fail(file, error)
        if error.blame is not Blame.SOURCE:
            raise error  # applies to all remaining files
    return []


def by_bbcp(work: PullState, files: Sequence[PullFile]) -> None:
    """Pull files with bbcp, one by one; use rsync for those that bbcp cannot handle.

    bbcp cannot continue a partial file, so a long file would never arrive if the bandwidth limit changes
    every few hours.
    """
    others: list[PullFile] = []
    for number, file in enumerate(files):
        work.check_stopping()
        work.report.begin(file.path)
        name = str(number)
        target = os.path.join(work.stage.path, name)
        try:
            who = login(work.job.source)
            path = remote_path(work.job.source, file.path).removeprefix(f"{who.host}:")
            trusted = work.job.until is None and bbcp.keeps(work.job.rate)
            if work.transfer.bbcp is None or not (trusted and bbcp.accepts(str(who), path, target)):
                others.append(file)
                continue
            source = f"{who}:{path}"
            argv = bbcp.command(work.transfer.bbcp, source, target, work.transfer.ssh, work.job.rate)
            _bbcp(work, argv, file, name)
        except (StorageError, UnsafePath) as error:
            raise TransferFailed(Blame.UNKNOWN, error.reason) from None
    if others:
        by_rsync(work, others)


def _bbcp(work: PullState, argv: Sequence[str], file: PullFile, name: str) -> None:
    started = time.time()
    found: Digests | None = None
    timer = work.timer()
    try:
        error = bbcp.fetch(argv, work.job.source.host, _until(work, timer))
        if error is None:
            with TreeOpener(work.stage.fd) as below:
                found = verify_part(work, below, file, name)
                if found is None:
                    error = TransferFailed(Blame.UNKNOWN, Code.BBCP_BROUGHT_NOTHING())
    except TransferFailed as wrong:
        error = wrong
    except Stopped:
        if timer.why is None:
            work.discard(name)
            raise
        error = TransferFailed(Blame.NETWORK, timer.why)
    except BaseException:
        work.discard(name)
        raise
    if error is not None:
        work.discard(name)
        if error.blame is Blame.SOURCE and work.unseen:
            ask_for_witness(work)
        work.fail(file, error, started)
        if error.blame is Blame.NETWORK or (error.blame is Blame.SOURCE and work.unseen):
            raise error
    else:
        work.report_bytes(file.size_b)
        sha256 = "" if found is None else found.sha256
        work.arrived.append(ArrivedFile(file, name, started, Method.BBCP, sha256))


def ask_for_witness(work: PullState) -> None:
    """Fetch the marker with rsync before a missing or wrong file is put down to the source.

    For methods that do not fetch it in the same session.
    """
    argv = rsync.command(
        work.transfer.rsync,
        remote_path(work.job.source),
        work.stage.path,
        ssh=work.transfer.ssh,
        user=login(work.job.source).user,
    )
    session, _ = _session(work, argv, [])
    _look_at_witness(work, session)
    if session is None:
        raise Stopped


def verify_part(work: PullState, below: TreeOpener, file: PullFile, name: str) -> Digests | None:
    """Verify the file at `name` in the stage and return its sums; return None if there is no such file.

    Raises TransferFailed if it differs from the index or cannot be read.
    """
    try:
        fd = below.open(name, READ)
    except FileNotFoundError:
        return None
    except (OSError, UnsafePath) as error:
        raise destination_failed(error) from None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise TransferFailed(Blame.SOURCE, Code.SOURCE_NOT_REGULAR())
        known = work.sums_of(fd, file)
        length, found = known or digests_of(fd, file.size_b, sha256=file.sha256 is not None)
        if length == file.size_b and found.agree(file.md5sum, file.sha256):
            if work.flush_each:
                os.fsync(fd)
            return found
    except OSError as error:
        raise destination_failed(error) from None
    finally:
        os.close(fd)
    method = METHODS[work.job.method]
    if not (method.network or method.service):
        raise _whose_fault(work, file, found.md5)
    if length != file.size_b:
        raise wrong_length(length, file.size_b)
    raise other_content(found, file.md5sum, file.sha256)


def _whose_fault(work: PullState, file: PullFile, found: str) -> TransferFailed:
    """Return whether source or destination caused a difference, by reading the source on this host as well."""
    try:
        fd = open_below(root_of(work.job.source), file.path, READ)
    except (OSError, UnsafePath) as error:
        return source_failed(error)
    try:
        before = check_source(fd, file.size_b)
        return mismatch(fd, before, found, file.md5sum, file.sha256, work.stopping)
    except TransferFailed as error:
        return error
    finally:
        os.close(fd)
