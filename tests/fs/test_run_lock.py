"""The run lock: one run at a time on a node, however its holder dies."""

from __future__ import annotations

import errno
import os
import re
import signal
import time
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from alpenhorn.errors import Busy, StorageError
from alpenhorn.fs import ofd
from alpenhorn.fs.run_lock import RUN_LOCK, JobLock, RunLock, job_byte, job_has_ended
from tests.fs.hammer import PATIENCE, child, refuse_ofd_locks, until, waiters


def free(path: Path) -> bool:
    """Return whether another run could take the lock now."""
    lock = RunLock(path)
    try:
        return lock.acquire()
    finally:
        lock.release()


def run(pipe: Connection, path: Path, wait: bool) -> None:
    """Take the lock, report it, release it on request, and wait for the request to end."""
    lock = RunLock(path)
    pipe.send(lock.acquire(wait=wait))
    pipe.recv()
    lock.release()
    pipe.send("released")
    pipe.recv()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / RUN_LOCK


def test_a_second_run_gets_the_name_of_the_holder(path: Path) -> None:
    with child(run, path, False) as first:
        assert first.tell() is True
        second = RunLock(path)
        assert second.acquire() is False
        assert not second.held
        host = re.escape(os.uname().nodename)
        said = rf"pid {first.process.pid} on {host} since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d UTC"
        assert re.fullmatch(said, second.holder())
        with pytest.raises(Busy, match=said), second:
            pass
        first.pipe.send("release")
        assert first.tell() == "released"
        assert second.acquire() is True
        assert second.holder().startswith(f"pid {os.getpid()} on ")
        second.release()


def test_as_a_context_it_is_held_within(path: Path) -> None:
    lock = RunLock(path)
    with lock:
        assert lock.held and lock.acquire()
        assert not free(path)
    assert not lock.held
    assert free(path)


def test_two_objects_in_one_process_exclude_each_other(path: Path) -> None:
    with RunLock(path) as lock:
        assert not free(path)
        # To read the line opens and closes the file; that must drop nothing.
        assert lock.holder()
        assert not free(path)


def test_a_waiting_run_gets_the_lock_when_the_holder_is_killed(path: Path) -> None:
    with child(run, path, False) as first:
        assert first.tell() is True
        with child(run, path, True) as second:
            until(lambda: waiters(str(path)) == 1)
            assert not second.pipe.poll()
            first.kill()
            assert second.tell() is True


def test_a_wait_ends_with_its_timeout(path: Path) -> None:
    with child(run, path, False) as first:
        assert first.tell() is True
        began = time.monotonic()
        assert RunLock(path).acquire(wait=True, timeout=0.2) is False
        assert 0.2 <= time.monotonic() - began < 5
        first.pipe.send("release")
        assert RunLock(path).acquire(wait=True, timeout=PATIENCE) is True


def test_a_killed_run_leaves_the_node_free(path: Path) -> None:
    with child(run, path, False) as first:
        assert first.tell() is True
        first.kill()
        assert free(path)


def run_with_workers(pipe: Connection, path: Path, keep_copy: bool) -> None:
    """A run with a worker forked before and one after the lock was taken; both try to release it."""
    lock = RunLock(path)

    def worker() -> None:
        if os.fork() == 0:
            lock.release()
            pipe.send(lock.held)
            os.read(pipe.fileno(), 1)
            os._exit(0)

    worker()
    assert lock.acquire()
    if keep_copy:
        assert lock._file is not None
        os.dup(lock._file.fd)
    worker()
    signal.pause()


@pytest.mark.parametrize("keep_copy", [False, True])
def test_workers_neither_free_the_lock_nor_keep_it(path: Path, keep_copy: bool) -> None:
    with child(run_with_workers, path, keep_copy) as parent:
        assert [parent.tell(), parent.tell()] == [False, False]
        assert not free(path)
        parent.kill()
        # With a copy in a worker it must be held still, or this test proves nothing.
        assert free(path) is not keep_copy
        os.write(parent.pipe.fileno(), b"..")
        with pytest.raises(EOFError):
            parent.pipe.recv()
        # A process that ends closes its pipe before its copy of the lock.
        until(lambda: free(path))


def test_the_directory_is_made_for_us_alone_and_the_root_is_not_made(tmp_path: Path, path: Path) -> None:
    assert free(path)
    assert path.parent.stat().st_mode & 0o777 == 0o700
    root = tmp_path / "gone"
    with pytest.raises(StorageError, match=f"{root} does not exist"):
        RunLock(root / RUN_LOCK).acquire()
    assert not root.exists()


def test_a_root_that_cannot_be_written_to_is_named() -> None:
    # A file system on which nobody can make a directory, root included.
    with pytest.raises(StorageError, match=r"cannot create /sys/\.alpenhorn: .* must be able to write"):
        RunLock(f"/sys/{RUN_LOCK}").acquire()


def test_after_a_replacement_the_new_file_is_locked(path: Path) -> None:
    with child(run, path, False) as first:
        assert first.tell() is True
        with child(run, path, True) as second:
            until(lambda: waiters(str(path)) == 1)
            path.unlink()
            with RunLock(path):
                first.pipe.send("release")
                # It goes from the old file to the new one, and waits there.
                until(lambda: waiters(str(path)) == 1)
                assert not second.pipe.poll()
            assert second.tell() is True


def test_the_line_of_a_long_name_is_overwritten_whole(path: Path) -> None:
    assert free(path)
    path.write_text("x" * 1000)
    with RunLock(path) as lock:
        assert re.fullmatch(r"pid \d+ on \S+ since .* UTC", lock.holder())


def test_a_holder_without_a_name_is_reported_as_such(path: Path) -> None:
    assert RunLock(path).holder() == "unknown process"


def take_without_locks(pipe: Connection, path: Path) -> None:
    refuse_ofd_locks(errno.ENOLCK)
    for wait in (False, True):
        try:
            RunLock(path).acquire(wait=wait)
        except StorageError as refused:
            pipe.send(str(refused))


def test_a_file_system_without_such_locks_is_refused(path: Path) -> None:
    with child(take_without_locks, path) as taker:
        for _ in range(2):
            assert f"{path} does not support open file description locks" in taker.tell()


def test_a_run_waits_for_the_jobs_of_others_which_do_not_exclude_each_other(tmp_path: Path) -> None:
    first, second = job_byte(), job_byte()
    locks = {byte: JobLock(str(tmp_path), byte) for byte in (first, second)}
    assert [lock.acquire() for lock in (*locks.values(), *locks.values())] == [True] * 4
    assert not job_has_ended(str(tmp_path), first, 0.05)
    del locks[first]
    assert job_has_ended(str(tmp_path), first, 0.05) and not job_has_ended(str(tmp_path), second, 0.05)
    lock = RunLock(tmp_path / RUN_LOCK)
    assert not lock.acquire() and not lock.held and "jobs on other machines" in lock.holder()
    locks.clear()
    with lock:
        assert lock.held and "jobs" not in lock.holder()
        # One that came too late for a run holds nothing that the run waits for.
        assert JobLock(str(tmp_path), first).acquire()


def test_no_job_begins_while_a_run_looks_for_others(tmp_path: Path) -> None:
    file = ofd.LockFile(str(tmp_path / RUN_LOCK), str(tmp_path))
    assert file.acquire(ofd.exclusive(2**20, 0), None)
    assert not JobLock(str(tmp_path), job_byte()).acquire()
    file.close()
    assert JobLock(str(tmp_path), job_byte()).acquire()
