"""Hold the run lock of a node in a process of its own.

On storage that answers reads but no writes, taking the lock, writing to its file or closing it blocks in the
kernel for ever, and the process may not even be killable.  So a process per node opens the file, and the run
abandons it if it does not answer in time.  The lock is released when that process ends, and the kernel ends
it with the run.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import signal
import socket
import struct
import time
from binascii import crc32  # hashlib takes 2 ms to import
from collections.abc import Callable, Iterable
from typing import NamedTuple, NoReturn

from alpenhorn.errors import StorageError
from alpenhorn.fs import processes
from alpenhorn.fs.run_lock import RunLock
from alpenhorn.reasons import Code, Why
from alpenhorn.workers.serving import detach, reason_of

NAME = "alpenhorn-lock"  # name of the processes in ps
RELEASE_SECONDS = 5.0
STOP_SECONDS = 2.0  # always granted to the storage, so that a stopped run can still report its state
_SLICE = 0.5  # seconds between two checks whether the run is to stop
_ANSWER_B = 16 * 1024
STUCK_SECONDS = 1.0  # longer than a killed process takes to end, unless it hangs
_CALLERS = 4096  # connections are never accepted, so they stay in the queue
_PEER = struct.Struct("@iII")  # struct ucred of unix(7)


class _LockRequest(NamedTuple):
    """A request for the lock.  `wait`: maximum seconds, None for one try."""

    wait: float | None


class _Note(NamedTuple):
    text: str


class _LockAnswer(NamedTuple):
    """The answer to a request.

    `noted`: the note of the last run that left one.  `holder`: the holder of a lock that was not taken.
    `changed`: time of the last write to its file, POSIX seconds.  `error`: why it cannot be taken.
    """

    taken: bool
    noted: str = ""
    holder: str = ""
    changed: float | None = None
    error: Why = ""


class LockHolder:
    """The run lock with the file `path`, held by another process; used like `RunLock`, from one thread.

    No call waits for the storage longer than documented.  Raises StorageError if no process can be started.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._answer = _LockAnswer(False)
        self._ended = False
        processes.prepare()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        parent = os.getpid()
        try:
            with processes.signals_blocked():
                self._pid = os.fork()
                if self._pid == 0:
                    _run_holder(parent, theirs, path)
                self._pidfd = os.pidfd_open(self._pid)
        except OSError as error:
            ours.close()
            raise StorageError(Code.LOCK_PROCESS_NOT_STARTED(why=error.strerror)) from None
        finally:
            theirs.close()
        self._socket = ours

    def ask(self, wait: float | None = None) -> None:
        """Start taking the lock; wait up to `wait` seconds while another run has it.  `answer` returns the outcome."""
        with contextlib.suppress(OSError):  # the process has ended, which `answer` reports
            self._socket.send(pickle.dumps(_LockRequest(wait)))

    def answer(self, seconds: float, stopping: Callable[[], bool]) -> bool:
        """Return whether the lock was taken.

        Raises StorageError if it cannot be taken, if there is no answer within `seconds`, or if the run is
        asked to stop meanwhile; the process is then abandoned.
        """
        began = time.monotonic()
        end = began + seconds
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        while not poll.poll(max(0.0, min(_SLICE, end - time.monotonic())) * 1000):
            now = time.monotonic()
            late = now >= end
            if not late and not (now >= began + STOP_SECONDS and stopping()):
                continue
            self.release(0)
            if late:
                raise StorageError(Code.LOCK_HANGS(path=self.path, seconds=seconds))
            raise StorageError(Code.LOCK_NOT_TAKEN_AT_STOP(path=self.path))
        try:
            answer: _LockAnswer = pickle.loads(self._socket.recv(_ANSWER_B))
        except (OSError, EOFError, pickle.UnpicklingError):
            self.release(0)
            raise StorageError(Code.LOCK_LOST(path=self.path)) from None
        if answer.error:
            raise StorageError(answer.error)
        self._answer = answer
        return answer.taken

    @property
    def lost(self) -> bool:
        """Whether the process holding the lock was killed, so that another run may have the lock."""
        return self._ended or processes.has_ended(self._pidfd, 0)

    def noted(self) -> str:
        """Return the note of the last run that left one, "" for none."""
        return self._answer.noted

    @property
    def changed(self) -> float | None:
        """Time of the last write to the file of a lock that could not be taken, POSIX seconds."""
        return self._answer.changed

    def holder(self) -> str:
        """Return the holder of a lock that could not be taken."""
        return self._answer.holder

    def note(self, text: str) -> None:
        """Leave a note for the next run that takes the lock."""
        with contextlib.suppress(OSError):
            self._socket.send(pickle.dumps(_Note(text)), socket.MSG_DONTWAIT)

    def release(self, seconds: float = RELEASE_SECONDS) -> bool:
        """Release the lock; return False if it may still be held, because its process hangs and cannot be killed."""
        self.start_release()
        if self._ended:
            return True
        self._ended = True
        try:
            if processes.has_ended(self._pidfd, seconds):
                os.waitpid(self._pid, 0)
                return True
            return not processes.kill_tree(self._pid)
        finally:
            os.close(self._pidfd)

    def start_release(self) -> None:
        """Start releasing the lock."""
        self._socket.close()


