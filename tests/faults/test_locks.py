"""Locks that another process holds, or that hang."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from alpenhorn.coordinator.nodes import Nodes, lock
from alpenhorn.coordinator.report import Asked, Report
from alpenhorn.fs import ofd
from alpenhorn.fs.run_lock import RUN_LOCK, RunLock
from alpenhorn.fs.tree_lock import LOCK_NAME, probe_locks
from alpenhorn.io.base import DirectoryNode
from alpenhorn.io.default import DefaultNode
from alpenhorn.model.nodes import NodeFact, ProbeOutcome
from tests.fixtures.archive import Archive, Running, wait_for
from tests.fixtures.fuse import mounted
from tests.fixtures.process import Children
from tests.plan.facts import node


def has_open(running: Running, name: str) -> bool:
    """Return whether any process of a run has a file of this name open."""
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
    assert result.status == 1 and "stopped; finished work is recorded" in result.err
    assert archive.state(request) == "pending" and archive.attempt(request) is None
    archive.synced()
    assert archive.copy(1, "safe") == "YY"


class Hasty(DefaultNode):
    probe_seconds = 1.0


def take(tmp_path: Path, *names: str, seconds: float) -> tuple[Nodes, Report, list[NodeFact]]:
    """Take the run locks of nodes whose roots have those names."""
    nodes = [node(number, root=str(tmp_path / name)) for number, name in enumerate(names, 1)]
    ios: dict[int, DirectoryNode] = {one.id: Hasty(one, {}) for one in nodes}
    for io in ios.values():
        assert isinstance(io, Hasty)
        io.probe_seconds = seconds
    found = Nodes(ios, {one.id: ProbeOutcome(one.id) for one in nodes})
    report = Report()
    lock(nodes, found, Asked(), report, lambda: False)
    return found, report, nodes


HANGS = ("make .alpenhorn", "lock run.lock", "write run.lock")


def test_situation_21_hanging_run_locks_leave_out_only_their_nodes(
    tmp_path: Path, children: Children
) -> None:
    (tmp_path / "sound").mkdir()
    with ExitStack() as mounts:
        for hang in HANGS:
            mounts.enter_context(mounted(tmp_path / hang, tmp_path / f"{hang} hangs"))
            if not hang.startswith("make"):
                with RunLock(tmp_path / hang / RUN_LOCK):
                    pass
            (tmp_path / f"{hang} hangs" / hang).touch()
        found, report, nodes = take(tmp_path, *HANGS, "sound", seconds=3)
        assert set(found.locks) == {nodes[-1].id}
        for one in nodes[:-1]:
            assert (
                "could not be taken within 3 s: its storage answers reads but not writes"
                in report.left_out[one.name]
            )
            assert found.answers[one.id].error == report.left_out[one.name]
        assert not RunLock(tmp_path / "sound" / RUN_LOCK).acquire()
        found.release()
        # The next runs leave no more processes behind that hang there.
        hanging = len(children())
        found, report, nodes = take(tmp_path, *HANGS, "sound", seconds=20)
        assert all("still hangs on its run lock" in report.left_out[one.name] for one in nodes[:-1])
        found.release()
        assert len(children()) == hanging
        assert RunLock(tmp_path / "sound" / RUN_LOCK).acquire()


def test_situation_21_a_run_lock_that_cannot_be_released_delays_no_other_node(tmp_path: Path) -> None:
    (tmp_path / "sound").mkdir()
    with mounted(tmp_path / "sick", tmp_path / "hangs"):
        found, _, _ = take(tmp_path, "sick", "sound", seconds=20)
        assert set(found.locks) == {1, 2}
        for hang in ("close", "write", "lock"):
            (tmp_path / "hangs" / f"{hang} run.lock").touch()
        began = time.monotonic()
        for one in found.locks.values():
            one.note("run 1 on here")
        found.release()
        assert time.monotonic() - began < 30
        assert RunLock(tmp_path / "sound" / RUN_LOCK).acquire()


# A node of this class is given up after two seconds, so that the test need not wait for thirty.
HASTY = """
from alpenhorn.io.base import StorageClass
from alpenhorn.io.default import DefaultNode, DefaultRemote


class Hasty(DefaultNode):
    probe_seconds = 2.0


HASTY = StorageClass(Hasty, None, DefaultRemote)
"""


def hasty(directory: Path) -> dict[str, str]:
    """Return an environment in which this class is installed."""
    info = directory / "hasty-1.dist-info"
    info.mkdir(parents=True)
    (directory / "hasty.py").write_text(HASTY)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hasty\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[alpenhorn.io]\nHasty = hasty:HASTY\n")
    return {"PYTHONPATH": str(directory)}


@pytest.mark.parametrize("name", ["run.lock", LOCK_NAME])
def test_situation_21_a_run_goes_on_where_a_lock_of_one_node_hangs(
    sqlite_archive: Archive, name: str
) -> None:
    archive = sqlite_archive
    environ = hasty(archive.base / "classes")
    archive.node("field")
    archive.node("safe", archive=1)
    sick = archive.node("sick", made=False, io_class="Hasty")
    with mounted(sick, archive.base / "hangs"):
        (sick / "ALPENHORN_NODE").write_text("sick\n")
        probe_locks(sick)
        archive.synced(environ=environ)  # it is all right as yet
        first = archive.file("acq/f", b"bytes", "field")
        requests = [archive.request(first, "field", group) for group in ("safe", "sick")]
        (archive.base / "hangs" / f"lock {name}").touch()
        (archive.base / "hangs" / f"write {name}").touch()
        running = archive.start("sync", environ=environ)
        result = running.result(50)
        assert (
            "node sick" in result.err and "did not answer within 2 s" in result.err
        ) or "but not writes" in result.err
        assert archive.copy(first, "safe") == "YY"
        assert [archive.state(request) for request in requests] == ["done", "pending"]
        # Nobody holds the healthy nodes, though what hangs cannot be killed as long as the mount is there.
        for root in (archive.root("field"), archive.root("safe")):
            assert RunLock(root / RUN_LOCK).acquire()
    archive.synced("--node", "safe")
    running.wait_until_nothing_is_left()


def test_situation_21_a_node_whose_lock_is_lost_is_worked_on_no_more(sqlite_archive: Archive) -> None:
    archive = sqlite_archive
    archive.node("field")
    archive.node("safe", archive=1)
    archive.request(archive.file("acq/f", bytes(2**20), "field"), "field", "safe")
    archive.do("UPDATE storagenode SET io_config = ? WHERE name = 'safe'", '{"bwlimit": "0.3M"}')
    running = archive.start("sync")
    wait_for(lambda: has_open(running, "f"), "a pull that is under way")
    for holder in running.lock_holders():
        holder.kill()
    result = running.result()
    assert result.status == 1 and "the process that held its run lock" in result.err
    archive.do("UPDATE storagenode SET io_config = NULL WHERE name = 'safe'")
    archive.synced()
    assert archive.pending() == 0
