"""Fetch one big file from another host in several streams, over a link on which one connection is slow.

Each stream is an ssh session that is asked for one range of the file after another, from the start on, so that
the file can be hashed while it arrives.  Ranges are written into a part with holes, and a map lists them
(`alpenhorn.transfer.range_part`).  The streams bring the bytes only.  When all are there and have the right sum, a
session of rsync sets the attributes, compares the length with the source's, and fetches the marker.  rsync also
takes over if the source cannot be read like this, and finds out why.

The bytes are hashed as they are on this host.  A block that was noted is never written again: the sum would be that
of the earlier bytes.
"""

from __future__ import annotations

import os
import selectors
import time
from collections.abc import Sequence
from math import inf

from alpenhorn.errors import Stopped, StorageError, UnsafePath
from alpenhorn.fs.hashing import Digests
from alpenhorn.model.pulls import Method, PullFile
from alpenhorn.model.tasks import Blame
from alpenhorn.reasons import Reason
from alpenhorn.transfer import range_part, range_session, ssh
from alpenhorn.transfer.blame import TransferFailed, destination_failed, is_ours, other_content
from alpenhorn.transfer.byte_ranges import BLOCK, ByteRange, RangeSet
from alpenhorn.transfer.range_part import RangeRecorder
from alpenhorn.transfer.range_session import RangeSession
from alpenhorn.transfer.trailing_hash import TrailingHash
from alpenhorn.workers.fetching import ask_for_witness, by_rsync
from alpenhorn.workers.work import HashedPart, PullState

# Bytes per second.  What has been sent when a stream pauses is 2 MiB or more, so many streams would exceed a low
# limit every time; rsync's sender observes it.
LEAST_RATE = 2 * 2**20
_POLL = 0.2  # seconds
_LITTLE = BLOCK  # bytes
_PAUSE = 0.01  # seconds
_SLOW = 8 * 2**20  # bytes per second; more than this fits into two pipes of 64 KiB
_FAST = 20 * 2**20  # bytes per second of one stream
_LOOK = 0.4  # seconds


