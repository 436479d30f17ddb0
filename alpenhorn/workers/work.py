"""The state of a pull job: files that have arrived, results, and progress."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import NamedTuple

from alpenhorn.config import Transfer
from alpenhorn.errors import AlpenhornError, Stopped, StorageError, UnsafePath
from alpenhorn.fs.flushing import FEW
from alpenhorn.fs.hashing import Digests
from alpenhorn.fs.placing import KeptAside, Occupied, Outcome, Stage
from alpenhorn.fs.tree_lock import LOCK_SECONDS, TreeLock
from alpenhorn.io.base import DirectoryNode, Node
from alpenhorn.model.pulls import Method, PullFile, PullJob, PullResult
from alpenhorn.model.tasks import Blame, Reporter, Verdict
from alpenhorn.reasons import Code, Reason, Why
from alpenhorn.transfer import range_part
from alpenhorn.transfer.blame import TransferFailed, destination_failed, is_ours
from alpenhorn.transfer.rate_limiter import RateLimiter
from alpenhorn.transfer.session_timer import SessionTimer, length_below, session_seconds
from alpenhorn.workers.names import NameChecker

REPORT_SECONDS = 0.2  # seconds
LEAST_ADVANCE = 2**20  # bytes; a pull that advances less per run may back off

# O_NONBLOCK: a fifo in place of a file must not block the worker.
READ = os.O_RDONLY | os.O_NONBLOCK


class ArrivedFile:
    """A verified file, its name in the stage, and its SHA-256 sum, "" if that was not computed.

    `verified_status`, `unread`: as in `PullResult`.
    """

    __slots__ = ("file", "method", "name", "sha256", "started", "unread", "verified_status")

    def __init__(self, file: PullFile, name: str, started: float, method: Method, sha256: str = "") -> None:
        self.file = file
        self.name = name
        self.started = started
        self.method = method
        self.sha256 = sha256
        self.verified_status = ""
        self.unread = False


class HashedPart(NamedTuple):
    """A complete part that was hashed while it arrived: its inode, and its sums.  It is open, so that no other file
    gets the inode's number.
    """

    inode: int
    digests: Digests


class PullState:
    """The state of one pull job.  `arrived`: verified files to flush and place.

    `witness`: the file, relative to the root, that identifies the storage of a source on another host; "" for
    a storage class without one.  `unseen`: why it is unknown whether the source's storage is there, or "".
    `without_tar`: hosts from which no tar stream could be read, filled here, so that the next jobs do not try again.
    `ranges_b`: bytes of ranges that have arrived; the length of their part says nothing.  `hashed`: the part that
    need not be read again.
    """

    def __init__(
        self,
        job: PullJob,
        node: DirectoryNode,
        stage: Stage,
        transfer: Transfer,
        report: Reporter,
        source: Node | None,
        witness: str,
        results: dict[PullFile, PullResult],
        deadline: float | None = None,
        without_tar: set[str] | None = None,
    ) -> None:
        self.job = job
        self.node = node
        self.stage = stage
        self.transfer = transfer
        self.report = report
        self.source = source
        self.witness = witness if source is None else ""
        self.unseen: Why = Code.SOURCE_MARKER_NOT_ASKED_FOR() if self.witness else ""
        self.results = results
        self.without_tar: set[str] = set() if without_tar is None else without_tar
        self.lock = TreeLock(node.root, LOCK_SECONDS, report.stopping)
        self.names = NameChecker(stage.abilities, node.node.name)
        self.flush_each = len(job.files) <= FEW
        self.arrived: list[ArrivedFile] = []
        self.began = time.time()
        self.limiter = RateLimiter(job.rate, self.stopping) if job.rate else None
        self.ranges_b = 0
        self.hashed: HashedPart | None = None
        self.deadline = deadline
        self._part_b = length_below(stage.fd) if source is None and stage.keeps_parts else 0
        self._pulled = False
        self._files = 0
        self._bytes = 0
        self._reported = self._started = time.monotonic()

    def stopping(self) -> bool:
        """Return whether to stop: the run is stopping, or another bandwidth limit has begun."""
        return self.report.stopping() or (self.job.until is not None and time.time() >= self.job.until)

    def check_stopping(self) -> None:
        if self.stopping():
            raise Stopped

    def timer(self) -> SessionTimer:
        """Return the time limits of a session with another host."""
        limit = self.deadline
        end = None if limit is None else self._started + session_seconds(limit)
        return SessionTimer(
            self.job.source.host,
            self.transfer.stall_timeout,
            lambda: length_below(self.stage.fd),
            end,
            limit or 0.0,
        )

    def advanced(self) -> bool:
        """Return whether a later run has less to transfer: files have arrived, or a partial file has grown."""
        if self.arrived or self._pulled:
            return True
        if self.ranges_b >= LEAST_ADVANCE:
            return True
        has_ranges = os.access(range_part.PART, os.F_OK, dir_fd=self.stage.fd)
        grown_b = 0 if has_ranges else length_below(self.stage.fd) - self._part_b
        return self.stage.keeps_parts and grown_b >= LEAST_ADVANCE

    def begin_part(self) -> None:
        """Note the length of the part that a method continues by its length."""
        self._part_b = length_below(self.stage.fd)

    def sums_of(self, fd: int, file: PullFile) -> tuple[int, Digests] | None:
        """Return the length and the sums of an open file of the stage if it was hashed while it arrived, once."""
        known, self.hashed = self.hashed, None
        status = os.fstat(fd)
        if known is None or (status.st_ino, status.st_size) != (known.inode, file.size_b):
            return None
        return status.st_size, known.digests

    def fail(self, file: PullFile, error: TransferFailed, started: float | None = None) -> None:
        """Record a failure; raise an error of the destination, which would hit the next file too."""
        self.record_failure(file, error, started)
        if error.blame is Blame.DESTINATION:
            raise error

    def record_failure(self, file: PullFile, error: TransferFailed, started: float | None = None) -> None:
        """Record a failure."""
        if error.blame is Blame.SOURCE:
            error = self._if_source_is_there(error)
        if self.job.staged and error.full and error.blame is Blame.DESTINATION:
            error = TransferFailed(error.blame, Code.STAGE_FULL(root=self.node.root), full=True)
        unmounted = False
        if error.blame is Blame.SOURCE and self.unseen:
            unmounted = True
            error = TransferFailed(Blame.NETWORK, self.unseen)
        result = failed(self.job, file, error, self.began if started is None else started)
        advanced = error.blame is Blame.NETWORK and not unmounted and self.advanced()
        self.results[file] = result._replace(unmounted=unmounted, advanced=advanced)
        self.report.fail()
        self.report_progress(files=1)

    def _if_source_is_there(self, error: TransferFailed) -> TransferFailed:
        """Return the error, blamed on the source only if its node is there: an unmounted disk is not empty.

        Objects are looked for together with their witness.
        """
        if isinstance(self.source, DirectoryNode):
            try:
                self.source.check()
            except (StorageError, OSError) as gone:
                return TransferFailed(Blame.UNKNOWN, Code.SOURCE_NODE_UNUSABLE(why=gone))
        return error

    def source_unusable(self, error: StorageError | OSError) -> TransferFailed:
        """Return the failure of all files because their node cannot be read here: nothing is known of its copies."""
        source = self.job.source
        if source.host == self.job.node.host:
            return TransferFailed(Blame.UNKNOWN, Code.SOURCE_NODE_UNUSABLE_HERE(node=source.name, why=error))
        self.unseen = Code.OBJECTS_NOT_READ_HERE(
            node=source.name, host=source.host, remote=source.where, why=error
        )
        return TransferFailed(Blame.SOURCE, self.unseen)

    def give_up(self, error: TransferFailed) -> None:
        """Record the failure for each file without a result."""
        for file in self.job.files:
            if file not in self.results:
                self.record_failure(file, error)

    def record_placed(self, one: ArrivedFile, outcome: Outcome | AlpenhornError, space_b: int | None) -> None:
        """Record the outcome of `Stage.place` or `Stage.link` for a file."""
        if isinstance(outcome, Occupied):
            self.record_occupied(one.file, one.started)
        elif outcome is not None and not isinstance(outcome, KeptAside):
            self.record_failure(one.file, destination_trouble(outcome), one.started)
        else:
            self._pulled = True
            aside = "" if outcome is None else outcome.path
            self.results[one.file] = PullResult(
                one.file,
                Verdict.PULLED,
                one.started,
                time.time(),
                space_b,
                one.method,
                aside=aside,
                sha256=one.sha256,
                verified_status=one.verified_status,
                unread=one.unread,
            )
            self.report_progress(files=1)

    def record_occupied(self, file: PullFile, started: float, why: Why = "") -> None:
        """Record that something else is at the path.  `why`: what, if more is known."""
        error = why or Code.PATH_OCCUPIED(path=repr(file.path))
        self.results[file] = PullResult(file, Verdict.OCCUPIED, started, time.time(), error=error)
        self.report_progress(files=1)

    def record_on_tape(self, file: PullFile, error: Reason) -> None:
        """Record that the source was not read, since that would wait for tape."""
        self.results[file] = PullResult(file, Verdict.AWAY, self.began, time.time(), error=error)
        self.report_progress(files=1)

    def discard(self, name: str) -> None:
        """Remove a useless file from the stage."""
        with suppress(OSError):
            os.unlink(name, dir_fd=self.stage.fd)

    def report_bytes(self, count: int) -> None:
        self.report_progress(size_b=count)

    def report_progress(self, files: int = 0, size_b: int = 0, now: bool = False) -> None:
        """Report progress, at most every REPORT_SECONDS seconds."""
        self._files += files
        self._bytes += size_b
        if now or time.monotonic() - self._reported > REPORT_SECONDS:
            self._reported = time.monotonic()
            self.report.progress(self._files, self._bytes)
            self._files = self._bytes = 0


def failed(job: PullJob, file: PullFile, error: TransferFailed, started: float) -> PullResult:
    return PullResult(
        file,
        Verdict.FAILED,
        started,
        time.time(),
        method=job.method,
        blame=error.blame,
        error=error.reason,
    )


def destination_trouble(error: OSError | AlpenhornError) -> TransferFailed:
    """Return an error raised at the destination as a TransferFailed with its blame."""
    if isinstance(error, TransferFailed):
        return error
    if isinstance(error, OSError | UnsafePath):
        return destination_failed(error)
    cause = error.__cause__ or error.__context__
    if isinstance(cause, OSError) and is_ours(cause):
        return destination_failed(cause)
    return TransferFailed(Blame.DESTINATION, error.reason)
