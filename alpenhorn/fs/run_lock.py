"""The run lock: one run at a time on a node.

It is an open-file-description lock.  A POSIX record lock would be freed by the first other descriptor of the
file that the process closes (whoever reads the holder's line, or walks the directory), and would not exclude
a second lock object in the same process.  What speaks against the other kind is that a forked child's copy
keeps it; children close their copies when they are forked (`alpenhorn.fs.ofd`), so that workers may be
forked before and after it was taken, and one that outlives its parent keeps nothing.
"""

from __future__ import annotations

import contextlib
import os
import time
from types import TracebackType

from alpenhorn.errors import Busy, StorageError
from alpenhorn.fs import ofd
from alpenhorn.fs.sharing import share_path

RUN_LOCK = ".alpenhorn/run.lock"

_TAKE = ofd.exclusive(0)

# The holder's line is padded to this many bytes, so that it is overwritten whole and never truncated.
_LINE_B = 160
# Behind it, the note of the last run, padded likewise.
_NOTE_B = 128


class RunLock:
    """The run lock of one node, whose file is `path` (ROOT/.alpenhorn/run.lock).

    The file's directory is made, with mode 0700, when it is missing; the root is not.  The file must not be
    removed while anybody may run, tidying included.  One object is for one thread.  As a context manager it
    takes the lock without a wait, unless it has it already, raises Busy when another run has it, and
    releases it at the end.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self._file: ofd.LockFile | None = None

    @property
    def held(self) -> bool:
        """Whether this object has the lock; a forked child's copy of it never has."""
        return self._file is not None and not self._file.closed

    def acquire(self, wait: bool = False, timeout: float | None = None) -> bool:
        """Take the lock; False when another run has it.  Nothing happens when it is held already.

        With `wait`, wait for it for `timeout` seconds, or as long as it takes.  A wait goes on after a
        signal whose handler only sets a flag: who wants to look at the flag waits in pieces.
        Raises StorageError when the root is not there, the file cannot be opened, or its file system has no
        such locks.
        """
        if self.held:
            return True
        try:
            os.mkdir(os.path.dirname(self.path), 0o700)
            share_path(os.path.dirname(self.path))
        except FileExistsError:
            pass
        except FileNotFoundError as error:
            root = os.path.dirname(os.path.dirname(self.path))
            raise StorageError(f"{root} is not there: is it mounted, is the node's root right?") from error
        except OSError as error:
            raise StorageError(
                f"cannot make {os.path.dirname(self.path)}: {error.strerror}; "
                "who runs alpenhorn on this node must be able to write to its root"
            ) from error
        self._file = ofd.take_current(self.path, _TAKE, ofd.deadline_after(timeout, blocking=wait), None)
        if self._file is None:
            return False
        since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
        line = f"pid {os.getpid()} on {os.uname().nodename} since {since}".encode()
        # A full disk must not keep a run from the node; the line is only for messages.
        with contextlib.suppress(OSError):
            os.pwrite(self._file.fd, line[: _LINE_B - 1].ljust(_LINE_B - 1) + b"\n", 0)
        return True

    def note(self, text: str) -> None:
        """Leave a note for the next run that takes the lock; it is not flushed.  Only while the lock is held."""
        assert self._file is not None
        line = text.encode()[: _NOTE_B - 1].ljust(_NOTE_B - 1) + b"\n"
        with contextlib.suppress(OSError):  # as above
            os.pwrite(self._file.fd, line, _LINE_B)

    def noted(self) -> str:
        """The note of the last run that left one, "" for none."""
        try:
            with open(self.path, "rb", opener=_open_to_read) as file:
                return file.read(_LINE_B + _NOTE_B)[_LINE_B:].decode(errors="replace").strip()
        except OSError:
            return ""

    def release(self) -> None:
        """Let go of the lock; nothing happens when it is not held, nor in a forked child."""
        if self._file is not None:
            self._file.close()

    def holder(self) -> str:
        """Who took the lock last: "pid N on HOST since T".  For messages only, no proof that it is held."""
        try:
            with open(self.path, "rb", opener=_open_to_read) as file:
                line = file.read(_LINE_B).decode(errors="replace").strip()
        except OSError:
            line = ""
        return line or "it left no name"

    def __enter__(self) -> RunLock:
        if not self.acquire():
            raise Busy(f"another run ({self.holder()}) holds {self.path}; try again when it has ended")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _open_to_read(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW)