def by_streams(work: PullState, files: Sequence[PullFile]) -> None:
    """Pull one big file in several streams; use rsync for anything else."""
    streams = work.transfer.streams
    if work.job.rate:
        streams = min(streams, work.job.rate // LEAST_RATE)
    if streams < 2 or len(files) != 1 or not work.stage.keeps_parts:
        by_rsync(work, files)
        return
    (file,) = files
    work.report.begin(file.path)
    while True:
        work.check_stopping()
        try:
            fd, written = range_part.open_part(work.stage.fd, file)
        except OSError as error:
            raise destination_failed(error) from None
        try:
            doubtful = written.total > 0
            found = _fetch(work, file, fd, written, streams)
            if found is None:
                by_rsync(work, files)
                return
            if found.agree(file.md5sum, file.sha256):
                _finish(work, file, fd, found)
                return
        finally:
            os.close(fd)
        range_part.discard(work.stage.fd)
        if not doubtful:
            break
        # Once more: ranges of earlier jobs may be from another source, or were never written.
    if work.unseen:
        ask_for_witness(work)
    work.fail(file, other_content(found, file.md5sum, file.sha256))


def _fetch(work: PullState, file: PullFile, fd: int, written: RangeSet, streams: int) -> Digests | None:
    """Fetch what is missing; return the sums of the whole part, None if rsync is to go on.

    Raises TransferFailed and Stopped; what has arrived stays.
    """
    before = written.total
    work.report_bytes(before)
    try:
        with TrailingHash(fd, written.prefix(), file.sha256 is not None) as hasher:
            with RangeRecorder(work.stage.fd, fd, file, written) as recorder:
                fetching = _Streams(work, file, fd, written, recorder, hasher, streams)
                try:
                    complete = fetching.run()
                finally:
                    fetching.close()
            if recorder.error is not None:
                raise recorder.error
            return hasher.digests() if complete else None
    except OSError as error:
        if not is_ours(error):
            range_part.discard(work.stage.fd)  # after a failed flush, the part may not have what was written
        raise destination_failed(error) from None
    except (StorageError, UnsafePath) as error:
        raise TransferFailed(Blame.UNKNOWN, error.reason) from None
    finally:
        work.ranges_b += max(0, written.total - before)
        if not written.total:
            range_part.discard(work.stage.fd)


def _finish(work: PullState, file: PullFile, fd: int, found: Digests) -> None:
    """Let rsync look at the source once more and set the attributes of the complete part, open as `fd`."""
    try:
        range_part.rename_to_rsync(work.stage.fd, file)
    except OSError as error:
        raise destination_failed(error) from None
    work.hashed = HashedPart(os.fstat(fd).st_ino, found)
    by_rsync(work, [file])
    for one in work.arrived:
        if one.file == file:
            one.method = Method.STREAMS


class _Streams:
    """The sessions that fetch one file.

    They are started one after another, since an ssh server admits few that have not logged in yet, and only while
    they are slow: on a fast link, more would only use more processors.  If one cannot log in, the others go on
    without more.
    """

    def __init__(
        self,
        work: PullState,
        file: PullFile,
        fd: int,
        written: RangeSet,
        recorder: RangeRecorder,
        hasher: TrailingHash,
        most: int,
    ) -> None:
        self._work = work
        self._file = file
        self._fd = fd
        self._recorder = recorder
        self._hasher = hasher
        self._most = most
        self._missing = RangeSet([ByteRange(0, file.size_b)])  # and not asked for
        for one in written:
            self._missing.remove(one)
        self._written = written
        self._argv = range_session.command(work.transfer.ssh, work.job.source)
        self._source = range_session.source_lines(work.job.source, file.path, file.size_b)
        self._timer = work.timer()
        self._sessions: list[RangeSession] = []
        self._selector = selectors.DefaultSelector()
        self._worked = False
        self._arrived_b = 0
        self._looked = (0.0, 0)
        self._rate = inf  # bytes per second of all streams together
        self._why: Reason | None = None

    def run(self) -> bool:
        """Fetch until everything is written; return False if rsync is to go on.

        Raises Stopped, TransferFailed if the connections were lost, OSError for the destination, and
        StorageError and UnsafePath if ssh cannot be started.
        """
        while self._written.total < self._file.size_b:
            self._check()
            self._open_another()
            if not self._sessions:
                assert self._why is not None
                raise TransferFailed(Blame.NETWORK, self._why)
            self._hand_out()
            before = self._arrived_b
            for key, _ in self._selector.select(_POLL):
                session: RangeSession = key.data
                if session in self._sessions and not self._serve(session, key.fd):
                    return False
            self._look()
            if 0 < self._arrived_b - before < _LITTLE and self._rate < _SLOW:
                # Single packets: taking each by itself would use the processor for nothing.
                time.sleep(_PAUSE)
        return True

    def close(self) -> None:
        for session in self._sessions:
            session.close()
        self._selector.close()

    def _look(self) -> None:
        """Determine the rate of the last interval."""
        (then, before), now = self._looked, time.monotonic()
        if not self._worked:
            self._looked = (now, 0)
        elif now - then >= _LOOK:
            self._rate = (self._arrived_b - before) / (now - then)
            self._looked = (now, self._arrived_b)

    def _check(self) -> None:
        if self._recorder.error is not None:
            raise self._recorder.error
        if self._work.stopping():
            raise Stopped
        if self._timer.over():
            assert self._timer.why is not None
            raise TransferFailed(Blame.NETWORK, self._timer.why)

    def _open_another(self) -> None:
        waiting = any(not session.ready for session in self._sessions)
        if waiting or len(self._sessions) >= self._most or not self._missing.total:
            return
        if self._sessions and self._rate >= _FAST * len(self._sessions):
            return
        try:
            session = RangeSession(self._argv, self._source, self._file.size_b, self._put, self._note)
        except StorageError:
            if not self._sessions:
                raise
            self._most = len(self._sessions)
            return
        self._sessions.append(session)
        for fd in (session.fd, session.errors, session.pidfd):
            self._selector.register(fd, selectors.EVENT_READ, session)

    def _hand_out(self) -> None:
        """Ask for ranges: short ones near the end, so that all streams end at about the same time."""
        for asked in range(range_session.AHEAD):
            for session in self._sessions:
                if not session.ready or len(session.asked) > asked:
                    continue
                fair = self._missing.total // (2 * self._most) // BLOCK * BLOCK
                length = min(session.next_length(), max(fair, range_session.LEAST_RANGE))
                if wanted := self._missing.take(length):
                    session.ask(wanted)

    def _serve(self, session: RangeSession, fd: int) -> bool:
        """Take what has arrived in a session, at one of its descriptors; return False if rsync is to go on."""
        if fd == session.errors:
            if not session.read_errors():
                self._selector.unregister(fd)
            return True
        ended = fd == session.pidfd
        while count := session.read():
            if session.failed or not ended:
                break
        self._worked = self._worked or session.ready
        if session.failed:
            self._recorder.withdraw(session.unproven())
            return False
        if ended:
            return self._end(session)
        if count is None:
            self._selector.unregister(session.fd)  # it is about to end
        return True

    def _end(self, session: RangeSession) -> bool:
        """Let the other sessions go on without one that has ended; return False if rsync is to go on."""
        self._sessions.remove(session)
        for fd in {session.fd, session.errors, session.pidfd} & set(self._selector.get_map()):
            self._selector.unregister(fd)
        lost = session.close()
        stderr = session.stderr.decode(errors="surrogateescape")
        self._why = ssh.failed(self._work.job.source.host, stderr)
        for one in session.unfinished():
            self._missing.add(one)
        if session.ready and not lost:
            self._recorder.withdraw(session.unproven())
            return False
        if not session.useful:
            self._most = len(self._sessions)
        return self._worked

    def _put(self, data: memoryview, offset: int) -> None:
        if self._work.limiter is not None:
            self._work.limiter.wait(len(data))
        self._timer.moved()
        self._arrived_b += len(data)
        count = len(data)
        while data:
            written = os.pwrite(self._fd, data, offset)
            data = data[written:]
            offset += written
        self._work.report_bytes(count)

    def _note(self, new: ByteRange) -> None:
        # No limit to the distance: waiting for the sum of an earlier part would hold up the link.
        self._hasher.advance(self._recorder.arrived(new), self._file.size_b)
