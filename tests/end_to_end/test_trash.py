"""Deleted files are kept in the trash of their node, brought back from there, and deleted in the end."""

import os
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from alpenhorn.io.default import DefaultNode
from alpenhorn.io.lustre_hsm import LustreHSMNode
from alpenhorn.model.trash import batch_name, deleted_at
from tests.fixtures.filesystems import mounted

pytestmark = pytest.mark.one_engine

KEEP = 14 * 86_400
ACQ = "acq"


@pytest.fixture
def nodes(archive):
    """A field node of which all copies may be deleted, and two archive nodes; this host has a trash."""
    return filled(archive)


def filled(archive):
    archive.node("field")
    archive.node("safe1", archive=1)
    archive.node("safe2", archive=1)
    archive.configure(sync={"trash": "14d"})
    archive.ids = [archive.file(f"{ACQ}/dir/{i}", None, "field", "safe1", "safe2") for i in range(3)]
    return archive


def release(archive, *file_ids, node="field"):
    for file_id in file_ids:
        archive.set_copy(file_id, node, "YN")


def trash(archive, node="field") -> Path:
    return archive.root(node) / ".alpenhorn" / "trash"


def batches(archive, node="field"):
    at = trash(archive, node)
    return sorted(path.name for path in at.iterdir()) if at.is_dir() else []


def kept(archive, node="field"):
    """Return the paths of the files in the trash, without their batches."""
    at = trash(archive, node)
    return sorted(str(path.relative_to(at)).partition("/")[2] for path in at.rglob("*") if path.is_file())


def rows(archive):
    return archive.all("SELECT file_id, asked IS NOT NULL FROM sync_trash ORDER BY file_id, batch")


def aged(archive, days, node="field", modified=True):
    """Make everything in the trash older, by its name, its row and the time of its directory."""
    for name in batches(archive, node):
        run, number = name.split("-")[1:]
        old = datetime.fromtimestamp(deleted_at(name), UTC) - timedelta(days=days)
        new = batch_name(old, int(run), int(number))
        (trash(archive, node) / name).rename(trash(archive, node) / new)
        archive.do("UPDATE sync_trash SET batch = ? WHERE batch = ?", new, name)
        if modified:
            os.utime(trash(archive, node) / new, (old.timestamp(), old.timestamp()))


def free_b(root):
    found = os.statvfs(root)
    return found.f_bavail * found.f_frsize


def deleted(archive, *file_ids):
    release(archive, *file_ids)
    archive.synced("--only", "delete")
    assert {archive.copy(file_id, "field") for file_id in file_ids} == {"NN"}


@pytest.mark.both_engines
def test_a_deleted_file_is_kept_brought_back_verified_and_deleted_in_the_end(nodes):
    one, two = nodes.ids[:2]
    inode = (nodes.root("field") / ACQ / "dir/0").stat().st_ino
    release(nodes, one, two)
    nodes.synced()
    # To everybody else, also to the daemon, it is deleted.
    assert [nodes.copy(file_id, "field") for file_id in nodes.ids] == ["NN", "NN", "YY"]
    assert list(nodes.tree("field")) == [f"{ACQ}/dir/2"]
    assert kept(nodes) == [f"{ACQ}/dir/0", f"{ACQ}/dir/1"] and rows(nodes) == [(one, 0), (two, 0)]
    why = nodes.all("SELECT why FROM sync_event WHERE what = 'deleted'")
    assert len(why) == 2 and all(text.endswith("; moved to the trash") for (text,) in why)
    nodes.synced()
    assert len(kept(nodes)) == 2
    result = nodes.run("file", "undelete", f"{ACQ}/dir/0")
    assert (
        result.status == 0
        and "Requested: acq/dir/0 from the trash of field. The next run on here moves it back" in result.out
    )
    assert "Already requested" in nodes.run("file", "undelete", f"{ACQ}/dir/0", "--node", "field").out
    assert rows(nodes) == [(one, 1), (two, 0)]
    nodes.synced()
    assert nodes.copy(one, "field") == "YY" and rows(nodes) == [(two, 0)]
    assert (nodes.root("field") / ACQ / "dir/0").stat().st_ino == inode
    assert nodes.events("undeleted") == [(one, "field")]
    assert nodes.violations() == []
    # It is not deleted again at once.
    nodes.synced()
    assert nodes.copy(one, "field") == "YY" and kept(nodes) == [f"{ACQ}/dir/1"]
    aged(nodes, 15)
    nodes.synced()
    assert batches(nodes) == [] and rows(nodes) == []
    assert nodes.copy(two, "field") == "NN"
    result = nodes.run("file", "undelete", f"{ACQ}/dir/1")
    assert result.status == 1 and "not in the trash of any node; nothing was changed" in result.err


