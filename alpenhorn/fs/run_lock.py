"""The run lock: one run at a time on a node.

It is an open-file-description lock.  A POSIX record lock would be released when the process closes any other
descriptor of the file (as after reading the holder's line), and would not exclude a second lock object in the
same process.  A forked child's copy would keep the lock; so children close their copies at once
(`alpenhorn.fs.ofd`), and workers may be forked before and after it is taken.

A job of a run on another machine of a cluster may outlive the run for a moment, because no signal reaches it there.
Its process holds a byte of the same file, beyond those of the run.  The next run gets the lock only when none of
these bytes is held, so it never works beside a job of an earlier run.
"""

from __future__ import annotations

import contextlib
import os
import time
from types import TracebackType

from alpenhorn.errors import Busy, StorageError
from alpenhorn.fs import ofd
from alpenhorn.fs.own import PRIVATE, open_own

RUN_LOCK = f"{PRIVATE}/run.lock"

_LOCK = ofd.exclusive(0)

# The bytes of jobs on other machines: each takes a random one, so that two never take the same.
_FIRST_OF_JOBS = 2**20
_LAST_OF_JOBS = 2**52
_DRAIN = ofd.exclusive(_FIRST_OF_JOBS, 0)
_DRAINED = ofd.unlocked(_FIRST_OF_JOBS, 0)
_STILL_WORKS = "whose jobs on other machines have not ended yet"

# The holder's line is padded to this length, so that it is overwritten completely and never truncated.
_LINE_B = 160
# The note of the last run after it, padded too.
_NOTE_B = 128


class RunLock:
    """The run lock of one node, with the file `path` (ROOT/.alpenhorn/run.lock).

    The file and its directory, but not the root, are created if missing, for those who can write to the root.
    The file must not be removed while a run may be active.  Use each object in one thread only.  As a context
    manager, it takes the lock without waiting unless it holds it already, raises Busy if another run has it,
    and releases it at the end.  `pid`: the process that works under the lock, None for this one.
    """

    def __init__(self, path: str | os.PathLike[str], pid: int | None = None) -> None:
        self.path = os.fspath(path)
        self._pid = pid
        self._root = os.path.dirname(os.path.dirname(self.path))
        self._file: ofd.LockFile | None = None
        self._waits_for_jobs = False

    @property
    def held(self) -> bool:
        """Whether this object holds the lock; a forked child's copy never does."""
        return self._file is not None and not self._file.closed

    def acquire(self, wait: bool = False, timeout: float | None = None) -> bool:
        """Take the lock, unless it is held already; return False if another run has it, or a job of one.

        With `wait`, wait up to `timeout` seconds, or without limit.  The wait continues after a signal whose
        handler only sets a flag; to check the flag, wait in short steps.  Raises StorageError if the root is
        missing, the file cannot be opened, or its file system has no such locks.
        """
        if self.held:
            return True
        deadline = ofd.deadline_after(timeout, blocking=wait)
        self._file = ofd.acquire_current(self.path, _LOCK, deadline, None, self._root)
        if self._file is None:
            return False
        try:
            self._waits_for_jobs = not self._file.acquire(_DRAIN, deadline)
            self._file.release(_DRAINED)
        except BaseException:
            self._file.close()
            raise
        if self._waits_for_jobs:
            self._file.close()
            return False
        since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
        line = f"pid {os.getpid() if self._pid is None else self._pid} on {os.uname().nodename} since {since}".encode()
        # The line is for messages only; a full disk must not prevent a run.
        with contextlib.suppress(OSError):
            os.pwrite(self._file.fd, line[: _LINE_B - 1].ljust(_LINE_B - 1) + b"\n", 0)
        return True

    def note(self, text: str) -> None:
        """Leave a note for the next run that takes the lock, without flushing it.  Only while the lock is held."""
        assert self._file is not None
        line = text.encode()[: _NOTE_B - 1].ljust(_NOTE_B - 1) + b"\n"
        with contextlib.suppress(OSError):  # as above
            os.pwrite(self._file.fd, line, _LINE_B)

    def noted(self) -> str:
        """Return the note of the last run that left one, "" for none."""
        try:
            return self._read()[_LINE_B:].decode(errors="replace").strip()
        except (OSError, StorageError):
            return ""

    def release(self) -> None:
        """Release the lock, if it is held by this process."""
        if self._file is not None:
            self._file.close()

    def holder(self) -> str:
        """Return the last holder of the lock, "pid N on HOST since T".  For messages only: it may have ended."""
        try:
            line = self._read()[:_LINE_B].decode(errors="replace").strip()
        except (OSError, StorageError):
            line = ""
        found = line or "unknown process"
        return f"{found}, {_STILL_WORKS}" if self._waits_for_jobs else found

    def _read(self) -> bytes:
        fd = open_own(self._root, RUN_LOCK, os.O_RDONLY)
        try:
            return os.read(fd, _LINE_B + _NOTE_B)
        finally:
            os.close(fd)

    def __enter__(self) -> RunLock:
        if not self.acquire():
            raise Busy(f"{self.path}: held by another run ({self.holder()}); try again when it has ended")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def job_byte() -> int:
    """Return a byte for a process that carries out jobs on another machine."""
    # The module secrets takes 3 ms to import.
    return _FIRST_OF_JOBS + int.from_bytes(os.urandom(6)) % (_LAST_OF_JOBS - _FIRST_OF_JOBS)


class JobLock:
    """The lock of a process that carries out jobs on another machine, on the run lock's file of the node at `root`.

    The kernel releases it when the process ends, so another host can prove with `job_has_ended` that it did.
    """

    def __init__(self, root: str, byte: int) -> None:
        self._path = os.path.join(root, RUN_LOCK)
        self._root = root
        self._byte = byte
        self._file: ofd.LockFile | None = None

    def acquire(self) -> bool:
        """Take the lock, unless it is held; return False if a run is beginning.  Raises StorageError."""
        if self._file is not None and not self._file.closed and self._file.is_current():
            return True
        self._file = _acquire_byte(self._path, self._root, self._byte, 0.0)
        return self._file is not None


def job_has_ended(root: str, byte: int, seconds: float) -> bool:
    """Return whether the process with that byte has ended, after at most `seconds`.  Raises StorageError."""
    file = _acquire_byte(os.path.join(root, RUN_LOCK), root, byte, seconds)
    if file is not None:
        file.close()
    return file is not None


def _acquire_byte(path: str, root: str, byte: int, seconds: float) -> ofd.LockFile | None:
    deadline = ofd.deadline_after(seconds, blocking=seconds > 0)
    return ofd.acquire_current(path, ofd.exclusive(byte), deadline, None, root)
