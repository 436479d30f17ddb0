"""The index believed too much of nodes: one thing counted twice, found twice, or believed from the future or from one
run alone (the faults 9 to 12 of the issue about evidence)."""

import os
import signal
import subprocess

import pytest

from tests.fixtures.archive import wait_for


def inode(archive, node, path):
    return (archive.root(node) / path).stat().st_ino


def separate(archive, node):
    """What the index says of the node's copies; None without a row."""
    rows = archive.all("SELECT separate FROM sync_medium WHERE node_id = ?", archive.id("storagenode", node))
    return bool(rows[0][0]) if rows else None


# --- 9: one physical copy counted as two -----------------------------------------------------------------


@pytest.fixture
def linked(archive):
    """Two nodes whose copies of a file are one file with two names, made so by a run."""
    archive.node("first")
    archive.node("second")
    file_id = archive.file("acq/f", os.urandom(5000), "first")
    archive.request(file_id, "first", "second")
    archive.synced()
    assert inode(archive, "first", "acq/f") == inode(archive, "second", "acq/f")
    assert archive.copy(file_id, "second") == "YY"
    return archive


def test_fault_9_hard_linked_copies_of_two_archive_nodes_get_bytes_of_their_own(linked):
    before = (linked.root("first") / "acq/f").stat()
    for node in ("first", "second"):
        linked.run("node", "modify", node, "--archive")
        assert not separate(linked, node)
    linked.synced()
    assert inode(linked, "first", "acq/f") != inode(linked, "second", "acq/f")
    assert separate(linked, "first") and separate(linked, "second")
    for node in ("first", "second"):
        after = (linked.root(node) / "acq/f").stat()
        assert after.st_nlink == 1
        assert (after.st_mode, after.st_mtime_ns) == (before.st_mode, before.st_mtime_ns)
        assert linked.stray(node) == []
    assert linked.violations() == []
    # An idle run looks at none of them.
    count = linked.one("SELECT MAX(id) FROM sync_run")
    linked.synced()
    assert linked.one("SELECT counts FROM sync_run WHERE id > ?", count) == "{}"


def test_fault_9_a_node_that_was_no_archive_node_meanwhile_is_looked_at_again(linked):
    """Whoever edits the row need not be this program."""
    linked.do("UPDATE storagenode SET archive = 1")
    linked.synced()
    assert separate(linked, "first") and separate(linked, "second")
    linked.do("UPDATE storagenode SET archive = 0")
    file_id = linked.file("acq/g", b"bytes", "first")
    linked.request(file_id, "first", "second")
    linked.synced()
    assert inode(linked, "first", "acq/g") == inode(linked, "second", "acq/g")
    assert not separate(linked, "first") and not separate(linked, "second")
    linked.do("UPDATE storagenode SET archive = 1")
    linked.synced()
    assert inode(linked, "first", "acq/g") != inode(linked, "second", "acq/g")
    assert separate(linked, "first") and separate(linked, "second")


def test_fault_9_an_edit_that_changes_archive_says_what_follows(linked):
    said = linked.run("node", "modify", "first", "--archive")
    assert said.status == 0 and "1 copy" in said.out + said.err and "the next run" in said.out + said.err
    linked.synced()
    assert separate(linked, "first")
    linked.run("node", "modify", "first", "--no-archive")
    assert not separate(linked, "first")


def test_fault_9_what_was_imported_with_another_name_is_given_bytes_in_the_next_run(archive):
    archive.node("safe", archive=1)
    archive.synced()
    assert separate(archive, "safe")
    at = archive.put("safe", "acq/f", b"bytes")
    os.link(at, archive.base / "other name")
    archive.run("node", "scan", "safe", "--register-new")
    archive.synced()
    assert not separate(archive, "safe")
    archive.synced()
    assert separate(archive, "safe") and at.stat().st_nlink == 1
    assert (archive.base / "other name").read_bytes() == b"bytes"


def test_fault_9_a_linked_copy_that_is_not_right_becomes_suspect_and_stays_as_it_is(linked):
    (linked.root("first") / "acq/f").write_bytes(bytes(5000))
    linked.do("UPDATE storagenode SET archive = 1 WHERE name = 'second'")
    result = linked.sync()
    assert result.status == 1 and "corrupt on second" in result.err
    (file_id,) = linked.all("SELECT id FROM archivefile")
    assert linked.copy(file_id[0], "second") == "XY"
    assert (linked.root("second") / "acq/f").read_bytes() == bytes(5000)


def test_fault_9_without_room_the_copies_do_not_count_and_somebody_is_told(sqlite_archive):
    if os.geteuid():
        pytest.fail("this test mounts a small tmpfs: run it as root, as CI does")
    root = sqlite_archive.node("safe", archive=1, made=False)
    root.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(root)], check=True)
    try:
        (root / "ALPENHORN_NODE").write_text("safe\n")
        sqlite_archive.file("acq/f", os.urandom(700_000), "safe")
        os.link(root / "acq/f", root / "other")
        result = sqlite_archive.sync()
        assert result.status == 1 and "No space left" in result.err and "acq/f" in result.err
        assert not separate(sqlite_archive, "safe")
        assert sqlite_archive.stray("safe") == [] and sqlite_archive.violations() == []
        (root / "other").unlink()
        sqlite_archive.synced()
        assert separate(sqlite_archive, "safe")
    finally:
        subprocess.run(["umount", str(root)], check=True)


def test_fault_9_a_run_killed_in_the_middle_loses_nothing(archive):
    archive.node("first")
    archive.node("second")
    ids = archive.files(400, "first", 200_000)
    archive.requests(ids, "first", "second")
    archive.synced()
    archive.do("UPDATE storagenode SET archive = 1")

    def own():
        return sum(1 for path in archive.root("first").rglob("*.dat") if path.stat().st_nlink == 1)

    run = archive.start("sync", "--jobs", "1")
    wait_for(lambda: own() or run.process.poll() is not None, "the first copy with bytes of its own")
    os.kill(run.process.pid, signal.SIGKILL)
    run.process.wait()
    run.wait_until_nothing_is_left()
    assert archive.violations() == []
    assert not (separate(archive, "first") and separate(archive, "second"))
    archive.synced()
    assert separate(archive, "first") and separate(archive, "second")
    assert own() == 400 and archive.violations() == []
    assert archive.stray("first") == archive.stray("second") == []