@pytest.mark.both_engines
def test_files_come_back_in_bulk_and_only_to_free_paths(nodes):
    one, two, three = nodes.ids
    deleted(nodes, one, two, three)
    nodes.put("field", f"{ACQ}/dir/1", b"somebody's")
    (nodes.base / "list").write_text(f"{ACQ}/dir/0\n{nodes.root('field')}/{ACQ}/dir/1\n")
    check = nodes.run("node", "undelete", "field", "--check")
    assert (
        check.out
        == "Would bring back 3 files (27 B) from the trash of field, to be read in full before they count.\n"
    )
    assert "No files to bring back" in nodes.run("node", "undelete", "field", "--since", "2040-01-01").out
    refused = nodes.run("node", "undelete", "field")
    assert refused.status == 1 and "use --force" in refused.err
    assert rows(nodes) == [(one, 0), (two, 0), (three, 0)]
    listed = nodes.run(
        "node", "undelete", "field", "-F", str(nodes.base / "list"), "--since", "1h", "--force"
    )
    assert "Requested 2 files. The next run on here moves them back" in listed.out
    assert rows(nodes) == [(one, 1), (two, 1), (three, 0)]
    assert "2 to be brought back" in nodes.run("node", "show", "field").out
    planned = nodes.run("plan", "--only", "trash")
    assert "to be brought back from the trash" in planned.out, planned
    result = nodes.sync()
    assert result.status == 1 and f"not brought back from the trash of field; {ACQ}/dir/1: " in result.err
    assert nodes.tree("field") == {f"{ACQ}/dir/0": b"acq/dir/0", f"{ACQ}/dir/1": b"somebody's"}
    assert [nodes.copy(file_id, "field") for file_id in nodes.ids] == ["YY", "NN", "NN"]
    # It stays in the trash, and is not tried again until somebody asks again.
    assert rows(nodes) == [(two, 0), (three, 0)] and kept(nodes) == [f"{ACQ}/dir/1", f"{ACQ}/dir/2"]
    nodes.synced()
    assert "already exists" in nodes.run("history", "--file", f"{ACQ}/dir/1").out
    (nodes.root("field") / ACQ / "dir/1").unlink()
    assert nodes.run("node", "undelete", "field", "--force").status == 0
    left = nodes.run("node", "undelete", "field", "--cancel", "--acq", ACQ, "--force")
    assert left.out.splitlines()[-1] == "Left 2 files in the trash."
    assert nodes.run("file", "undelete", f"{ACQ}/dir/1").status == 0
    assert "stays in the trash" in nodes.run("file", "undelete", f"{ACQ}/dir/1", "--cancel").out
    assert nodes.run("node", "undelete", "field", "--force").status == 0
    nodes.synced()
    assert [nodes.copy(file_id, "field") for file_id in nodes.ids] == ["YY"] * 3
    assert nodes.violations() == [] and rows(nodes) == []


@pytest.mark.both_engines
def test_a_copy_that_is_there_again_is_not_touched(nodes):
    one = nodes.ids[0]
    deleted(nodes, one)
    nodes.do("UPDATE sync_trash SET asked = '2026-01-01 00:00:00'")
    nodes.request(one, "safe1", "field")
    inode = None
    result = nodes.sync("--only", "pull")
    assert result.status == 0 and nodes.copy(one, "field") == "YY"
    inode = (nodes.root("field") / ACQ / "dir/0").stat().st_ino
    result = nodes.sync()
    assert "the node has a copy again" in result.err
    assert (nodes.root("field") / ACQ / "dir/0").stat().st_ino == inode
    assert nodes.copy(one, "field") == "YY" and rows(nodes) == [(one, 0)]
    refused = nodes.run("file", "undelete", f"{ACQ}/dir/0")
    assert refused.status == 1 and "field has a copy; nothing was changed" in refused.err
    assert "No files to bring back" in nodes.run("node", "undelete", "field").out


