"""The up/down lock of a node's directory tree.

Making directories and placing files in them needs *up*; removing directories needs *down*.  Any number of
holders may have it up, or any number down, never both.  It prevents this: one worker sees that a directory
exists and does not make it; another removes it, because it is empty; the first cannot create its file.

Three bytes of ROOT/.alpenhorn.lock are locked: a gate, up, down.  To enter a state: take the gate
exclusively; take the state's byte shared; wait until the other state's byte can be taken exclusively (its
holders drain, while newcomers queue at the gate, so neither state starves); let go of that and of the gate.
To leave: let go of the state's byte.  The kernel lets go of everything when a process dies, at any point.
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

# Seconds that a worker waits for the lock: others hold it for some renames, and a pull's deadline is longer.
PATIENCE = 60.0

_GATE, _UP, _DOWN, _PROBE = range(4)

_TAKE_GATE = ofd.exclusive(_GATE)
_DROP_GATE = ofd.unlocked(_GATE)


class State(NamedTuple):
    """One of the two states, with the lock requests that entering and leaving it take."""

    name: str
    own: bytes
    leave: bytes
    drain: bytes
    drained: bytes


UP = State("up", ofd.shared(_UP), ofd.unlocked(_UP), ofd.exclusive(_DOWN), ofd.unlocked(_DOWN))
DOWN = State("down", ofd.shared(_DOWN), ofd.unlocked(_DOWN), ofd.exclusive(_UP), ofd.unlocked(_UP))


class LockOrderError(AlpenhornError):
    """A holder of one state asked for the other: a mistake in the program, which would wait for itself."""


class LockTimeout(AlpenhornError):
    """The tree could not be had in time.  `seconds` is 0 when there was to be no wait at all; `holders`: the processes
    that are known to be in the way."""

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
            held = f"held by {', '.join(self.holders)}; try again when that has ended"
        else:
            held = (
                "held by a process on another host, or of another user; try again when it has ended"
                f" (as root, on each host that mounts the node: fuser -v {path})"
            )
        return f"{self.root}: cannot lock the directory tree ({self.state}){waited}: {path} is {held}"


class TreeLock:
    """One holder of the up/down lock of the node at `root`.

        with tree_lock.up(): ...
        with tree_lock.down(timeout=5): ...

    An object is one holder, to be used from one thread; another object, be it in the same process, is
    another holder.  It may enter the state that it has again.  A child that is forked while its parent holds
    a state holds nothing: it may use the object, as a holder of its own.  Who waits for one node's lock while
    holding another's can wait for ever: hold one at a time, or give a timeout.

    The file is opened when first needed and stays open until `close`, or the end of the object.  `seconds`: the
    timeout where none is given.  `stopping`: ends a wait with Stopped, soon after it has become true.
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
        self._state: State | None = None
        self._depth = 0

    def up(self, timeout: float | None = None, blocking: bool = True) -> Entry:
        """A context in which directories may be made and files be placed in them.

        `timeout` bounds the whole wait, in seconds; None: the object's.  With `blocking` off
        there is one try, which also fails while another holder, of either state, is just entering.
        Entering raises LockTimeout, LockOrderError (at once, when this holder has it down), and StorageError
        when the lock file cannot be opened or locked; nothing is held then.
        """
        return Entry(self, UP, timeout, blocking)

    def down(self, timeout: float | None = None, blocking: bool = True) -> Entry:
        """A context in which directories may be removed; otherwise as `up`."""
        return Entry(self, DOWN, timeout, blocking)

    def close(self) -> None:
        """Let go of everything and close the file; it is opened again when needed."""
        if self._file is not None:
            self._file.close()

    def _enter(self, state: State, timeout: float | None, blocking: bool) -> ofd.LockFile:
        file = self._file
        if self._depth and file is not None and not file.closed:
            if state is not self._state:
                raise LockOrderError(f"{self.root}: asked for {state.name} while holding the other state")
            self._depth += 1
            return file
        self._file = file = self._take(state, timeout, blocking)
        self._state = state
        self._depth = 1
        return file

    def _take(self, state: State, timeout: float | None, blocking: bool) -> ofd.LockFile:
        timeout = self.seconds if timeout is None else timeout
        deadline = ofd.deadline_after(timeout, blocking)
        file = ofd.take_current(self.path, _TAKE_GATE, deadline, self._file, stopping=self.stopping)
        waited_for = _TAKE_GATE
        if file is not None:
            try:
                for waited_for in (state.own, state.drain):
                    if not file.take(waited_for, deadline, self.stopping):
                        break
                else:
                    file.drop(state.drained)
                    file.drop(_DROP_GATE)
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

    def _leave(self, file: ofd.LockFile, state: State) -> None:
        if file.closed:
            # `close` was called inside, or this is a forked child, whose unlock would free its parent's lock.
            return
        self._depth -= 1
        if self._depth == 0:
            try:
                file.drop(state.leave)
            except BaseException:
                file.close()
                raise


class Entry:
    """What `TreeLock.up` and `TreeLock.down` return: a context manager, to be entered once."""

    __slots__ = ("_blocking", "_file", "_lock", "_state", "_timeout")

    _file: ofd.LockFile

    def __init__(self, lock: TreeLock, state: State, timeout: float | None, blocking: bool) -> None:
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
    """Take and drop one lock on the node's lock file, which is made when missing; no holder is disturbed.

    Raises StorageError when the file cannot be opened, or its file system has no such locks.
    """
    file = ofd.LockFile(os.path.join(os.fspath(root), LOCK_NAME))
    try:
        file.take(ofd.exclusive(_PROBE), ofd.deadline_after(None, blocking=False))
    finally:
        file.close()
