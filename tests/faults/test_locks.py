"""Locks that somebody else holds, or that hang."""

from __future__ import annotations

import fcntl
import os
import time

from alpenhorn.fs import ofd
from alpenhorn.fs.tree_lock import LOCK_NAME, probe_locks
from tests.fixtures.archive import Archive, Running, wait_for


def has_open(running: Running, name: str) -> bool:
    """Whether any process of a run has a file of that name open."""
    for worker in running.workers():
        for fd in os.listdir(f"/proc/{worker.pid}/fd"):
            try:
                if os.path.basename(os.readlink(f"/proc/{worker.pid}/fd/{fd}")) == name:
                    return True
            except FileNotFoundError:
                pass
    return False


def test_situation_22_a_run_that_waits_for_a_strangers_lock_stops_when_asked(sqlite_archive: Archive) -> None:
    archive = sqlite_archive
    archive.node("field")
    safe = archive.node("safe", archive=1)
    request = archive.request(archive.file("acq/f", b"bytes", "field"), "field", "safe")
    probe_locks(safe)
    stranger = os.open(safe / LOCK_NAME, os.O_RDONLY)
    try:
        fcntl.fcntl(stranger, fcntl.F_OFD_SETLK, ofd.shared(0))
        running = archive.start("sync")
        wait_for(lambda: has_open(running, LOCK_NAME), "a worker that waits for the lock")
        began = time.monotonic()
        running.process.terminate()
        result = running.result()
    finally:
        os.close(stranger)
    assert time.monotonic() - began < 20
    assert result.status == 1 and "stopped as asked" in result.err
    assert archive.state(request) == "pending" and archive.attempt(request) is None
    archive.synced()
    assert archive.copy(1, "safe") == "YY"