def test_what_comes_back_is_read_before_it_counts(nodes):
    one = nodes.ids[0]
    deleted(nodes, one)
    (at,) = trash(nodes).rglob("0")
    at.write_bytes(b"acq/dir/X")
    assert nodes.run("file", "undelete", f"{ACQ}/dir/0").status == 0
    nodes.synced("--only", "trash")
    assert nodes.copy(one, "field") == "MY"
    result = nodes.sync()
    assert result.status == 1 and nodes.copy(one, "field") == "XY"


def test_of_two_deletions_of_a_file_the_last_comes_back(nodes):
    one = nodes.ids[0]
    deleted(nodes, one)
    aged(nodes, 3)
    first = (trash(nodes) / batches(nodes)[0] / ACQ / "dir/0").stat().st_ino
    nodes.put("field", f"{ACQ}/dir/0", b"acq/dir/0")
    os.utime(nodes.root("field") / ACQ / "dir/0", (1, 1))
    last = (nodes.root("field") / ACQ / "dir/0").stat().st_ino
    deleted(nodes, one)
    assert rows(nodes) == [(one, 0), (one, 0)]
    assert nodes.run("node", "undelete", "field", "--force").status == 0
    nodes.synced()
    assert (nodes.root("field") / ACQ / "dir/0").stat().st_ino == last
    assert rows(nodes) == [(one, 0)]
    assert (trash(nodes) / batches(nodes)[0] / ACQ / "dir/0").stat().st_ino == first


@pytest.mark.both_engines
def test_the_disk_is_the_evidence(nodes):
    one, two, three = nodes.ids
    deleted(nodes, one)
    aged(nodes, 1)
    # Killed between the move and the record.
    deleted(nodes, two)
    nodes.set_copy(two, "field", "MN")
    nodes.do("DELETE FROM sync_trash WHERE file_id = ?", two)
    nodes.synced()
    assert nodes.copy(two, "field") == "NN" and rows(nodes) == [(one, 0), (two, 0)]
    # An index that was restored or rebuilt, with a file that it does not know.
    nodes.do("DELETE FROM sync_trash")
    stranger = trash(nodes) / batches(nodes)[0] / "no/such/file"
    stranger.parent.mkdir(parents=True)
    stranger.write_bytes(b"unknown")
    nodes.synced()
    assert rows(nodes) == [(0, 0), (one, 0), (two, 0)]
    before = nodes.dump("sync_run", "sync_event")["sync_trash"]
    nodes.synced()
    assert nodes.dump("sync_run", "sync_event")["sync_trash"] == before
    assert nodes.run("node", "undelete", "field", "--force").status == 0
    # Rows without files: the batch of the first file is gone, and something else is wanted.
    oldest = trash(nodes) / batches(nodes)[0]
    aside = oldest.rename(nodes.base / "aside")
    result = nodes.sync()
    assert result.status == 1 and f"{ACQ}/dir/0: 'acq/dir/0' is not in the trash any more" in result.err
    assert [nodes.copy(file_id, "field") for file_id in nodes.ids] == ["NN", "YY", "YY"]
    assert rows(nodes) == [] and "undeleted" not in nodes.run("history", "--file", f"{ACQ}/dir/0").out
    # The disk comes back.
    aside.rename(oldest)
    nodes.synced()
    assert rows(nodes) == [(0, 0), (one, 0)]
    # A run that was killed between the way back and the record.
    assert nodes.run("file", "undelete", f"{ACQ}/dir/0").status == 0
    (oldest / ACQ / "dir/0").rename(nodes.root("field") / ACQ / "dir/0")
    nodes.synced()
    assert nodes.copy(one, "field") == "YY" and rows(nodes) == [(0, 0)]
    # Nobody knows the file that is left, but its time is over too; while the index is older than the disks, it stays.
    aged(nodes, 15)
    nodes.insert("sync_index", name="restored", value="older than disk")
    nodes.sync()
    assert len(kept(nodes)) == 1
    nodes.do("DELETE FROM sync_index WHERE name = 'restored'")
    nodes.synced()
    assert batches(nodes) == [] and rows(nodes) == []
    assert nodes.copy(three, "field") == "YY" and nodes.violations() == []


