"""Helpers for tests of the file locks: children that are always reaped, a kernel that refuses locks, the kernel's
list of waiters, and the hammer.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import mmap
import multiprocessing
import os
import platform
import random
import struct
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple

from alpenhorn.fs import ofd
from alpenhorn.fs.tree_lock import LockState, TreeLock

FORK = multiprocessing.get_context("fork")

# Long enough for a loaded machine; what is waited for takes milliseconds.
PATIENCE = 30.0


class Child(NamedTuple):
    process: BaseProcess
    pipe: Connection

    def tell(self) -> Any:
        """Return the next message of the child."""
        assert self.pipe.poll(PATIENCE), "the child says nothing"
        return self.pipe.recv()

    def kill(self) -> None:
        self.process.kill()
        self.process.join()


@contextlib.contextmanager
def child(target: Callable[..., None], *args: Any) -> Iterator[Child]:
    """Run target(pipe, *args) in a forked child, which is killed and reaped at the end."""
    ours, theirs = FORK.Pipe()
    process = FORK.Process(target=target, args=(theirs, *args))
    process.start()
    theirs.close()
    try:
        yield Child(process, ours)
    finally:
        process.kill()
        process.join()
        ours.close()


def hold(pipe: Connection, root: str, state: str) -> None:
    """Enter the state, report it, leave it on request, report it, and wait for the request to end."""
    with getattr(TreeLock(root), state)():
        pipe.send("in")
        pipe.recv()
    pipe.send("out")
    pipe.recv()


def until(true: Callable[[], bool]) -> None:
    """Poll until a condition holds that has no event."""
    give_up = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < give_up, "it never came"
        os.sched_yield()


def waiters(path: str) -> int:
    """Return the number of processes that wait for a lock on the file at `path`."""
    inode = str(os.stat(path).st_ino)
    with open("/proc/locks") as file:
        lines = [line.split() for line in file]
    return sum("->" in line and line[-3].split(":")[-1] == inode for line in lines)


def refuse_ofd_locks(error: int) -> None:
    """Make OFD lock calls of this process fail with `error`, as on a file system without them.

    A seccomp filter (seccomp(2), SECCOMP_MODE_FILTER): it needs no privilege and no program, and cannot be
    taken back.
    """
    fcntl_call = {"x86_64": 72, "aarch64": 25}[platform.machine()]
    load, equal, answer = 0x20, 0x15, 0x06
    allow = (answer, 0, 0, 0x7FFF0000)
    program = [
        (load, 0, 0, 0),  # the call's number
        (equal, 0, 4, fcntl_call),
        (load, 0, 0, 16 + 8),  # its second argument
        (equal, 1, 0, fcntl.F_OFD_SETLK),
        (equal, 0, 1, fcntl.F_OFD_SETLKW),
        (answer, 0, 0, 0x00050000 | error),
        allow,
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in program))
    head = struct.pack("@HP", len(program), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    no_new_privileges, set_seccomp, filter_mode = 38, 22, 2
    zero = ctypes.c_ulong(0)
    done = libc.prctl(no_new_privileges, ctypes.c_ulong(1), zero, zero, zero)
    done = done or libc.prctl(set_seccomp, ctypes.c_ulong(filter_mode), head, zero, zero)
    if done:
        raise OSError(ctypes.get_errno(), "cannot install the filter")


NO_SUCH_LOCKS = [errno.ENOSYS, errno.ENOLCK, errno.EINVAL, errno.EOPNOTSUPP]


class GatelessLock(TreeLock):
    """The mutant: check that nobody holds the other state, then take one's own, without a gate."""

    def _acquire(self, state: LockState, timeout: float | None, blocking: bool) -> ofd.LockFile:
        file = self._file or ofd.LockFile(self.path)
        file.acquire(state.drain, None)
        file.release(state.drained)
        file.acquire(state.own, None)
        return file


class NoLock(TreeLock):
    """The mutant that locks nothing."""

    def _acquire(self, state: LockState, timeout: float | None, blocking: bool) -> ofd.LockFile:
        return self._file or ofd.LockFile(self.path)

    def _leave(self, file: ofd.LockFile, state: LockState) -> None:
        self._depth = 0


# --- the hammer ----------------------------------------------------------------------------------------

# The fields of a process's slot in the shared memory: 64-bit numbers.
_PID, _INSIDE, _WAITING, _SINCE, _UPS, _DOWNS, _LONGEST, _VIOLATIONS, _FIELDS = range(9)
_OUT, _UP, _DOWN = range(3)
LONGEST = 300.0  # seconds


