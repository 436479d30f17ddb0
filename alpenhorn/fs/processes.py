"""Forked processes that end with their parent, the end of process trees, and when a process began.

Linux only: prctl(2).
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import select
import signal
from collections.abc import Callable, Iterator

PR_SET_PDEATHSIG = 1


@functools.cache
def _prctl() -> Callable[[int, int, int, int, int], int]:
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


@contextlib.contextmanager
def signals_blocked() -> Iterator[set[int | signal.Signals]]:
    """Block all signals while the block forks; yield those that were blocked before.

    A signal between the fork and the child's own handlers would run the parent's handlers in the child, which must
    end without leaving the block.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        yield before
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def forget_handlers() -> None:
    """Replace the parent's signal handlers by the defaults, and ignore SIGINT, which the terminal sends to all."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def rename(name: str) -> None:
    """Give this process a name in ps, of which the kernel keeps 15 bytes."""
    with contextlib.suppress(OSError), open("/proc/self/comm", "w") as file:
        file.write(name)


def kill_tree(pid: int, grace: float = 0) -> list[int]:
    """SIGKILL a process, its descendants, and the groups and sessions that any of them leads; reap our children.

    `pid` must be a child that has not been reaped, so that its id cannot be reused; it may have ended.
    Descendants whose parents ended are found by their group or session, unless they left both.

    With `grace`, first sends SIGTERM and waits up to that number of seconds.  Returns the ids of processes
    still there `process_tree.KILL_WAIT` seconds after the SIGKILL: in uninterruptible sleep, or owned by another user.
    """
    from alpenhorn.fs.process_tree import kill  # 13 ms with psutil, and few runs kill

    return kill(pid, grace)


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


def has_ended(pidfd: int, within: float) -> bool:
    """Wait for up to `within` seconds; return whether a process has ended."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(within * 1000))


def how_ended(kind: int, process: int) -> str:
    """Return how a child process ended, "" if it has not; `kind`: os.P_PID or os.P_PIDFD, which `process` is.

    The process is not reaped, so that its id is not reused before it is killed for good.
    """
    found = os.waitid(kind, process, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    if found is None:
        return ""
    by = "status" if found.si_code == os.CLD_EXITED else "signal"
    return f"ended with {by} {found.si_status}"