def test_a_clock_that_was_wrong_deletes_nothing_early_and_keeps_nothing_forever(nodes):
    one, two = nodes.ids[:2]
    deleted(nodes, one)
    # The clock of the server was years ahead, or is now: the directory was changed just now.
    aged(nodes, 1000, modified=False)
    nodes.synced()
    assert kept(nodes) == [f"{ACQ}/dir/0"]
    # The clock of this host was: by the server's, the file was deleted just now.
    aged(nodes, -1000, modified=False)
    (name,) = batches(nodes)
    os.utime(trash(nodes) / name, (1, 1))
    nodes.synced()
    assert kept(nodes) == [f"{ACQ}/dir/0"]
    # Both say the future, which nobody believes: its age begins now.
    aged(nodes, -1000, modified=False)
    (name,) = batches(nodes)
    os.utime(trash(nodes) / name, (2**33, 2**33))
    nodes.synced()
    assert kept(nodes) == [f"{ACQ}/dir/0"]
    assert (trash(nodes) / name).stat().st_mtime < 2**32
    old = datetime.now().timestamp() - KEEP - 60
    os.utime(trash(nodes) / name, (old, old))
    nodes.synced()
    assert batches(nodes) == []
    deleted(nodes, two)
    aged(nodes, 13)
    nodes.synced()
    assert kept(nodes) == [f"{ACQ}/dir/1"]


def test_a_shorter_time_or_none_empties_the_trash(nodes):
    one, two = nodes.ids[:2]
    deleted(nodes, one)
    aged(nodes, 2)
    deleted(nodes, two)
    nodes.configure(sync={"trash": "1d"})
    assert "in the trash for longer" in nodes.run("plan").out
    nodes.synced()
    assert kept(nodes) == [f"{ACQ}/dir/1"]
    # On a host where it is not set, it stays, as on a disk that is carried there.
    nodes.configure()
    aged(nodes, 1000)
    nodes.synced()
    assert kept(nodes) == [f"{ACQ}/dir/1"] and rows(nodes) == [(two, 0)]
    nodes.configure(sync={"trash": "0"})
    nodes.synced()
    assert batches(nodes) == [] and rows(nodes) == []
    # Without a trash, a deletion is what it was.
    nodes.configure()
    release(nodes, nodes.ids[2])
    nodes.synced()
    assert nodes.tree("field") == {} and rows(nodes) == [] and batches(nodes) == []
    why = nodes.all("SELECT why FROM sync_event WHERE what = 'deleted' ORDER BY id DESC LIMIT 1")
    assert "trash" not in why[0][0]


TOO_FEW = "kept in the trash of field beyond the time, since too few other good copies are known"


@pytest.mark.both_engines
@pytest.mark.parametrize("trash_time", ["14d", "0"])
def test_what_may_be_among_too_few_copies_stays_until_it_is_brought_back(nodes, trash_time):
    one, two, three = nodes.ids
    deleted(nodes, one, two, three)
    aged(nodes, 15)
    nodes.configure(sync={"trash": trash_time})
    # A copy is lost on one of the disks on which the deletion relied; another was never on the second one.
    nodes.set_copy(one, "safe1", "XY")
    nodes.do(
        "DELETE FROM archivefilecopy WHERE file_id = ? AND node_id = ?", two, nodes.id("storagenode", "safe2")
    )
    planned = nodes.run("plan", "--node", "field").out
    assert "stays in the trash, since too few other good copies are known" in planned
    result = nodes.sync("--only", "trash")
    assert result.status == 0 and f"2 files are {TOO_FEW}" in result.err
    assert "alpenhorn node undelete field" in result.err
    assert kept(nodes) == [f"{ACQ}/dir/0", f"{ACQ}/dir/1"] and rows(nodes) == [(one, 0), (two, 0)]
    assert nodes.run("node", "undelete", "field", "--force").status == 0
    nodes.sync()
    assert [nodes.copy(file_id, "field") for file_id in (one, two, three)] == ["YY", "YY", "NN"]
    assert kept(nodes) == [] and nodes.violations() == []


