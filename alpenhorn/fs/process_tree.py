"""Kill a process and all that it started."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable

import psutil

KILL_WAIT = 2.0
"""Seconds in which a process must end after SIGKILL before it counts as unkillable."""


def kill(pid: int, grace: float) -> list[int]:
    """See `alpenhorn.fs.processes.kill_tree`."""
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
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _reaped(process: psutil.Process) -> bool:
    try:
        return os.waitpid(process.pid, os.WNOHANG)[0] != 0
    except ChildProcessError:  # not a child of ours: its own parent reaps it
        return _gone(process)
