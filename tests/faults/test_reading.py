"""Copies that cannot be read, storage that disappears while it is read, workers that die meanwhile.

strace makes reads of a file fail or hang, as in test_disks.
"""

import os
import signal
import subprocess
import sys

import pytest

from alpenhorn.model.nodes import MARKER
from alpenhorn.workers import lock_holder
from tests.faults.test_disks import READS, injected
from tests.fixtures.archive import Running, wait_for
from tests.fixtures.seen import mark_seen

pytestmark = pytest.mark.usefixtures("root")


@pytest.fixture(scope="module")
def root():
    if os.geteuid():
        pytest.fail("these tests trace other processes: run them as root, or without tests/faults")


@pytest.fixture
def disk(sqlite_archive):
    """A node whose three good copies are due to be read again; two archive nodes have the same files, so that a
    fourth copy may be deleted only while all of them are good."""
    sqlite_archive.node("disk", archive=1, auto_verify=10)
    sqlite_archive.node("safe", archive=1)
    sqlite_archive.node("field")
    return sqlite_archive


def files(archive, size=1000):
    return {
        name: archive.file(f"acq/{name}", name.encode() * size, "disk", "safe", "field") for name in "abc"
    }


def states(archive, ids, node="disk"):
    return {name: archive.copy(file_id, node) for name, file_id in ids.items()}


def verified(archive):
    """Return the verified files, without those that are only known to have been good."""
    return {
        row[0] for row in archive.all("SELECT file_id FROM sync_verification WHERE verified > '1970-01-02'")
    }


def test_a_good_copy_that_cannot_be_read_is_suspect_and_the_others_are_read(disk):
    ids = files(disk)
    result = injected(disk, [disk.root("disk") / "acq" / "b"], READS)
    assert result.status == 1 and "acq/b" in result.err and "Input/output error" in result.err
    assert states(disk, ids) == {"a": "YY", "b": "MY", "c": "YY"}
    assert verified(disk) == {ids["a"], ids["c"]}
    assert disk.events("suspect") == [(ids["b"], "disk")]
    assert disk.events("corrupt") == disk.events("missing") == []
    assert disk.one("SELECT COUNT(*) FROM sync_attempt WHERE kind = 'check'") == 1
    disk.forget_attempts()
    disk.synced()
    assert states(disk, ids) == {"a": "YY", "b": "YY", "c": "YY"}


def test_a_copy_that_cannot_be_read_is_not_counted_as_safe_by_a_deletion(disk):
    ids = files(disk)
    injected(disk, [disk.root("disk") / "acq" / "b"], READS)
    for file_id in ids.values():
        disk.set_copy(file_id, "field", "YN")
    disk.sync("--only", "delete")
    assert states(disk, ids, "field") == {"a": "NN", "b": "YN", "c": "NN"}


def test_a_copy_that_cannot_be_read_waits_before_a_retry(disk):
    ids = files(disk)
    bad = disk.root("disk") / "acq" / "b"
    injected(disk, [bad], READS)
    result = injected(disk, [bad], READS)
    assert result.status == 0
    assert disk.one("SELECT count FROM sync_attempt") == 1
    assert disk.copy(ids["b"], "disk") == "MY"


def test_a_node_with_a_large_unreadable_part_is_left_alone(disk):
    disk.do("UPDATE storagenode SET auto_verify = 1000 WHERE name = 'disk'")
    ids = disk.files(150, "disk", 100)
    bad = sorted((disk.root("disk") / "many" / "000").iterdir())[:80]
    result = injected(disk, bad, READS)
    assert result.status == 1 and "--accept-loss" in result.err
    assert {disk.copy(file_id, "disk") for file_id in ids} == {"YY"}
    assert disk.events("suspect") == []


def test_a_storage_that_hangs_ends_a_command_that_reads_a_copy(disk):
    disk.file("acq/a", None, "disk", md5sum=None)
    conf = disk.configure(transfer={"pull_timeout_base": 1})
    path = disk.root("disk") / "acq" / "a"
    command = ["file", "modify", "acq/a", "--from-copy", "disk"]
    result = injected(disk, [path], READS, "EIO:delay_enter=3000000", conf, command)
    assert result.status == 1 and "cannot read 'acq/a' on disk" in result.err, result
    # strace may keep the worker from being killed, as a dead disk would.
    assert "timed out" in result.err or "abandoned" in result.err, result
    assert disk.one("SELECT md5sum FROM archivefile") is None


# --- the node goes away while it is read ---------------------------------------------------------------