def test_a_node_without_work_keeps_no_other_from_it(nodes):
    """The first node has only a file that is there again, so its trash has nothing to do for a worker."""
    one = nodes.ids[0]
    nodes.node("field2")
    two = nodes.file(f"{ACQ}/dir/9", None, "field2", "safe1", "safe2")
    release(nodes, two, node="field2")
    deleted(nodes, one)
    assert nodes.copy(two, "field2") == "NN"
    for node in ("field", "field2"):
        assert nodes.run("node", "undelete", node, "--force").status == 0
    nodes.set_copy(one, "field", "YY")
    nodes.sync("--only", "trash")
    assert nodes.copy(two, "field2") == "MY"


def test_nothing_goes_while_the_nodes_of_the_other_copies_do_not_count(nodes):
    one = nodes.ids[0]
    deleted(nodes, one)
    aged(nodes, 15)
    for change, undo in (
        ("UPDATE storagenode SET active = 0 WHERE name = 'safe2'", "UPDATE storagenode SET active = 1"),
        (
            "INSERT INTO sync_index (name, value, at) VALUES ('restored', 'a backup', '2026-01-01 00:00:00')",
            "DELETE FROM sync_index WHERE name = 'restored'",
        ),
        (
            "INSERT INTO sync_policy (name, copies, sites, min_age, priority) VALUES ('many', 3, 1, 0, 0)",
            "DELETE FROM sync_policy",
        ),
    ):
        nodes.do(change)
        result = nodes.sync("--only", "trash")
        assert f"1 file is {TOO_FEW}" in result.err or "'restored'" in change, (change, result)
        assert kept(nodes) == [f"{ACQ}/dir/0"]
        nodes.do(undo)
    nodes.sync("--only", "trash")
    assert kept(nodes) == [] and rows(nodes) == []


def test_a_batch_without_rows_is_looked_at_before_anything_of_it_goes(nodes):
    """A run was killed before it recorded what it had moved, and the trash is emptied since its time is 0."""
    one = nodes.ids[0]
    deleted(nodes, one)
    nodes.do("DELETE FROM sync_trash")
    nodes.set_copy(one, "safe1", "XY")
    nodes.configure(sync={"trash": "0"})
    for _ in range(3):
        nodes.sync("--only", "trash")
        assert kept(nodes) == [f"{ACQ}/dir/0"]
    nodes.set_copy(one, "safe1", "YY")
    nodes.sync("--only", "trash")
    assert kept(nodes) == [] and rows(nodes) == []


@pytest.mark.parametrize(
    "path",
    (
        f"{ACQ}/{'n' * 255}",
        "/".join(["d" * 60] * 5) + "/f",
        f"{ACQ}/a\nb\\c'd\"e",
        f"{ACQ}/caf\u00e9 \U0001f6f0",
        f"{ACQ}/-rf",
    ),
    ids=("long", "deep", "control", "unicode", "dash"),
)
def test_names_of_all_kinds_come_back(nodes, path):
    file_id = nodes.file(path, b"content", "field", "safe1", "safe2")
    deleted(nodes, file_id)
    assert kept(nodes) == [path]
    nodes.do("DELETE FROM sync_trash")
    nodes.synced()
    assert nodes.run("node", "undelete", "field", "--force").status == 0
    nodes.synced()
    assert nodes.copy(file_id, "field") == "YY" and nodes.violations() == []
    assert (nodes.root("field") / path).read_bytes() == b"content"


def test_emptying_deletes_nothing_outside(nodes):
    one, two = nodes.ids[:2]
    deleted(nodes, one)
    outside = nodes.base / "outside"
    (outside / "dir").mkdir(parents=True)
    (outside / "file").write_bytes(b"precious")
    (outside / "dir/file").write_bytes(b"precious")
    (name,) = batches(nodes)
    at = trash(nodes)
    (at / name / ACQ / "file").symlink_to(outside / "file")
    (at / name / ACQ / "tree").symlink_to(outside)
    os.link(outside / "dir/file", at / name / ACQ / "hard")
    # What has no name of a batch is not ours; a link is no batch.
    (at / "mine").mkdir()
    (at / "mine/file").write_bytes(b"precious")
    (at / "20200101T000000Z-1-1").symlink_to(outside)
    nodes.configure(sync={"trash": 0})
    nodes.synced()
    assert not (at / name).exists() and (at / "mine/file").exists()
    assert (outside / "file").exists() and (outside / "dir/file").exists()
    # Another directory is mounted in the trash.
    nodes.configure(sync={"trash": "14d"})
    deleted(nodes, two)
    (name,) = {path.name for path in at.iterdir()} - {"mine", "20200101T000000Z-1-1"}
    mount = at / name / "mount"
    mount.mkdir()
    subprocess.run(["mount", "--bind", outside, mount], check=True)
    try:
        nodes.configure(sync={"trash": 0})
        result = nodes.sync()
    finally:
        subprocess.run(["umount", mount], check=True)
    assert result.status == 1 and "the trash of field cannot be emptied: another file system" in result.err
    assert (outside / "file").exists() and (outside / "dir/file").exists()
    nodes.synced()
    assert not (at / name).exists() and (outside / "dir/file").exists()


