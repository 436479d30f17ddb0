"""Faults by which the index trusted nodes too much: a copy counted or found twice, a date in the future, or the
observation of a single run (the faults 9 to 12 of the issue about evidence)."""

import os
import subprocess

import pytest

from tests.fixtures.archive import clock, wait_for
from tests.fixtures.tape import Tape


def inode(archive, node, path):
    return (archive.root(node) / path).stat().st_ino


def separate(archive, node):
    """Return the state of the node's copies in the index; None without a row."""
    rows = archive.all("SELECT separate FROM sync_medium WHERE node_id = ?", archive.id("storagenode", node))
    return bool(rows[0][0]) if rows else None


# --- 9: one physical copy counted as two -----------------------------------------------------------------


@pytest.fixture
def linked(archive):
    """Two nodes whose copies are hard links of one file, created by a run."""
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
    """The row may have been edited by another program."""
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
    assert (
        said.status == 0
        and "1 existing copy" in said.out + said.err
        and "the next run" in said.out + said.err
    )
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
    linked.put("first", "acq/f", bytes(5000))
    linked.do("UPDATE storagenode SET archive = 1 WHERE name = 'second'")
    result = linked.sync()
    assert result.status == 1 and "corrupt on second" in result.err
    (file_id,) = linked.all("SELECT id FROM archivefile")
    assert linked.copy(file_id[0], "second") == "XY"
    assert (linked.root("second") / "acq/f").read_bytes() == bytes(5000)


def test_fault_9_without_room_the_copies_do_not_count_and_that_is_reported(sqlite_archive):
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

    def own(node="first"):
        found = (archive.root(node) / "many").rglob("*.dat")  # the run removes its own directories meanwhile
        return sum(1 for path in found if path.stat().st_nlink == 1)

    run = archive.start("sync", "--jobs", "1")
    wait_for(lambda: own() or run.process.poll() is not None, "the first copy with bytes of its own")
    run.kill()  # if it has not ended by now
    run.wait_until_nothing_is_left()
    assert archive.violations() == []
    for node in ("first", "second"):
        assert own(node) == 400 or not separate(archive, node)
    archive.synced()
    assert separate(archive, "first") and separate(archive, "second")
    assert own() == own("second") == 400 and archive.violations() == []
    assert archive.stray("first") == archive.stray("second") == []


def nested(archive, *, field=True):
    """Node vault, whose root is inside that of node field, which imports everything and copies it to vault."""
    root = archive.node("field", auto_import=int(field))
    archive.node("vault", archive=1, made=False, root=str(root / "vault"))
    (root / "vault").mkdir()
    (root / "vault/ALPENHORN_NODE").write_text("vault\n")
    archive.configure(sync={"import_settle": 0})
    archive.insert(
        "storagetransferaction",
        node_from_id=archive.id("storagenode", "field"),
        group_to_id=archive.id("storagegroup", "vault"),
        autosync=1,
        autoclean=0,
    )
    return root


STOPS = "the search of node field stops at"


# --- 9: one root of two nodes ------------------------------------------------------------------------------


def test_fault_9_two_active_nodes_with_one_root_are_both_left_out(archive):
    """Nodes of class LustreHSM have no marker that identifies the root."""
    tape = Tape(archive)
    root = archive.root("tape")
    archive.node(
        "other", archive=1, made=False, root=f"{root}/", io_class="LustreHSM", io_config=tape.lfs.io_config()
    )
    result = archive.sync()
    assert (
        result.status == 0
        and "node tape is left out" in result.err
        and "node other is left out" in result.err
    )
    assert "is also the root of active node other" in result.err
    assert archive.one("SELECT nodes FROM sync_run") == "disk"
    assert "is also the root" in archive.run("doctor").out
    archive.run("node", "deactivate", "other")
    archive.synced()
    refused = archive.run("node", "activate", "other")
    assert refused.status == 1 and "is also the root" in refused.err and "node deactivate tape" in refused.err
    assert archive.one("SELECT active FROM storagenode WHERE name = 'other'") == 0


