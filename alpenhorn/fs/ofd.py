"""Lock files with open-file-description locks on their bytes (Linux, fcntl(2)).

Such a lock belongs to the open file, not to the process: two descriptors in one process exclude each other,
and closing another descriptor of the file releases nothing.  The kernel releases it when the last copy of its
descriptor is closed, however the holder ends.  A forked child has such a copy, and an unlock by the child
would release the parent's lock; so every child forked by Python closes its copies at once, without unlocking.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
import time
import weakref
from collections.abc import Callable

from alpenhorn.errors import Stopped, StorageError
from alpenhorn.fs.own import open_own
from alpenhorn.reasons import Code, Reason

# struct flock of fcntl(2): type, whence, start, length (0: to the largest offset), pid (must be 0).
_FLOCK = struct.Struct("@hhqqi4x")

# Pauses of a wait with a deadline, in seconds.
_FIRST_PAUSE = 0.0005
_LONGEST_PAUSE = 0.008

# Seconds to wait on after the run was asked to stop: locks are held briefly, and the waiting work is
# finished.
_STOP_GRACE = 1.0

_REOPENINGS = 100

_NO_SUCH_LOCKS = frozenset({errno.ENOSYS, errno.ENOLCK, errno.EINVAL, errno.EOPNOTSUPP})
_DENIED = frozenset({errno.EACCES, errno.EPERM})


def exclusive(byte: int, length: int = 1) -> bytes:
    """Return the request for an exclusive lock on `length` bytes, for `LockFile.acquire`; 0: all further ones."""
    return _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, byte, length, 0)


def shared(byte: int) -> bytes:
    """Return the request for a shared lock on one byte, for `LockFile.acquire`."""
    return _FLOCK.pack(fcntl.F_RDLCK, os.SEEK_SET, byte, 1, 0)


def unlocked(byte: int, length: int = 1) -> bytes:
    """Return the request to release `length` bytes, for `LockFile.release`; 0: all further ones."""
    return _FLOCK.pack(fcntl.F_UNLCK, os.SEEK_SET, byte, length, 0)


_NOTHING = _FLOCK.pack(fcntl.F_UNLCK, os.SEEK_SET, 0, 0, 0)


class LockFile:
    """An open lock file; created if missing, never truncated or removed.

    Removing it would let two processes hold one lock, on two files of the same name.  Use each object in one
    thread only.  `root`: the directory of the file, or the one above if the file is in our own directory;
    symbolic links below it are not followed.  Raises StorageError if the file cannot be opened or is not a
    lock file of ours.
    """

    __slots__ = ("__weakref__", "fd", "path")

    def __init__(self, path: str, root: str | None = None) -> None:
        self.path = path
        self.fd = -1
        # Before the file is opened, so that no fork can come between opening and registering it.
        _lock_files.add(self)
        root = os.path.dirname(path) if root is None else root
        try:
            self.fd = open_own(root, os.path.relpath(path, root), os.O_RDWR | os.O_CREAT)
        except OSError as error:
            raise StorageError(_why_not_opened(path, root, error)) from error

    def __del__(self) -> None:
        self.close()

    @property
    def closed(self) -> bool:
        """True after `close`, and in a child forked after the file was opened."""
        return self.fd < 0

    def acquire(
        self, request: bytes, deadline: float | None, stopping: Callable[[], bool] | None = None
    ) -> bool:
        """Take the lock of `request`; return False if another holder still has it at `deadline`.

        `deadline`: a time of time.monotonic(); a past one means one try, None means no limit.  Signal
        handlers run during the wait, which continues unless they raise, or make `stopping` return true.  Then
        raises Stopped after a moment.  Raises StorageError if the file system has no such locks, or fails.
        """
        if deadline is None and stopping is None:
            return self._call(fcntl.F_OFD_SETLKW, request)
        # The kernel's wait has no timeout, and an alarm signal may be in use.
        pause = _FIRST_PAUSE
        end = float("inf") if deadline is None else deadline
        stop = float("inf")
        while not self._call(fcntl.F_OFD_SETLK, request):
            now = time.monotonic()
            if now >= end:
                return False
            if now >= stop:
                raise Stopped(f"the run was asked to stop while waiting for the lock {self.path}")
            if stopping is not None and stop == float("inf") and stopping():
                stop = now + _STOP_GRACE
            left = min(end, stop) - now
            time.sleep(min(pause, left))
            pause = min(2 * pause, _LONGEST_PAUSE)
        return True

    def release(self, request: bytes) -> None:
        """Release the lock of `request`.  Raises StorageError if the file system fails."""
        self._call(fcntl.F_OFD_SETLK, request)

    def is_current(self) -> bool:
        """Return whether the open file is still the one at its path."""
        try:
            return os.path.samestat(os.fstat(self.fd), os.stat(self.path, follow_symlinks=False))
        except FileNotFoundError:
            return False
        except OSError as error:
            raise StorageError(Code.LOCK_FILE_UNREADABLE(path=self.path, why=error.strerror)) from error

    def close(self) -> None:
        """Release every lock and close the file, unless it is closed already."""
        if self.fd < 0:
            return
        fd, self.fd = self.fd, -1
        # Closing alone releases nothing while a child that was just forked still has its copy.
        with contextlib.suppress(OSError):
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _NOTHING)
        # The descriptor is closed even if close fails.
        with contextlib.suppress(OSError):
            os.close(fd)

    def close_copy(self) -> None:
        """In a forked child: close the copy, and keep the parent's locks."""
        if self.fd >= 0:
            fd, self.fd = self.fd, -1
            with contextlib.suppress(OSError):
                os.close(fd)

    def _call(self, command: int, request: bytes) -> bool:
        try:
            # Python repeats an interrupted call after the signal's handler (PEP 475).
            fcntl.fcntl(self.fd, command, request)
        except OSError as error:
            if error.errno == errno.EAGAIN:
                return False
            if error.errno in _NO_SUCH_LOCKS:
                why = Code.FILE_SYSTEM_WITHOUT_LOCKS(path=self.path, why=error.strerror)
                raise StorageError(why) from error
            raise StorageError(Code.LOCKING_FAILED(path=self.path, why=error.strerror)) from error
        return True