def test_a_trash_that_is_somebodys_link_takes_nothing(nodes):
    one = nodes.ids[0]
    outside = nodes.base / "outside"
    (outside / "20200101T000000Z-1-1").mkdir(parents=True)
    trash(nodes).parent.mkdir(exist_ok=True)
    trash(nodes).symlink_to(outside)
    release(nodes, one)
    result = nodes.sync()
    assert result.status == 1 and "cannot move 'acq/dir/0' to the trash" in result.err
    assert "symbolic link" in result.err
    assert nodes.copy(one, "field") == "YN" and f"{ACQ}/dir/0" in nodes.tree("field")
    nodes.configure()
    nodes.forget_attempts()
    nodes.sync()
    assert (outside / "20200101T000000Z-1-1").is_dir()
    assert nodes.copy(one, "field") == "NN"


def test_a_file_on_another_file_system_is_deleted_and_reported(nodes):
    one, two = nodes.ids[:2]
    directory = nodes.root("field") / ACQ / "dir"
    content = {path.name: path.read_bytes() for path in directory.iterdir()}
    subprocess.run(["mount", "-t", "tmpfs", "none", directory], check=True)
    try:
        for name, data in content.items():
            (directory / name).write_bytes(data)
            os.utime(directory / name, (1, 1))
        release(nodes, one, two)
        result = nodes.sync("--only", "delete")
        assert result.status == 0 and "deleted on field and not moved to the trash" in result.err
        assert sorted(path.name for path in directory.iterdir()) == ["2"]
    finally:
        subprocess.run(["umount", "-l", directory], check=True)
    assert [nodes.copy(file_id, "field") for file_id in (one, two)] == ["NN", "NN"]
    assert rows(nodes) == [] and kept(nodes) == []


def test_the_oldest_files_go_when_room_is_needed(archive, tmp_path):
    with mounted("ext4", tmp_path, tmp_path / "field", 40):
        filled(archive)
        big = [archive.file(f"big/{i}", bytes([i]) * 6 * 2**20, "field", "safe1", "safe2") for i in range(4)]
        for days, file_id in ((3, big[0]), (2, big[1]), (1, big[2])):
            deleted(archive, file_id)
            aged(archive, days)
        free = free_b(archive.root("field"))
        coming = archive.file("big/coming", b"c" * (free + 2**20), "safe1")
        archive.do("UPDATE storagenode SET io_config = '{\"reserve_factor\": 1}'")
        request = archive.request(coming, "safe1", "field")
        planned = archive.run("plan", "--only", "pull")
        assert "copy" in planned.out and "full" not in planned.out, planned
        archive.synced()
        assert archive.state(request) == "done" and archive.copy(coming, "field") == "YY"
        assert kept(archive) == ["big/1", "big/2"] and len(rows(archive)) == 2
        # So does the minimum of free space, before a removable copy is deleted.
        archive.set_copy(big[3], "field", "YM")
        free = free_b(archive.root("field"))
        archive.do("UPDATE storagenode SET min_avail_gb = ? WHERE name = 'field'", (free + 7 * 2**20) / 2**30)
        archive.synced()
        assert kept(archive) == [] and archive.copy(big[3], "field") == "YM"
        # A copy that is deleted to make room is not kept, since that would make none.
        archive.do(
            "UPDATE storagenode SET min_avail_gb = ? WHERE name = 'field'", (free + 13 * 2**20) / 2**30
        )
        archive.synced()
        assert archive.copy(big[3], "field") == "NN" and kept(archive) == []