def test_fault_9_nested_roots_are_reported_by_runs_and_doctor(sqlite_archive):
    nested(sqlite_archive, field=False)
    result = sqlite_archive.sync()
    assert result.status == 0 and "lies in the root" in result.err
    assert "lies in the root" in sqlite_archive.run("doctor").out


def test_fault_9_an_edit_on_this_host_follows_links_and_names_the_node_of_a_root(sqlite_archive):
    archive = sqlite_archive
    root = archive.node("first")
    (archive.base / "link").symlink_to(root)
    archive.node("second", made=False, active=0)
    refused = archive.run("node", "activate", "second", "--root", str(archive.base / "link"))
    assert refused.status == 1 and f"is also the root {root} of node first" in refused.err
    refused = archive.run(
        "node", "modify", "second", "--root", str(archive.base / "link/inner"), "--activate"
    )
    assert refused.status == 1 and f"lies in the root {root} of node first" in refused.err
    assert archive.one("SELECT active, root FROM storagenode WHERE name = 'second'") == (
        0,
        str(archive.root("second")),
    )
    archive.run("node", "deactivate", "first")
    told = archive.run("node", "activate", "second", "--root", str(archive.base / "link"))
    assert told.status == 0 and "marked as the storage of node first" in told.err


# --- 10: a root inside another one -------------------------------------------------------------------------


def test_fault_10_a_node_inside_another_ones_auto_import_root_is_not_copied_into_itself(archive):
    root = nested(archive)
    archive.put("field", "acq/f", b"bytes")
    for _ in range(3):
        result = archive.sync()
        assert result.status == 0 and f"{STOPS} {root}/vault, which is the root of node vault" in result.err
    assert archive.all("SELECT name FROM archivefile") == [("f",)]
    assert archive.all("SELECT name FROM archiveacq") == [("acq",)]
    found = sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.name == "f")
    assert found == ["acq/f", "vault/acq/f"]


def test_fault_10_a_marker_that_appears_later_is_noticed_and_so_is_its_removal(archive):
    root = archive.node("field", auto_import=1)
    archive.configure(sync={"import_settle": 0})
    archive.put("field", "acq/inner/deep/f", b"bytes")
    archive.synced()
    assert archive.one("SELECT COUNT(*) FROM archivefile") == 1
    (root / "acq/inner/ALPENHORN_NODE").write_text("vault\n")
    archive.put("field", "acq/inner/deep/g", b"bytes of another")
    archive.put("field", "acq/h", b"bytes of its own")
    for _ in range(3):
        result = archive.sync()
        assert f"{STOPS} {root}/acq/inner, which is the root of node vault" in result.err
        assert archive.all("SELECT name FROM archivefile ORDER BY id") == [("inner/deep/f",), ("h",)]
        # Nor is what lies there looked at in each run.
        assert b"acq/inner/deep" not in (root / ".alpenhorn/searched").read_bytes()
    (root / "acq/inner/ALPENHORN_NODE").unlink()
    archive.synced()
    assert archive.all("SELECT name FROM archivefile ORDER BY id") == [
        ("inner/deep/f",),
        ("h",),
        ("inner/deep/g",),
    ]


@pytest.mark.parametrize("path", ["vault", "vault/acq", "vault/acq/f"])
def test_fault_10_an_import_that_is_asked_for_there_is_declined(sqlite_archive, path):
    root = nested(sqlite_archive, field=False)
    (root / "vault/acq").mkdir()
    (root / "vault/acq/f").write_bytes(b"bytes")
    node_id = sqlite_archive.id("storagenode", "field")
    sqlite_archive.insert(
        "archivefileimportrequest", node_id=node_id, path=path, recurse=1, register=1, completed=0
    )
    result = sqlite_archive.sync()
    assert result.status == 1 and f"{root}/vault, which is the root of node vault" in result.err
    assert sqlite_archive.one("SELECT COUNT(*) FROM archivefile") == 0
    assert sqlite_archive.one("SELECT completed FROM archivefileimportrequest") == 1


