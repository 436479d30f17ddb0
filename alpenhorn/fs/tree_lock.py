"""The up/down lock of a node's directory tree.

Creating directories and placing files needs *up*; removing directories needs *down*.  Any number of holders
may have it up, or any number down, but never both.  It prevents that one worker finds an existing directory,
another removes it because it is empty, and the first cannot create its file.

Three bytes of ROOT/.alpenhorn.lock are locked: a gate, up, down.  To enter a state: lock the gate
exclusively; lock the state's byte shared; wait until the other state's byte can be locked exclusively (its
holders finish while new ones wait at the gate, so neither state starves); release that byte and the gate.  To
leave: release the state's byte.  The kernel releases everything when a process ends, at any point.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import NamedTuple

from alpenhorn.errors import AlpenhornError
from alpenhorn.fs import ofd
from alpenhorn.reasons import Code

LOCK_NAME = ".alpenhorn.lock"

# Seconds that a worker waits for the lock: it is held for a few renames, and a pull's deadline is longer.
LOCK_SECONDS = 60.0

_GATE, _UP, _DOWN, _PROBE = range(4)

_LOCK_GATE = ofd.exclusive(_GATE)
_UNLOCK_GATE = ofd.unlocked(_GATE)


class LockState(NamedTuple):
    """One of the two states, with the lock requests for entering and leaving it."""

    name: str
    own: bytes
    leave: bytes
    drain: bytes
    drained: bytes


UP = LockState("up", ofd.shared(_UP), ofd.unlocked(_UP), ofd.exclusive(_DOWN), ofd.unlocked(_DOWN))
DOWN = LockState("down", ofd.shared(_DOWN), ofd.unlocked(_DOWN), ofd.exclusive(_UP), ofd.unlocked(_UP))


class LockOrderError(AlpenhornError):
    """A holder of one state asked for the other: a program error, which would deadlock."""


class LockTimeout(AlpenhornError):
    """The lock was not taken in time.  `seconds`: 0 if there was no wait; `holders`: known processes that hold it."""

    code = Code.TREE_LOCK_TIMED_OUT

    def __init__(self, root: str, state: str, seconds: float, holders: Sequence[str] = ()) -> None:
        super().__init__(root, state, seconds, holders)
        self.root = root
        self.state = state
        self.seconds = seconds
        self.holders = holders

    def __str__(self) -> str:
        path = f"{self.root}/{LOCK_NAME}"
        waited = f" within {self.seconds:g} s" if self.seconds > 0 else ""
        if self.holders:
            held = f"held by {', '.join(self.holders)}; try again when it has ended"
        else:
            held = (
                "held by a process on another host, or by another user; try again when it has ended"
                f" (as root on each host with the node mounted: fuser -v {path})"
            )
        return f"{self.root}: cannot lock the directory tree ({self.state}){waited}: {path} is {held}"


class TreeLock:
    """A holder of the up/down lock of the node at `root`.

        with tree_lock.up(): ...
        with tree_lock.down(timeout=5): ...

    Each object is one holder, even in the same process, for use in one thread.  A holder may enter its state
    again.  A forked child holds nothing, and may use the object as a new holder.  Waiting for one node's lock
    while holding another's can deadlock: hold one at a time, or set a timeout.

    The file is opened when first needed, and stays open until `close` or the end of the object.  `seconds`:
    the default timeout.  `stopping`: when it returns true, a wait soon ends with Stopped.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        seconds: float | None = None,
        stopping: Callable[[], bool] | None = None,
    ) -> None:
        self.root = os.fspath(root)
        self.seconds = seconds
        self.stopping = stopping
        self.path = os.path.join(self.root, LOCK_NAME)
        self._file: ofd.LockFile | None = None
        self._state: LockState | None = None
        self._depth = 0

    def up(self, timeout: float | None = None, blocking: bool = True) -> LockContext:
        """Return a context for creating directories and placing files.

        `timeout`: maximum seconds for the whole wait, None for the object's default.  Without `blocking`,
        there is one try, which also fails while another holder of either state is entering.  Entering raises
        LockTimeout, LockOrderError (at once, if this holder has it down), and StorageError if the lock file
        cannot be opened or locked; nothing is held then.
        """
        return LockContext(self, UP, timeout, blocking)

    def down(self, timeout: float | None = None, blocking: bool = True) -> LockContext:
        """Return a context for removing directories; otherwise as `up`."""
        return LockContext(self, DOWN, timeout, blocking)

    def close(self) -> None:
        """Release everything and close the file; it is opened again when needed."""
        if self._file is not None:
            self._file.close()

    def _enter(self, state: LockState, timeout: float | None, blocking: bool) -> ofd.LockFile:
        file = self._file
        if self._depth and file is not None and not file.closed:
            if state is not self._state:
                raise LockOrderError(f"{self.root}: asked for {state.name} while holding the other state")
            self._depth += 1
            return file
        self._file = file = self._acquire(state, timeout, blocking)
        self._state = state
        self._depth = 1
        return file

    def _acquire(self, state: LockState, timeout: float | None, blocking: bool) -> ofd.LockFile:
        timeout = self.seconds if timeout is None else timeout
        deadline = ofd.deadline_after(timeout, blocking)
        file = ofd.acquire_current(self.path, _LOCK_GATE, deadline, self._file, stopping=self.stopping)
        waited_for = _LOCK_GATE
        if file is not None:
            try:
                for waited_for in (state.own, state.drain):
                    if not file.acquire(waited_for, deadline, self.stopping):
                        break
                else:
                    file.release(state.drained)
                    file.release(_UNLOCK_GATE)
                    return file
            except BaseException:
                file.close()
                raise
            file.close()
        seconds = (timeout or 0.0) if blocking else 0.0
        raise LockTimeout(self.root, state.name, seconds, self._holders(waited_for) if seconds else ())

    def _holders(self, request: bytes) -> list[str]:
        from alpenhorn.fs.holders import holders  # for a message only

        try:
            return holders(os.stat(self.path, follow_symlinks=False), LOCK_NAME, ofd.byte_of(request))
        except OSError:
            return []

    def _leave(self, file: ofd.LockFile, state: LockState) -> None:
        if file.closed:
            # `close` was called inside, or this is a forked child, which would release its parent's lock.
            return
        self._depth -= 1
        if self._depth == 0:
            try:
                file.release(state.leave)
            except BaseException:
                file.close()
                raise


class LockContext:
    """The context manager returned by `TreeLock.up` and `TreeLock.down`; enter it once."""

    __slots__ = ("_blocking", "_file", "_lock", "_state", "_timeout")

    _file: ofd.LockFile

    def __init__(self, lock: TreeLock, state: LockState, timeout: float | None, blocking: bool) -> None:
        self._lock = lock
        self._state = state
        self._timeout = timeout
        self._blocking = blocking

    def __enter__(self) -> None:
        self._file = self._lock._enter(self._state, self._timeout, self._blocking)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock._leave(self._file, self._state)


def probe_locks(root: str | os.PathLike[str]) -> None:
    """Take and release a lock on the node's lock file, created if missing, without affecting holders.

    Raises StorageError if the file cannot be opened, or its file system has no such locks.
    """
    file = ofd.LockFile(os.path.join(os.fspath(root), LOCK_NAME))
    try:
        file.acquire(ofd.exclusive(_PROBE), ofd.deadline_after(None, blocking=False))
    finally:
        file.close()
