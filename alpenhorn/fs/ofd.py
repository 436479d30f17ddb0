"""Lock files whose bytes are locked with open-file-description locks (Linux, fcntl(2)).

Such a lock belongs to the open file, not to the process: two descriptors in one process exclude each other,
and closing any other descriptor of the file drops nothing.  The kernel drops it when the last copy of its
descriptor is closed, whatever the holder died of.  A forked child has such a copy, and an unlock by the child
would free the parent's lock; so every child that Python forks closes its copies at once, without unlocking.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import struct
import time
import weakref

from alpenhorn.errors import StorageError
from alpenhorn.fs.sharing import share_path

# struct flock of fcntl(2): type, whence, start, length (0: to the end of all offsets), pid (must be 0).
_FLOCK = struct.Struct("@hhqqi4x")

# Pauses of a wait with a deadline, in seconds.
_FIRST_PAUSE = 0.0005
_LONGEST_PAUSE = 0.008

_REOPENINGS = 100

_NO_SUCH_LOCKS = frozenset({errno.ENOSYS, errno.ENOLCK, errno.EINVAL, errno.EOPNOTSUPP})
_DENIED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


def exclusive(byte: int) -> bytes:
    """The request for an exclusive lock on one byte, for `LockFile.take`."""
    return _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0)


def shared(byte: int) -> bytes:
    """The request for a shared lock on one byte, for `LockFile.take`."""
    return _FLOCK.pack(fcntl.F_RDLCK, os.SEEK_SET, byte, 1, 0)


def unlocked(byte: int) -> bytes:
    """The request to let go of one byte, for `LockFile.drop`."""
    return _FLOCK.pack(fcntl.F_UNLCK, os.SEEK_SET, byte, 1, 0)


_NOTHING = _FLOCK.pack(fcntl.F_UNLCK, os.SEEK_SET, 0, 0, 0)


class LockFile:
    """An open lock file; it is made when missing, and never truncated or unlinked.

    Unlinking is what would let two processes hold one lock, on two files of the same name.  One object is
    for one thread.  Raises StorageError when the file cannot be opened or is not a regular file.
    """

    __slots__ = ("__weakref__", "fd", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self.fd = -1
        # Before the file is opened, so that no fork can come between its opening and its being known.
        _lock_files.add(self)
        try:
            # Whoever works on the tree must be able to lock it: what others may do is left to the umask.
            self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        except OSError as error:
            raise StorageError(_why_not_opened(path, error)) from error
        if not stat.S_ISREG(os.fstat(self.fd).st_mode):
            self.close()
            raise StorageError(f"{path} is no regular file: remove it, alpenhorn makes its lock file itself")

        if os.fstat(self.fd).st_uid == os.geteuid():
            with contextlib.suppress(OSError):
                share_path(path)

    def __del__(self) -> None:
        self.close()

    @property
    def closed(self) -> bool:
        """True after `close`, and in a child that was forked since the file was opened."""
        return self.fd < 0

    def take(self, request: bytes, deadline: float | None) -> bool:
        """Lock as `request` says; False when somebody else still had it at `deadline`.

        `deadline` is a time of time.monotonic(); one that has passed means one try, None means to wait as
        long as it takes.  Signal handlers run meanwhile, and the wait goes on unless they raise.
        Raises StorageError when the file system has no such locks, or fails.
        """
        if deadline is None:
            return self._call(fcntl.F_OFD_SETLKW, request)
        # The kernel's wait has no time limit, and an alarm to end it would belong to somebody else.
        pause = _FIRST_PAUSE
        while not self._call(fcntl.F_OFD_SETLK, request):
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(pause, left))
            pause = min(2 * pause, _LONGEST_PAUSE)
        return True

    def drop(self, request: bytes) -> None:
        """Let go as `request` says.  Raises StorageError when the file system fails."""
        self._call(fcntl.F_OFD_SETLK, request)

    def is_current(self) -> bool:
        """Whether the open file is still the one at its path."""
        try:
            return os.path.samestat(os.fstat(self.fd), os.stat(self.path, follow_symlinks=False))
        except FileNotFoundError:
            return False
        except OSError as error:
            raise StorageError(f"cannot look at the lock file {self.path}: {error.strerror}") from error

    def close(self) -> None:
        """Drop every lock and close the file; nothing happens when it is closed already."""
        if self.fd < 0:
            return
        fd, self.fd = self.fd, -1
        # Closing alone drops nothing while a child that was just forked still has its copy.
        with contextlib.suppress(OSError):
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _NOTHING)
        # A failing close has closed the descriptor all the same.
        with contextlib.suppress(OSError):
            os.close(fd)

    def close_copy(self) -> None:
        """In a forked child: close the copy and leave the parent its locks."""
        if self.fd >= 0:
            fd, self.fd = self.fd, -1
            with contextlib.suppress(OSError):
                os.close(fd)

    def _call(self, command: int, request: bytes) -> bool:
        try:
            # An interrupted call is made again by Python, after the signal's handler (PEP 475).
            fcntl.fcntl(self.fd, command, request)
        except OSError as error:
            if error.errno == errno.EAGAIN:
                return False
            if error.errno in _NO_SUCH_LOCKS:
                raise StorageError(
                    f"the file system of {self.path} has no open-file-description locks ({error.strerror}); "
                    "a node needs them: mount it with POSIX locks, or keep the node on another file system"
                ) from error
            raise StorageError(f"cannot lock {self.path}: {error.strerror}") from error
        return True


def take_current(path: str, request: bytes, deadline: float | None, file: LockFile | None) -> LockFile | None:
    """Lock as `request` says the file that stands at `path` once the lock is taken.

    `file` is the one that was opened earlier, if any; it is closed when another one is at `path` now.
    Returns the locked file, or None (with nothing left open) when `deadline` passed.  Raises as `LockFile`
    and its `take`, with nothing left open.
    """
    try:
        for _ in range(_REOPENINGS):
            if file is None or file.closed:
                file = LockFile(path)
            if not file.take(request, deadline):
                file.close()
                return None
            # Without this, a holder of a file that was replaced excludes nobody.
            if file.is_current():
                return file
            file.close()
    except BaseException:
        if file is not None:
            file.close()
        raise
    raise StorageError(f"{path} is replaced again and again: find out by what; it must stay in place")


def deadline_after(timeout: float | None, blocking: bool) -> float | None:
    """The deadline for `LockFile.take` that lies `timeout` seconds (None: for ever) from now."""
    if not blocking:
        return float("-inf")
    return None if timeout is None else time.monotonic() + timeout


def _why_not_opened(path: str, error: OSError) -> str:
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return f"{os.path.dirname(path)} is not there: is it mounted, and is the node's root right?"
    if error.errno in (errno.ELOOP, errno.EISDIR):
        return f"{path} is no regular file: remove it, alpenhorn makes its lock file itself"
    remedy = ""
    if error.errno in _DENIED:
        remedy = (
            "; the user running alpenhorn must be able to write to this file and its directory: give the root to a"
            " group in which all of them are, and make it writable for that group"
        )
    return f"cannot open the lock file {path}: {error.strerror}{remedy}"


_lock_files: weakref.WeakSet[LockFile] = weakref.WeakSet()


def _close_copies() -> None:
    for file in list(_lock_files):
        file.close_copy()


os.register_at_fork(after_in_child=_close_copies)
