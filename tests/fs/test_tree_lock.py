"""The up/down lock: its rules one by one, with real processes and the kernel's own locks."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from alpenhorn.errors import AlpenhornError, Stopped, StorageError
from alpenhorn.fs import ofd
from alpenhorn.fs.tree_lock import LOCK_NAME, LockContext, LockOrderError, LockTimeout, TreeLock, probe_locks
from tests.fs.hammer import NO_SUCH_LOCKS, PATIENCE, child, hold, refuse_ofd_locks, until, waiters

BOTH = pytest.mark.parametrize(("state", "other"), [("up", "down"), ("down", "up")])


def can(root: Path, state: str) -> bool:
    """Return whether a new holder gets the state without waiting."""
    lock = TreeLock(root)
    try:
        with getattr(lock, state)(blocking=False):
            return True
    except LockTimeout:
        return False
    finally:
        lock.close()


@BOTH
def test_a_state_shuts_out_the_other_until_it_is_left(tmp_path: Path, state: str, other: str) -> None:
    with getattr(TreeLock(tmp_path), state)():
        assert can(tmp_path, state)
        assert not can(tmp_path, other)
    assert can(tmp_path, other)


@BOTH
def test_a_state_is_left_when_the_body_fails(tmp_path: Path, state: str, other: str) -> None:
    with pytest.raises(ZeroDivisionError), getattr(TreeLock(tmp_path), state)():
        raise ZeroDivisionError
    assert can(tmp_path, other)


@BOTH
def test_a_state_entered_again_is_left_with_the_outermost(tmp_path: Path, state: str, other: str) -> None:
    lock = TreeLock(tmp_path)
    with getattr(lock, state)():
        with getattr(lock, state)(), getattr(lock, state)(blocking=False):
            assert not can(tmp_path, other)
        assert not can(tmp_path, other)
    assert can(tmp_path, other)


@BOTH
def test_entering_again_does_not_wait_for_those_at_the_gate(tmp_path: Path, state: str, other: str) -> None:
    lock = TreeLock(tmp_path)
    with getattr(lock, state)(), child(hold, str(tmp_path), other):
        until(lambda: waiters(lock.path) == 1)
        with getattr(lock, state)(blocking=False):
            pass


@BOTH
def test_the_other_state_is_refused_at_once_to_its_holder(tmp_path: Path, state: str, other: str) -> None:
    lock = TreeLock(tmp_path)
    with getattr(lock, state)():
        with pytest.raises(LockOrderError, match=str(tmp_path)), getattr(lock, other)():
            pass
        assert not can(tmp_path, other)
    with getattr(lock, other)(blocking=False):
        assert not can(tmp_path, state)


@BOTH
def test_many_processes_share_a_state(tmp_path: Path, state: str, other: str) -> None:
    with contextlib.ExitStack() as stack:
        holders = [stack.enter_context(child(hold, str(tmp_path), state)) for _ in range(8)]
        assert [holder.tell() for holder in holders] == ["in"] * 8
        for holder in holders:
            assert not can(tmp_path, other)
            holder.pipe.send("leave")
            assert holder.tell() == "out"
        assert can(tmp_path, other)


@BOTH
def test_a_timeout_bounds_the_wait_for_holders_to_leave(tmp_path: Path, state: str, other: str) -> None:
    lock = TreeLock(tmp_path)
    with child(hold, str(tmp_path), state) as holder:
        assert holder.tell() == "in"
        began = time.monotonic()
        with pytest.raises(LockTimeout) as caught, getattr(lock, other)(timeout=0.2):
            pass
        assert 0.2 <= time.monotonic() - began < 5
        assert str(tmp_path) in str(caught.value)
        assert f"within 0.2 s: {lock.path} is held by pid {holder.process.pid} (user " in str(caught.value)
        # Nothing was kept of what was taken on the way: not the gate, not the state's byte.
        assert can(tmp_path, state)
        holder.pipe.send("leave")
        assert holder.tell() == "out"
        assert can(tmp_path, state)
        with getattr(lock, other)(timeout=0.2):
            assert not can(tmp_path, state)


@BOTH
def test_a_timeout_bounds_the_wait_at_the_gate(tmp_path: Path, state: str, other: str) -> None:
    lock = TreeLock(tmp_path)
    with child(hold, str(tmp_path), state) as holder:
        assert holder.tell() == "in"
        with child(hold, str(tmp_path), other) as waiter:
            until(lambda: waiters(lock.path) == 1)
            began = time.monotonic()
            with pytest.raises(LockTimeout), getattr(lock, state)(timeout=0.2):
                pass
            assert 0.2 <= time.monotonic() - began < 5
            holder.pipe.send("leave")
            assert waiter.tell() == "in"


def test_a_timed_wait_gets_in_when_the_holder_leaves(tmp_path: Path) -> None:
    with child(hold, str(tmp_path), "up") as holder:
        assert holder.tell() == "in"
        holder.pipe.send("leave")
        with TreeLock(tmp_path).down(timeout=PATIENCE):
            assert holder.tell() == "out"


def test_newcomers_queue_behind_one_who_waits_for_the_other_state(tmp_path: Path) -> None:
    path = str(tmp_path / LOCK_NAME)
    with child(hold, str(tmp_path), "up") as first:
        assert first.tell() == "in"
        with child(hold, str(tmp_path), "down") as second:
            until(lambda: waiters(path) == 1)
            with child(hold, str(tmp_path), "up") as third:
                until(lambda: waiters(path) == 2)
                first.pipe.send("leave")
                assert second.tell() == "in"
                assert not third.pipe.poll()
                second.pipe.send("leave")
                assert third.tell() == "in"


def test_two_objects_in_one_process_are_two_holders(tmp_path: Path) -> None:
    first, second = TreeLock(tmp_path), TreeLock(tmp_path)
    with first.up():
        with pytest.raises(LockTimeout) as caught, second.down(blocking=False):
            pass
        assert "within" not in str(caught.value)
        second.close()
        assert not can(tmp_path, "down")


@BOTH
def test_a_killed_holder_leaves_nothing(tmp_path: Path, state: str, other: str) -> None:
    with child(hold, str(tmp_path), state) as holder:
        assert holder.tell() == "in"
        holder.kill()
        assert can(tmp_path, other)


def test_one_killed_while_it_waits_leaves_the_gate(tmp_path: Path) -> None:
    with child(hold, str(tmp_path), "up") as holder:
        assert holder.tell() == "in"
        with child(hold, str(tmp_path), "down") as waiter:
            until(lambda: waiters(str(tmp_path / LOCK_NAME)) == 1)
            assert not can(tmp_path, "up")
            waiter.kill()
            assert can(tmp_path, "up")


def test_a_stopped_holder_keeps_its_state_and_goes_on(tmp_path: Path) -> None:
    with child(hold, str(tmp_path), "up") as holder:
        assert holder.tell() == "in" and holder.process.pid is not None
        os.kill(holder.process.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, holder.process.pid, os.WSTOPPED)
        with pytest.raises(LockTimeout), TreeLock(tmp_path).down(timeout=0.1):
            pass
        holder.pipe.send("leave")
        os.kill(holder.process.pid, signal.SIGCONT)
        with TreeLock(tmp_path).down(timeout=PATIENCE):
            assert holder.tell() == "out"


def wait_through_signals(pipe: Connection, root: str, timeout: float | None) -> None:
    signal.signal(signal.SIGUSR1, lambda *_: pipe.send("signal"))
    pipe.send("ready")
    with TreeLock(root).down(timeout=timeout):
        pipe.send("in")


@pytest.mark.parametrize("timeout", [None, PATIENCE])
def test_a_wait_goes_on_after_a_signal(tmp_path: Path, timeout: float | None) -> None:
    held = TreeLock(tmp_path)
    with held.up(), child(wait_through_signals, str(tmp_path), timeout) as waiter:
        assert waiter.tell() == "ready" and waiter.process.pid is not None
        until(lambda: not can(tmp_path, "up"))
        for _ in range(3):
            os.kill(waiter.process.pid, signal.SIGUSR1)
            assert waiter.tell() == "signal"
        assert not can(tmp_path, "up")
        held.close()
        assert waiter.tell() == "in"


def wait_to_stop(pipe: Connection, root: str) -> None:
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda *_: asked.append(1))
    pipe.send("ready")
    try:
        with TreeLock(root, PATIENCE, lambda: bool(asked)).up():
            pipe.send("in")
    except Stopped as stopped:
        pipe.send(str(stopped))


def test_situation_22_a_wait_ends_when_the_run_is_to_stop(tmp_path: Path) -> None:
    with TreeLock(tmp_path).down(), child(wait_to_stop, str(tmp_path)) as waiter:
        assert waiter.tell() == "ready"
        began = time.monotonic()
        waiter.process.terminate()
        assert f"waiting for the lock {tmp_path}/{LOCK_NAME}" in waiter.tell()
        assert time.monotonic() - began < PATIENCE / 2


def test_situation_22_a_free_lock_is_taken_although_the_run_must_stop(tmp_path: Path) -> None:
    with TreeLock(tmp_path, PATIENCE, lambda: True).up():
        assert not can(tmp_path, "down")


def test_situation_22_a_stranger_who_only_reads_the_file_is_named(tmp_path: Path) -> None:
    """A shared lock needs no write permission, and one byte is enough."""
    probe_locks(tmp_path)
    program = (
        "import fcntl, os, struct, sys\n"
        "file = open(sys.argv[1], 'rb')\n"
        "fcntl.fcntl(file, fcntl.F_OFD_SETLK, struct.pack('@hhqqi4x', fcntl.F_RDLCK, 0, 0, 1, 0))\n"
        "print('locked', flush=True); sys.stdin.read()\n"
    )
    argv = [sys.executable, "-c", program, str(tmp_path / LOCK_NAME)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as stranger:
        assert stranger.stdout is not None and stranger.stdout.readline() == b"locked\n"
        with pytest.raises(LockTimeout) as caught, TreeLock(tmp_path, 0.1).up():
            pass
        stranger.communicate()
    assert f"{tmp_path}/{LOCK_NAME} is held by pid {stranger.pid} (user " in str(caught.value)
    assert pickle.loads(pickle.dumps(caught.value)).holders == caught.value.holders


@pytest.mark.parametrize(("root_mode", "file_mode"), [(0o755, 0o600), (0o2775, 0o660)])
def test_situation_22_the_lock_file_is_for_those_who_can_write_to_the_root(
    tmp_path: Path, root_mode: int, file_mode: int
) -> None:
    tmp_path.chmod(root_mode)
    for before in (None, 0o644, 0o666):
        if before is not None:
            (tmp_path / LOCK_NAME).chmod(before)
        with TreeLock(tmp_path).up():
            pass
        assert (tmp_path / LOCK_NAME).stat().st_mode & 0o7777 == (0o660 if before == 0o666 else file_mode)


# --- forks ---------------------------------------------------------------------------------------------


def end_in_a_fork(pipe: Connection, lock: TreeLock, entry: LockContext, end: str) -> None:
    if end == "leave":
        entry.__exit__(None, None, None)
    if end == "close":
        lock.close()
    pipe.send("done")


@pytest.mark.parametrize("end", ["exit", "close", "leave"])
def test_a_forked_child_frees_nothing(tmp_path: Path, end: str) -> None:
    lock = TreeLock(tmp_path)
    entry = lock.up()
    with entry, child(end_in_a_fork, lock, entry, end) as forked:
        assert forked.tell() == "done"
        assert not can(tmp_path, "down")
        forked.process.join()
        assert forked.process.exitcode == 0
        assert not can(tmp_path, "down")
    assert can(tmp_path, "down")


def enter_in_a_fork(pipe: Connection, lock: TreeLock) -> None:
    for _ in range(2):
        try:
            with lock.down(blocking=False):
                pipe.send("in")
        except AlpenhornError as error:
            pipe.send(type(error))
        pipe.recv()


def test_a_forked_child_is_a_holder_of_its_own(tmp_path: Path) -> None:
    lock = TreeLock(tmp_path)
    with contextlib.ExitStack() as stack:
        with lock.up():
            forked = stack.enter_context(child(enter_in_a_fork, lock))
            assert forked.tell() is LockTimeout
        forked.pipe.send("again")
        assert forked.tell() == "in"


def fork_while_holding(pipe: Connection, root: str, keep_copy: bool) -> None:
    """Hold it up with a child that survives; with `keep_copy` the child keeps the descriptor."""
    lock = TreeLock(root)
    with lock.up():
        if keep_copy:
            assert lock._file is not None
            os.dup(lock._file.fd)
        if os.fork() == 0:
            pipe.send("alive")
            pipe.recv()
            pipe.send("still alive")
            os._exit(0)
        signal.pause()


@pytest.mark.parametrize("keep_copy", [False, True])
def test_a_killed_holder_leaves_nothing_though_its_child_lives(tmp_path: Path, keep_copy: bool) -> None:
    with child(fork_while_holding, str(tmp_path), keep_copy) as holder:
        assert holder.tell() == "alive"
        assert not can(tmp_path, "down")
        holder.kill()
        # With a copy in the child it must be held still, or this test proves nothing.
        assert can(tmp_path, "down") is not keep_copy
        holder.pipe.send("end")
        assert holder.tell() == "still alive"
        with pytest.raises(EOFError):
            holder.pipe.recv()


def test_a_program_that_is_started_inherits_no_descriptor(tmp_path: Path) -> None:
    with TreeLock(tmp_path).up():
        listing = subprocess.run(
            ["ls", "-l", "/proc/self/fd"], capture_output=True, close_fds=False, check=True
        )
    assert LOCK_NAME.encode() not in listing.stdout


# --- the file ------------------------------------------------------------------------------------------


def test_the_file_keeps_its_content(tmp_path: Path) -> None:
    path = tmp_path / LOCK_NAME
    assert can(tmp_path, "up")
    path.write_text("kept")
    before = path.stat().st_ino
    assert can(tmp_path, "down")
    assert (path.read_text(), path.stat().st_ino) == ("kept", before)


@pytest.mark.parametrize("put_back", [True, False])
def test_a_replaced_file_is_noticed(tmp_path: Path, put_back: bool) -> None:
    path = tmp_path / LOCK_NAME
    lock = TreeLock(tmp_path)
    with lock.up():
        pass
    path.unlink()
    if put_back:
        path.touch()
    with TreeLock(tmp_path).down(), pytest.raises(LockTimeout), lock.up(blocking=False):
        pass
    with lock.up(blocking=False):
        assert not can(tmp_path, "down")


def test_a_file_replaced_while_somebody_is_at_its_gate_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / LOCK_NAME
    old = ofd.LockFile(str(path))
    assert old.acquire(ofd.exclusive(0), None)
    with child(hold, str(tmp_path), "up") as waiter:
        until(lambda: waiters(str(path)) == 1)
        path.unlink()
        with TreeLock(tmp_path).down():
            old.close()
            # It goes from the old gate to the new file, and waits there.
            until(lambda: waiters(str(path)) == 1)
            assert not waiter.pipe.poll()
        assert waiter.tell() == "in"


@pytest.mark.parametrize("kind", ["link", "directory", "fifo"])
def test_an_object_in_place_of_the_lock_file_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / LOCK_NAME
    if kind == "link":
        path.symlink_to(tmp_path / "elsewhere")
    elif kind == "directory":
        path.mkdir()
    else:
        os.mkfifo(path)
    found = "a symbolic link, which is not followed" if kind == "link" else "not a regular file"
    with (
        pytest.raises(
            StorageError, match=f"{LOCK_NAME} is {found}; find out who created it, and move it away"
        ),
        TreeLock(tmp_path).up(),
    ):
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_a_root_that_is_not_there_is_named_and_not_made(tmp_path: Path) -> None:
    root = tmp_path / "gone"
    for enter in (TreeLock(root).up, TreeLock(root).down):
        with pytest.raises(StorageError, match=f"{root} does not exist"), enter():
            pass
    with pytest.raises(StorageError, match=f"{root} does not exist"):
        probe_locks(root)
    assert not root.exists()


def test_a_root_that_cannot_be_written_to_is_named() -> None:
    # A file system on which nobody can make a file, root included.
    root = "/sys"
    with pytest.raises(
        StorageError, match=f"cannot open the lock file /sys/{LOCK_NAME}: .*; the user running"
    ):
        probe_locks(root)
    with pytest.raises(
        StorageError, match=f"cannot open the lock file /sys/{LOCK_NAME}: .*; the user running"
    ):
        TreeLock(root).up().__enter__()


# --- file systems without such locks -------------------------------------------------------------------


def use_without_locks(pipe: Connection, root: str, error: int) -> None:
    refuse_ofd_locks(error)
    lock = TreeLock(root)
    uses: list[Callable[[], None]] = [
        lambda: probe_locks(root),
        lambda: lock.up().__enter__(),
        lambda: lock.down(timeout=1).__enter__(),
        lambda: lock.up(blocking=False).__enter__(),
    ]
    for use in uses:
        try:
            use()
        except AlpenhornError as refused:
            pipe.send(refused)


@pytest.mark.parametrize("error", NO_SUCH_LOCKS)
def test_a_file_system_without_such_locks_is_refused(tmp_path: Path, error: int) -> None:
    with child(use_without_locks, str(tmp_path), error) as user:
        for _ in range(4):
            refused = user.tell()
            assert isinstance(refused, StorageError)
            assert f"{tmp_path}/{LOCK_NAME} does not support open file description locks" in str(refused)
            assert os.strerror(error) in str(refused)


def test_probing_disturbs_no_holder_and_keeps_nothing(tmp_path: Path) -> None:
    probe_locks(tmp_path)
    with TreeLock(tmp_path).up():
        probe_locks(tmp_path)
        assert can(tmp_path, "up")
        assert not can(tmp_path, "down")
    assert can(tmp_path, "down")


def test_closing_lets_go_of_everything_and_it_can_be_used_again(tmp_path: Path) -> None:
    lock = TreeLock(tmp_path)
    with lock.up():
        lock.close()
        assert can(tmp_path, "down")
    with lock.down():
        assert not can(tmp_path, "up")


def test_errors_cross_processes() -> None:
    error = pickle.loads(pickle.dumps(LockTimeout("/archive", "down", 1.5)))
    assert (type(error), str(error)) == (LockTimeout, str(LockTimeout("/archive", "down", 1.5)))