def test_fault_10_a_scan_of_all_stops_there_and_says_so(sqlite_archive):
    root = nested(sqlite_archive, field=False)
    (root / "vault/acq").mkdir()
    (root / "vault/acq/f").write_bytes(b"bytes")
    sqlite_archive.put("field", "acq/g", b"bytes")
    sqlite_archive.run("node", "scan", "field", "--register-new")
    result = sqlite_archive.sync()
    assert result.status == 0 and STOPS in result.err
    assert sqlite_archive.all("SELECT name FROM archivefile") == [("g",)]


# --- 11: a date in the future --------------------------------------------------------------------------------


def test_fault_11_a_verification_dated_to_the_future_counts_as_none(archive):
    archive.node("disk", archive=1, auto_verify=2)
    ids = [archive.file(f"acq/{name}", None, "disk") for name in "abc"]
    node_id = archive.id("storagenode", "disk")
    for file_id, year in zip(ids, (2026, 2999, 2999), strict=True):
        archive.insert(
            "sync_verification", file_id=file_id, node_id=node_id, verified=f"{year}-01-01 00:00:00"
        )
    archive.put("disk", "acq/b", b"rotten")
    assert "corrupt on disk" in archive.sync().err
    assert [archive.copy(file_id, "disk") for file_id in ids] == ["YY", "XY", "YY"]
    # That of the corrupt copy says only that it was good once.
    sql = "SELECT file_id FROM sync_verification WHERE verified > '2100-01-01'"
    assert archive.all(sql) == [(ids[1],)]


def test_fault_11_a_clock_that_was_wrong_once_keeps_no_copy_from_being_read(sqlite_archive):
    sqlite_archive.node("disk", auto_verify=5)
    sqlite_archive.file("acq/a", None, "disk")
    assert sqlite_archive.sync().status == 0
    # As by a storage whose clock was wrong.
    sqlite_archive.do("UPDATE sync_verification SET verified = '2036-01-01 00:00:00'")
    sqlite_archive.put("disk", "acq/a", b"other")
    assert "corrupt on disk" in sqlite_archive.sync().err


def test_fault_11_a_next_attempt_far_ahead_is_not_waited_for(archive):
    archive.node("disk")
    file_id = archive.file("acq/a", None, "disk")
    archive.set_copy(file_id, "disk", "MY")
    archive.insert(
        "sync_attempt",
        kind="check",
        subject_id=archive.one("SELECT id FROM archivefilecopy"),
        count=3,
        last="2026-01-01 00:00:00",
        next="2999-01-01 00:00:00",
        blame="unknown",
        error="could not be read",
    )
    archive.synced()
    assert archive.copy(file_id, "disk") == "YY"


def test_fault_11_a_restore_dated_by_a_wrong_clock_is_still_looked_for(sqlite_archive):
    tape = Tape(sqlite_archive)
    tape.set(restore_wait=60, release_check_count=0)
    request = sqlite_archive.request(tape.file("acq/f", b"content"), "tape", "disk")
    assert sqlite_archive.sync(environ=clock("+3650d")).status == 0
    tape.lfs.finish()
    assert sqlite_archive.one("SELECT next FROM sync_restore") > "2030"
    sqlite_archive.sync()
    assert sqlite_archive.state(request) == "done"


# --- 12: a part of a node that is not mounted ------------------------------------------------------------------


class Part:
    """A directory of a node that is a mount point; while nothing is mounted there it is empty."""

    def __init__(self, archive, acq):
        self.at = archive.root("disk") / acq
        self.aside = archive.base / "unmounted"

    def unmount(self):
        self.at.rename(self.aside)
        self.at.mkdir()

    def mount(self):
        self.at.rmdir()
        self.aside.rename(self.at)


def states(archive):
    return dict(archive.all("SELECT has_file, COUNT(*) FROM archivefilecopy GROUP BY has_file"))


def whole(archive, number, runs=20):
    """Run until nothing is left to be read, and check that every copy is good again."""
    for _ in range(runs):
        archive.sync()
        if states(archive) == {"Y": number}:
            return True
    return False


