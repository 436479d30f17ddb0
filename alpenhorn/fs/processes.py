"""Processes that end with their parent, and killing whole process trees.

Linux only: prctl(2), pidfd_open(2) (kernel 5.3).
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

PR_SET_PDEATHSIG = 1

KILL_WAIT = 2.0
"""Seconds in which a process must end after SIGKILL before it counts as unkillable."""


@functools.cache
def _prctl() -> Callable[[int, int, int, int, int], int]:
    import ctypes  # not at the top: 3 ms that idle runs save

    prctl: Callable[[int, int, int, int, int], int] = ctypes.CDLL(None, use_errno=True).prctl
    return prctl


def prepare() -> None:
    """Load what `die_with_parent` needs; call it before a fork, so that the child imports nothing."""
    _prctl()


def die_with_parent(parent_pid: int) -> None:
    """Let the kernel SIGKILL this process when its parent, which must be `parent_pid`, ends.

    Strictly, when the *thread* that forked this process ends.  The setting survives exec (unless the program
    is set-uid), and children do not inherit it.
    """
    _prctl()(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:  # it died before the call, so that no signal will come
        os.kill(os.getpid(), signal.SIGKILL)


def kill_tree(pid: int, grace: float = 0) -> list[int]:
    """SIGKILL a process, its descendants, and the groups and sessions that any of them leads; reap our children.

    `pid` must be a child that has not been reaped, so that its id cannot be reused; it may have ended.
    Descendants whose parents ended are found by their group or session, unless they left both.

    With `grace`, first sends SIGTERM and waits up to that number of seconds.  Returns the ids of processes
    still there `KILL_WAIT` seconds after the SIGKILL: in uninterruptible sleep, or owned by another user.
    """
    import psutil  # not at the top: 17 ms, and few runs kill

    try:
        tree = {pid: psutil.Process(pid)}
    except psutil.NoSuchProcess:
        return []
    if grace:
        _add_family(tree, list(tree.values()))
        for process in tree.values():
            with contextlib.suppress(psutil.Error):
                process.terminate()
        _wait(tree, grace, _gone)
    new = _add_family(tree, list(tree.values())) + list(tree.values())
    while new:
        # Repeat until there are no new ones: one may fork while being killed.  They are not stopped first,
        # since a stopped process would stay stopped for ever if this one were killed.
        for process in new:
            _kill(process)
        new = _add_family(tree, list(tree.values()))
    return _wait(tree, KILL_WAIT, _reaped)


def _add_family(tree: dict[int, psutil.Process], roots: list[psutil.Process]) -> list[psutil.Process]:
    """Add the descendants of `roots`, and the members of groups and sessions that they lead."""
    import psutil

    found = []
    for root in roots:
        with contextlib.suppress(psutil.Error):
            found += root.children(recursive=True)
    leaders = {root.pid for root in roots} - {os.getpgrp(), os.getsid(0)}
    for pid in psutil.pids():
        with contextlib.suppress(OSError, psutil.Error):
            if not leaders.isdisjoint((os.getpgid(pid), os.getsid(pid))):
                found.append(psutil.Process(pid))
    new = {process.pid: process for process in found if process.pid not in tree}
    tree.update(new)
    return list(new.values())


def _kill(process: psutil.Process) -> None:
    import psutil

    with contextlib.suppress(OSError):
        if process.is_running() and os.getpgid(process.pid) == process.pid != os.getpgrp():
            os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(psutil.Error):
        process.kill()


def _wait(
    tree: dict[int, psutil.Process], seconds: float, ended: Callable[[psutil.Process], bool]
) -> list[int]:
    """Wait until all have ended; return the ids of those that have not."""
    end = time.monotonic() + seconds
    pause = 0.001
    left = [process for process in tree.values() if not ended(process)]
    while left and time.monotonic() < end:
        time.sleep(pause)
        pause = min(2 * pause, 0.05)
        left = [process for process in left if not ended(process)]
    return [process.pid for process in left]


def _gone(process: psutil.Process) -> bool:
    """Return whether it has ended, reaped or not: an unreaped leader's group id cannot be reused."""
    import psutil

    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _reaped(process: psutil.Process) -> bool:
    try:
        return os.waitpid(process.pid, os.WNOHANG)[0] != 0
    except ChildProcessError:  # not a child of ours: its own parent reaps it
        return _gone(process)


def began(pid: int) -> float | None:
    """Return when a process started, in POSIX seconds; None if there is no such process, or it has ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        with open("/proc/stat", "rb") as file:
            (booted,) = (int(line.split()[1]) for line in file if line.startswith(b"btime "))
    except (OSError, ValueError):
        return None
    if fields[0] in (b"Z", b"X"):
        return None
    return booted + int(fields[19]) / os.sysconf("SC_CLK_TCK")