def release(locks: Iterable[LockHolder]) -> list[LockHolder]:
    """Release locks in parallel; return those that may still be held."""
    locks = list(locks)
    for lock in locks:
        lock.start_release()
    end = time.monotonic() + RELEASE_SECONDS
    return [lock for lock in locks if not lock.release(max(0.0, end - time.monotonic()))]


# --- in the process that holds the lock ----------------------------------------------------------------


def _run_holder(parent: int, channel: socket.socket, path: str) -> NoReturn:
    """Run the process that holds the lock; never returns."""
    try:
        processes.die_with_parent(parent)
        # All signals stay blocked: the lock must be held until the run ends, whatever ends it (Ctrl-C, a
        # service manager).
        detach(channel.fileno())
        processes.rename(NAME)
        claim, stuck = _claim(path)
        _serve(channel, RunLock(path, parent), stuck)
        del claim
    finally:
        os._exit(0)


def _serve(channel: socket.socket, lock: RunLock, stuck: str) -> None:
    while message := channel.recv(_ANSWER_B):
        request = pickle.loads(message)
        if isinstance(request, _Note):
            lock.note(request.text)
        else:
            answer = _LockAnswer(False, "", stuck) if stuck else _acquire(lock, request.wait)
            channel.send(pickle.dumps(answer))
    lock.release()


def _changed(path: str) -> float | None:
    try:
        return os.stat(path, follow_symlinks=False).st_mtime
    except OSError:
        return None


def _acquire(lock: RunLock, wait: float | None) -> _LockAnswer:
    try:
        if lock.acquire(wait=wait is not None, timeout=wait):
            return _LockAnswer(True, lock.noted())
        return _LockAnswer(False, lock.noted(), lock.holder(), _changed(lock.path))
    except Exception as error:
        return _LockAnswer(False, error=reason_of(error))


def _claim(path: str) -> tuple[socket.socket, str]:
    """Mark on this host, without touching storage, that this process takes the lock.

    Returns the mark, and why the lock must not be tried: a killed process of an earlier run hangs on it, and
    each run would leave another.  The mark is an abstract socket (unix(7)), whose name disappears with the
    process, however it ends.
    """
    name = f"\0{NAME} {os.geteuid()} {crc32(os.fsencode(path)):08x}"
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    end = time.monotonic() + STUCK_SECONDS
    pid = 0
    while True:
        try:
            claim.bind(name)
            claim.listen(_CALLERS)
            return claim, ""
        except OSError:
            pid = pid or _claimant(name)
        if not pid or not _was_killed(pid):
            return claim, ""  # another run is active, as the lock will report
        if time.monotonic() >= end:
            return claim, Code.LOCK_STUCK(pid=pid, path=path)
        time.sleep(0.05)


def _claimant(name: str) -> int:
    """Return the pid of this user's process with a socket of that name, 0 if unknown."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
            caller.setblocking(False)
            caller.connect(name)
            peer = caller.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    except OSError:
        return 0
    pid, uid, _ = _PEER.unpack(peer)
    return pid if uid == os.geteuid() else 0


def _was_killed(pid: int) -> bool:
    """Return whether an existing process was sent SIGKILL."""
    try:
        with open(f"/proc/{pid}/status") as file:
            pending = [int(line.split()[1], 16) for line in file if line.startswith(("SigPnd:", "ShdPnd:"))]
    except (OSError, ValueError, IndexError):
        return False
    return any(mask & 1 << (signal.SIGKILL - 1) for mask in pending)