@pytest.mark.parametrize("kind", [0, 1], ids=["plain node", "archive node"])
def test_fault_12_copies_below_a_directory_that_is_not_mounted_never_turn_missing(archive, kind):
    archive.node("disk", auto_verify=50, archive=kind)
    archive.files(300, "disk")
    part = Part(archive, "many")
    part.unmount()
    for _ in range(6):
        result = archive.sync()
        assert result.status == 1 and len(result.err.splitlines()) == 1, result.err
        assert "alpenhorn sync --node disk --accept-loss" in result.err
        assert states(archive) == {"Y": 300} and archive.events("missing") == []
    part.mount()
    archive.synced()
    assert states(archive) == {"Y": 300}
    assert archive.one("SELECT COUNT(*) FROM sync_verification") == 50


def test_fault_12_copies_below_an_unmounted_directory_stay_when_each_run_reads_few(sqlite_archive):
    archive = sqlite_archive
    archive.node("disk", auto_verify=5)
    archive.files(600, "disk", acq="there")
    archive.files(200, "disk", acq="many")
    node_id = archive.id("storagenode", "disk")
    archive.do(
        "INSERT INTO sync_verification (file_id, node_id, verified)"
        " SELECT f.id, ?, '2025-01-01 00:00:00' FROM archivefile f JOIN archiveacq a ON a.id = f.acq_id"
        " WHERE a.name = 'there'",
        node_id,
    )
    part = Part(archive, "many")
    part.unmount()
    for _ in range(4):
        assert "--accept-loss" in archive.sync().err
        assert states(archive) == {"Y": 800}
    part.mount()
    archive.synced()


@pytest.mark.parametrize("number", [3, 60, 400])
def test_fault_12_a_single_lost_copy_is_still_found_missing(sqlite_archive, number):
    archive = sqlite_archive
    archive.node("disk", auto_verify=50)
    ids = archive.files(number, "disk")
    (archive.root("disk") / "many/000/00001.dat").unlink()
    for _ in range(30):
        result = archive.sync()
        assert "--accept-loss" not in result.err
        if archive.copy(ids[1], "disk") == "NY":
            break
    assert states(archive) == {"Y": number - 1, "N": 1}
    # And it stays that: nothing is looked for again and again.
    for _ in range(3):
        archive.synced()
    assert len(archive.events("missing")) == 1


def test_fault_12_losses_recorded_on_a_small_node_are_undone_when_it_is_complete(archive):
    """On a node with fewer copies than the brake requires, the losses of several runs add up."""
    archive.node("disk", auto_verify=10)
    archive.files(20, "disk", acq="there")
    archive.files(40, "disk")
    node_id = archive.id("storagenode", "disk")
    archive.do(
        "INSERT INTO sync_verification (file_id, node_id, verified)"
        " SELECT f.id, ?, '2026-01-01 00:00:00' FROM archivefile f JOIN archiveacq a ON a.id = f.acq_id"
        " WHERE a.name = 'there'",
        node_id,
    )
    part = Part(archive, "many")
    part.unmount()
    assert "missing on disk (10 times)" in archive.sync().err
    assert states(archive) == {"Y": 50, "N": 10}
    for _ in range(3):
        assert "--accept-loss" in archive.sync().err
        # A node in doubt is compared as well: what cannot be seen there may be suspect, and is never missing.
        assert states(archive)["N"] == 10
    part.mount()
    assert whole(archive, 60)
    archive.synced()
    assert archive.one("SELECT looked, lost FROM sync_medium WHERE node_id = ?", node_id) == (0, 0)


def test_fault_12_accepting_the_loss_ends_the_doubt(sqlite_archive):
    archive = sqlite_archive
    archive.node("disk", auto_verify=50)
    archive.files(150, "disk")
    Part(archive, "many").unmount()
    assert "--accept-loss" in archive.sync().err
    assert archive.sync("--node", "disk", "--accept-loss").status == 1
    assert states(archive) == {"Y": 100, "N": 50}
    assert archive.one("SELECT looked, lost FROM sync_medium") == (0, 0)