class Score(NamedTuple):
    """`longest` is the longest wait, finished or not: how often others entered meanwhile."""

    ups: int
    downs: int
    kills: int
    violations: int
    longest: int


def hammer(
    make: Callable[[str], TreeLock],
    root: str,
    processes: int,
    seconds: float,
    stop_at: int | None = None,
    least: int = 0,
) -> Score:
    """Let `processes` processes enter both states at random, and kill them at random, for `seconds`.

    It takes longer, LONGEST at most, until each state has been entered `least` times: a busy machine is slow.
    Each looks, from inside, whether somebody living is inside the other state.  Ends early when there are
    `stop_at` violations.
    """
    shared = mmap.mmap(-1, processes * _FIELDS * 8)
    slots = memoryview(shared).cast("q")
    running: list[BaseProcess] = []
    kills = 0
    dice = random.Random(20)

    def start(place: int) -> BaseProcess:
        process = FORK.Process(target=_swing, args=(slots, place, processes, make, root, dice.random()))
        process.start()
        return process

    def total(field: int) -> int:
        return sum(slots[place * _FIELDS + field] for place in range(processes))

    def wait_of(place: int) -> int:
        mine = place * _FIELDS
        since = slots[mine + _SINCE]  # read first: it may enter, and wait again, at any moment
        return _entries(slots, processes) - since if slots[mine + _WAITING] else 0

    longest = 0
    try:
        running = [start(place) for place in range(processes)]
        end = time.monotonic() + seconds
        last = end + LONGEST
        while stop_at is None or total(_VIOLATIONS) < stop_at:
            enough = min(total(_UPS), total(_DOWNS)) >= least
            if time.monotonic() > (end if enough else last):
                break
            # The pace of the killing; a process that ends by itself has failed and wakes us.
            victim = dice.randrange(processes)
            running[victim].join(dice.expovariate(1 / 0.005))
            assert running[victim].exitcode is None, "a process of the hammer failed"
            longest = max(longest, wait_of(victim))
            running[victim].kill()
            running[victim].join()
            kills += 1
            slots[victim * _FIELDS + _INSIDE] = _OUT
            slots[victim * _FIELDS + _WAITING] = 0
            running[victim] = start(victim)
        longest = max(longest, *map(wait_of, range(processes)))
    finally:
        for process in running:
            process.kill()
        for process in running:
            process.join()
    longest = max(longest, *(slots[place * _FIELDS + _LONGEST] for place in range(processes)))
    score = Score(total(_UPS), total(_DOWNS), kills, total(_VIOLATIONS), longest)
    slots.release()
    shared.close()
    return score


def _swing(
    slots: memoryview, place: int, processes: int, make: Callable[[str], TreeLock], root: str, seed: float
) -> None:
    dice = random.Random(seed)
    lock = make(root)
    mine = place * _FIELDS
    slots[mine + _PID] = os.getpid()
    while True:
        up = dice.random() < 0.5
        timeout = PATIENCE if dice.random() < 0.5 else None
        began = slots[mine + _SINCE] = _entries(slots, processes)
        slots[mine + _WAITING] = 1
        with lock.up(timeout) if up else lock.down(timeout):
            waited = _entries(slots, processes) - began
            slots[mine + _WAITING] = 0
            slots[mine + _LONGEST] = max(slots[mine + _LONGEST], waited)
            slots[mine + _INSIDE] = _UP if up else _DOWN
            slots[mine + (_UPS if up else _DOWNS)] += 1
            for _ in range(dice.randrange(4)):
                os.sched_yield()
            other = _DOWN if up else _UP
            for base in range(0, processes * _FIELDS, _FIELDS):
                # Alive after it was seen inside: then it was inside, and not a dead one's last word.
                if slots[base + _INSIDE] == other and _alive(slots[base + _PID]):
                    slots[mine + _VIOLATIONS] += 1
            slots[mine + _INSIDE] = _OUT


def _entries(slots: memoryview, processes: int) -> int:
    """How often any process has entered a state."""
    return sum(slots[base + _UPS] + slots[base + _DOWNS] for base in range(0, processes * _FIELDS, _FIELDS))


def _alive(pid: int) -> bool:
    """Return whether a process has not begun to exit; the kernel drops the locks of an exiting one."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return False
    exiting = 0x4  # PF_EXITING of the kernel's flags, set before the files are closed
    return fields[0] not in "ZX" and not int(fields[6]) & exiting