def slow_run(archive, path, *arguments):
    """A run during which reads of that file take two seconds each, under way as soon as it is at the first."""
    said = archive.base / "strace.said"
    argv = ["strace", "-f", "-qq", "-o", str(said), f"--trace-path={path}"]
    argv += ["-e", f"trace={READS}", "-e", f"inject={READS}:delay_enter=2000000"]
    argv += [sys.executable, "-m", "alpenhorn", "-c", str(archive.configure()), "sync", *arguments]
    environ = {"HOME": str(archive.base), "LANG": "C.UTF-8", "PATH": os.environ["PATH"]}
    running = Running(argv, environ, archive.base / "said")
    archive._started.append(running)
    wait_for(lambda: said.exists() and said.stat().st_size, "the first read")
    return running


def test_a_disk_that_is_unmounted_meanwhile_has_lost_nothing(disk):
    disk.do("UPDATE storagenode SET auto_verify = 1000")
    root = disk.root("disk")
    subprocess.run(["mount", "-t", "tmpfs", "none", str(root)], check=True)
    try:
        (root / MARKER).write_text("disk\n")
        mark_seen(disk.index, disk.id("storagenode", "disk"), root)
        ids = disk.files(200, "disk", 100)
        running = slow_run(disk, root / "many" / "000" / "00000.dat", "--jobs", "1")
        subprocess.run(["umount", "-l", str(root)], check=True)
        (root / MARKER).unlink()
        result = running.result()
    finally:
        subprocess.run(["umount", "-l", str(root)], check=False, capture_output=True)
    assert result.status == 1 and "disk" in result.err and MARKER in result.err
    assert {disk.copy(file_id, "disk") for file_id in ids} == {"YY"}
    assert disk.events("missing") == disk.events("suspect") == []
    assert not (root / "many").exists()


def test_a_worker_killed_while_it_reads_good_copies_leaves_them_good(disk):
    ids = files(disk)
    running = slow_run(disk, disk.root("disk") / "acq" / "a", "--jobs", "1")
    (worker,) = [process for process in running.processes() if is_worker(running, process)]
    worker.send_signal(signal.SIGKILL)
    result = running.result()
    assert result.status == 1 and "could not be read" in result.err
    assert states(disk, ids) == {"a": "YY", "b": "YY", "c": "YY"}
    # As many as were in its job: where one begins among those never verified is left to chance.
    assert disk.one("SELECT COUNT(*) FROM sync_attempt WHERE kind = 'check'") >= 1
    assert disk.events("suspect") == []
    disk.forget_attempts()
    disk.synced()
    assert verified(disk) == set(ids.values())


def is_worker(running, process):
    """Return whether its parent is the run, whose own parent is strace."""
    parent = process.parent()
    ours = parent is not None and parent.ppid() == running.process.pid
    return ours and process.name() != lock_holder.NAME


def test_reading_that_takes_too_long_leaves_good_copies_good(disk):
    """The worker is stopped, and can be killed."""
    ids = files(disk, 100 * 2**20)
    disk.configure(transfer={"pull_timeout_base": 1, "pull_bytes_per_second": 10**9})
    disk.sync("--only", "pull")  # so that all media have their identities
    node_id = disk.id("storagenode", "disk")
    running = disk.start("sync", "--jobs", "1", "--only", "check")
    generation = "SELECT generation FROM sync_medium WHERE node_id = ?"
    wait_for(lambda: disk.one(generation, node_id) > 1, "the run's generation")
    (worker,) = running.workers()
    worker.suspend()
    result = running.result()
    assert result.status == 1 and "timed out" in result.err
    assert states(disk, ids) == {"a": "YY", "b": "YY", "c": "YY"}
    assert disk.one("SELECT COUNT(*) FROM sync_attempt WHERE kind = 'check'") == 1
    assert disk.events("suspect") == []


def test_a_worker_that_hangs_while_it_reads_good_copies_leaves_them_good(disk):
    """strace prevents the kill, as a dead disk would."""
    ids = files(disk)
    disk.configure(transfer={"pull_timeout_base": 1, "pull_bytes_per_second": 10**9})
    path = disk.root("disk") / "acq" / "a"
    argv = ["strace", "-f", "-qq", "-o", "/dev/null", f"--trace-path={path}"]
    argv += ["-e", f"trace={READS}", "-e", f"inject={READS}:delay_enter=6000000"]
    argv += [sys.executable, "-m", "alpenhorn", "-c", str(disk.base / "here.toml"), "sync"]
    ended = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 1 and "cannot be killed" in ended.stderr, ended
    assert states(disk, ids) == {"a": "YY", "b": "YY", "c": "YY"}
    assert disk.events("suspect") == []