def acquire_current(
    path: str,
    request: bytes,
    deadline: float | None,
    file: LockFile | None,
    root: str | None = None,
    stopping: Callable[[], bool] | None = None,
) -> LockFile | None:
    """Take the lock of `request` on the file that is at `path` once the lock is taken.

    `file`: the file opened earlier, if any; closed if another one is at `path` now.  `root`: as for
    `LockFile`.  Returns the locked file, or None (with nothing left open) after `deadline`.  Raises as
    `LockFile` and its `acquire`, with nothing left open.
    """
    try:
        for _ in range(_REOPENINGS):
            if file is None or file.closed:
                file = LockFile(path, root)
            if not file.acquire(request, deadline, stopping):
                file.close()
                return None
            # Otherwise the holder of a replaced file would exclude nobody.
            if file.is_current():
                return file
            file.close()
    except BaseException:
        if file is not None:
            file.close()
        raise
    raise StorageError(Code.LOCK_FILE_REPLACED(path=path))


def deadline_after(timeout: float | None, blocking: bool) -> float | None:
    """Return the deadline for `LockFile.acquire` in `timeout` seconds (None: no limit)."""
    if not blocking:
        return float("-inf")
    return None if timeout is None else time.monotonic() + timeout


def byte_of(request: bytes) -> int:
    """Return the byte of a lock request."""
    start: int = _FLOCK.unpack(request)[2]
    return start


def _why_not_opened(path: str, root: str, error: OSError) -> Reason:
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return Code.LOCK_FILE_WITHOUT_ROOT(root=root)
    if error.errno == errno.EROFS:
        return Code.LOCK_FILE_READ_ONLY(path=path, why=error.strerror)
    code = Code.LOCK_FILE_DENIED if error.errno in _DENIED else Code.LOCK_FILE_NOT_OPENED
    return code(path=path, why=error.strerror)


_lock_files: weakref.WeakSet[LockFile] = weakref.WeakSet()


def _close_copies() -> None:
    for file in list(_lock_files):
        file.close_copy()


os.register_at_fork(after_in_child=_close_copies)
