"""Processes that must not outlive their purpose: dying with the parent, and killing a whole tree.

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
"""Seconds within which a process that was sent SIGKILL is gone, or is called unkillable."""


@functools.cache
def _prctl() -> Callable[[int, int, int, int, int], int]:
    import ctypes  # not at the top: 3 ms that an idle run can do without

    prctl: Callable[[int, int, int, int, int], int] = ctypes.CDLL(None, use_errno=True).prctl
    return prctl


def prepare() -> None:
    """Load what `die_with_parent` needs; call it before a fork, so that the child imports nothing."""
    _prctl()


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel SIGKILL this process when its parent, which must be `parent_pid`, ends.

    Strictly it is the *thread* that forked this process whose end counts.  The wish survives exec (unless
    the program is set-uid) and is not inherited by children.
    """
    _prctl()(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:  # it died before the wish was heard, and nobody would ever tell us
        os.kill(os.getpid(), signal.SIGKILL)


def kill_tree(pid: int, grace: float = 0) -> list[int]:
    """SIGKILL a process, its descendants, and the groups and sessions that any of them leads; reap our own.

    `pid` must be a child that is not reaped yet, so that its id cannot be anybody else's; it may have ended.
    Descendants whose parents ended are found by their group or session; one that left both is not.

    With `grace`, the process and its descendants are sent SIGTERM first and have so many seconds to end by
    themselves.  Returns the ids of those that are still there `KILL_WAIT` seconds after the SIGKILL: in
    uninterruptible sleep, or not ours to kill.
    """
    import psutil  # not at the top: 17 ms, and hardly any run kills

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
        # Again until nobody is new: one may have forked while it was being killed.  They are not stopped first,
        # since whoever we stopped would stand still for ever if we were killed in between.
        for process in new:
            _kill(process)
        new = _add_family(tree, list(tree.values()))
    return _wait(tree, KILL_WAIT, _reaped)


def _add_family(tree: dict[int, psutil.Process], roots: list[psutil.Process]) -> list[psutil.Process]:
    """Add the descendants of `roots`, and whoever is in a group or session that one of them leads."""
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
    """Ended, reaped or not: while a leader is not reaped, its group's id cannot be anybody else's."""
    import psutil

    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _reaped(process: psutil.Process) -> bool:
    try:
        return os.waitpid(process.pid, os.WNOHANG)[0] != 0
    except ChildProcessError:  # not our child: its own parent reaps it, sooner or later
        return _gone(process)


def began(pid: int) -> float | None:
    """When a process began, in POSIX seconds; None when there is none of that id, or only what is left of it."""
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