def test_other_work_leaves_the_trash_alone(nodes):
    one, two = nodes.ids[:2]
    nodes.do("UPDATE storagenode SET auto_import = 1 WHERE name = 'field'")
    deleted(nodes, one, two)
    nodes.synced()
    nodes.synced()
    assert nodes.one("SELECT COUNT(*) FROM archivefile") == 3
    assert nodes.run("node", "manifest", "field").status == 0
    assert "trash" not in (nodes.root("field") / ".alpenhorn/manifest.md5").read_text()
    reconciled = nodes.run("reconcile")
    assert reconciled.status == 0 and "trash" not in reconciled.out
    assert len(kept(nodes)) == 2
    assert nodes.run("node", "rename", "field", "acre").status == 0
    nodes.synced()
    assert nodes.run("file", "undelete", f"{ACQ}/dir/0", "--node", "acre").status == 0
    nodes.synced()
    assert nodes.copy(one, "acre") == "YY"
    shown = nodes.run("file", "state", f"{ACQ}/dir/1", "acre").out
    assert shown.startswith("Removed\nIn the trash: deleted 20")
    assert "In the trash of acre" in nodes.run("file", "show", f"{ACQ}/dir/1").out
    # A rule that released it does not do so again.
    nodes.insert(
        "storagetransferaction",
        node_from_id=nodes.id("storagenode", "acre"),
        group_to_id=nodes.id("storagegroup", "safe1"),
        autosync=0,
        autoclean=1,
    )
    assert nodes.run("file", "undelete", f"{ACQ}/dir/1").status == 0
    nodes.synced()
    nodes.synced()
    assert nodes.copy(two, "acre") == "YY"


def test_a_node_that_is_retired_and_deleted_tells_what_is_in_its_trash(nodes):
    assert nodes.run("node", "retire", "field", "--release", "--force").status == 0
    nodes.synced()
    assert nodes.tree("field") == {} and len(kept(nodes)) == 3
    said = nodes.run("node", "retire", "field").out
    assert "Nothing is left on it." in said and "In its trash: 3 files" in said
    assert nodes.run("node", "deactivate", "field").status == 0
    asked = nodes.run("file", "undelete", f"{ACQ}/dir/0")
    assert "No run works on the node; to activate it" in asked.out
    result = nodes.run("node", "delete", "field", "--force")
    assert result.status == 0 and "3 deleted files are still in the trash on its disk" in result.err
    assert rows(nodes) == [] and len(kept(nodes)) == 3


def test_tape_keeps_no_trash():
    assert DefaultNode.keeps_trash and not LustreHSMNode.keeps_trash


def test_runs_that_are_killed_lose_no_file_from_the_trash(nodes):
    """Each file is at its path or in the trash, and all come back."""
    ids = nodes.files(600, "field", acq="many")
    for name in ("safe1", "safe2"):
        shutil.copytree(nodes.root("field") / "many", nodes.root(name) / "many")
        for file_id in ids:
            nodes.set_copy(file_id, name, "YY")
    whole = nodes.tree("field")
    nodes.do(
        "UPDATE archivefilecopy SET wants_file = 'N' WHERE node_id = ?", nodes.id("storagenode", "field")
    )
    killed = 0
    while nodes.tree("field"):
        before = len(kept(nodes))
        run = nodes.start("sync", "--only", "delete")
        while run.process.poll() is None and len(kept(nodes)) < before + 20:
            pass
        killed += run.process.poll() is None
        run.end()
        left = nodes.tree("field")
        assert sorted([*left, *kept(nodes)]) == sorted(whole)
        nodes.forget_attempts()
    assert killed
    nodes.synced()
    assert sorted(kept(nodes)) == sorted(whole)
    assert nodes.one("SELECT COUNT(DISTINCT file_id) FROM sync_trash") == len(whole)
    assert nodes.run("node", "undelete", "field", "--force").status == 0
    while kept(nodes):
        back = nodes.root("field") / "many"
        before = sum(path.is_file() for path in back.rglob("*"))
        run = nodes.start("sync", "--only", "trash")
        while run.process.poll() is None and sum(path.is_file() for path in back.rglob("*")) < before + 20:
            pass
        run.end()
    nodes.synced()
    assert nodes.tree("field") == whole and nodes.violations() == []
    states = nodes.all(
        "SELECT DISTINCT has_file, wants_file FROM archivefilecopy WHERE node_id = ?",
        nodes.id("storagenode", "field"),
    )
    assert states == [("Y", "Y")]
