"""Disks that differ from the index: exchanged, restored, cloned, of another archive; and crashes between their writes.

Deletions that rely on such media are in `test_evidence_deletions.py`.
"""

import os
import re
import shutil
import subprocess
import sys

import pytest

from alpenhorn.fs import identity
from alpenhorn.model.nodes import MARKER, Identity
from alpenhorn.record import media as record
from tests.faults.test_disks import mounted, root  # noqa: F401

pytestmark = pytest.mark.cluster


@pytest.fixture
def pair(archive):
    """Node `field` with files, and archive node `v1` with copies; both seen by a run."""
    archive.node("field")
    archive.node("v1", archive=1)
    archive.ids = archive.files(12, "field")
    archive.requests(archive.ids, "field", "v1")
    archive.synced()
    return archive


def medium(archive, node):
    """Return (medium, generation, word, next generation, distrust) from the index."""
    return archive.one(
        "SELECT medium, generation, word, next_generation, distrust FROM sync_medium WHERE node_id = ?",
        archive.id("storagenode", node),
    )


def states(archive, node):
    return {
        row[0]
        for row in archive.all(
            "SELECT has_file FROM archivefilecopy WHERE node_id = ?", archive.id("storagenode", node)
        )
    }


def on_disk(archive, node):
    return identity.read(str(archive.root(node)))


def index_id(archive):
    return archive.one("SELECT value FROM sync_index WHERE name = 'identity'")


def wrong(archive, node):
    return archive.one(
        "SELECT why FROM sync_medium WHERE node_id = ? AND wrong IS NOT NULL", archive.id("storagenode", node)
    )


def restore(archive, dump):
    """Restore the index to an earlier state, row by row."""
    for table, rows in dump.items():
        archive.do(f"DELETE FROM {table}")
        for row in rows:
            archive.do(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", *row)


def move_on(archive, node="v1"):
    """Run, and change something on the node."""
    number = len(archive.ids)
    archive.ids.append(archive.file(f"more/{number}", b"more", "field"))
    archive.requests(archive.ids[-1:], "field", node)
    archive.synced()


def swap(archive, node, other):
    """Put the directory `other` in the place of a node's root; the root is kept as `other` + '.before'."""
    archive.root(node).rename(f"{other}.before")
    other.rename(archive.root(node))


def untouched(archive, node):
    """Return everything on a node except the lock file, which each run writes."""
    return {path: found for path, found in archive.everything(node).items() if not path.endswith("/run.lock")}


def test_a_run_gives_media_an_identity_and_an_idle_one_writes_nothing(pair):
    for node in ("field", "v1"):
        name, generation, word, intended, distrust = medium(pair, node)
        assert on_disk(pair, node) == Identity(index_id(pair), name, generation, word)
        assert intended is None and distrust is None
    assert medium(pair, "field")[0] != medium(pair, "v1")[0]
    before = {node: untouched(pair, node) for node in ("field", "v1")}
    rows = pair.dump("sync_run")
    pair.synced()
    assert {node: untouched(pair, node) for node in ("field", "v1")} == before
    del (after := pair.dump("sync_run"))["storagenode"], rows["storagenode"]  # their free space
    assert after == rows


def test_each_run_that_changes_something_makes_a_new_generation(pair):
    found = [on_disk(pair, "v1")]
    for _ in range(3):
        move_on(pair)
        found.append(on_disk(pair, "v1"))
    assert [one.generation for one in found] == list(range(found[0].generation, found[0].generation + 4))
    assert len({one.word for one in found}) == 4 and len({one.medium for one in found}) == 1


def test_fault_2_every_copy_on_an_exchanged_disk_is_suspect_until_it_was_read(pair, tmp_path):
    """A disk is exchanged for an empty one, and initialised as sync and doctor advise."""
    before = medium(pair, "v1")[0]
    (tmp_path / "empty").mkdir()
    swap(pair, "v1", tmp_path / "empty")
    result = pair.sync("--only", "pull")
    assert "node v1 is left out" in result.err, result
    assert "mount the storage of node v1, or, to replace it by another disk" in wrong(pair, "v1")
    told = pair.run("doctor").out
    assert "mount its storage there; if another disk is to take its place: alpenhorn node init v1" in told
    assert pair.run("node", "init", "v1").status == 0
    result = pair.sync("--only", "pull")
    assert "not the one in the index" in result.err and "its 12 copies are suspect" in result.err, result
    assert states(pair, "v1") == {"M"} and medium(pair, "v1")[0] != before
    assert on_disk(pair, "v1").medium == medium(pair, "v1")[0]
    pair.synced("--only", "pull")  # it is told once


def test_a_disk_that_was_exchanged_and_holds_the_files_is_good_once_they_were_read(pair, tmp_path):
    shutil.copytree(pair.root("v1"), tmp_path / "copy")
    (tmp_path / "copy" / identity.PATH).unlink()
    swap(pair, "v1", tmp_path / "copy")
    result = pair.sync()
    assert "not the one in the index" in result.err, result
    assert states(pair, "v1") == {"Y"} and pair.violations() == []


@pytest.mark.parametrize("lost", [True, False])
def test_fault_3_an_index_that_was_restored_is_noticed_and_nothing_is_deleted(pair, lost):
    """The disk is ahead: the index was restored from a backup, or its server lost what it had confirmed (fault 4).
    `lost`: the backup is from before any run had seen the node."""
    backup = pair.dump()
    if lost:
        backup["sync_medium"] = []
    move_on(pair)
    restore(pair, backup)
    result = pair.sync()
    assert "the index was restored from a backup" in result.err and "alpenhorn reconcile" in result.err, (
        result
    )
    assert "restored from a backup" in pair.one("SELECT value FROM sync_index WHERE name = 'restored'")
    assert medium(pair, "v1")[4] == "reconcile"
    # Nothing is missed: the next run sees the same disks and goes on with its pulls.
    move_on(pair, "v1")
    assert medium(pair, "v1")[4] == "reconcile"
    assert pair.one("SELECT COUNT(*) FROM sync_index WHERE name = 'restored'") == 1


def test_fault_3_a_restored_index_is_noticed_on_a_host_where_nothing_was_changed_since_the_backup(pair):
    """Otherwise its copies could allow deletions based on copies that were deleted elsewhere since."""
    backup = pair.dump()
    pair.synced()
    restore(pair, backup)
    result = pair.sync("--only", "pull")
    assert "the index was restored from a backup" in result.err, result
    assert medium(pair, "v1")[4] == "reconcile"
    pair.synced()
    pair.run("reconcile")
    assert pair.one("SELECT COUNT(*) FROM sync_index WHERE name = 'restored'") == 0
    pair.synced()
    assert states(pair, "v1") == {"Y"}


def test_a_note_of_another_index_or_an_empty_one_is_ignored(pair):
    lock = pair.root("v1") / ".alpenhorn/run.lock"
    raw = lock.read_bytes()
    for note in (b"", b"run 99999 on here of index " + b"f" * 32, b"\xff\xfe", b"run x"):
        lock.write_bytes(raw[:160] + note)
        pair.synced()


def test_after_a_restore_every_node_has_to_be_seen_again(pair):
    pair.node("far", host="there", archive=1)
    pair.synced(host="there")
    backup = pair.dump()
    move_on(pair)
    restore(pair, backup)
    pair.sync()
    seen = "SELECT seen FROM sync_medium WHERE node_id = ?"
    assert pair.one(seen, pair.id("storagenode", "far")) is None
    pair.synced(host="there")
    assert pair.one(seen, pair.id("storagenode", "far")) is not None


def test_a_disk_that_was_rolled_back_is_compared_before_it_is_believed(pair, tmp_path):
    shutil.copytree(pair.root("v1"), tmp_path / "older", symlinks=True)
    move_on(pair)
    move_on(pair)
    swap(pair, "v1", tmp_path / "older")
    result = pair.sync("--only", "pull")
    assert "its state is older than the index" in result.err, result
    assert medium(pair, "v1")[4] is None
    assert [pair.copy(file_id, "v1") for file_id in pair.ids[-2:]] == ["MY", "MY"]
    assert {pair.copy(file_id, "v1") for file_id in pair.ids[:-2]} == {"YY"}
    assert pair.one("SELECT COUNT(*) FROM sync_index WHERE name = 'restored'") == 0
    pair.sync()
    assert pair.violations() == []
    assert on_disk(pair, "v1").generation > 3


def test_a_comparison_that_was_stopped_is_made_by_the_next_run(pair, tmp_path):
    shutil.copytree(pair.root("v1"), tmp_path / "older", symlinks=True)
    move_on(pair)
    swap(pair, "v1", tmp_path / "older")
    found = on_disk(pair, "v1")
    node_id = pair.id("storagenode", "v1")
    record.distrust(pair.index, node_id, record.COMPARE, "as a run that was killed", found)
    pair.sync("--only", "pull")
    assert medium(pair, "v1")[4] is None and pair.copy(pair.ids[-1], "v1") == "MY"


def test_two_clones_that_each_advanced_by_one_generation_are_distinguished(pair, tmp_path):
    shutil.copytree(pair.root("v1"), tmp_path / "clone", symlinks=True)
    one = on_disk(pair, "v1")
    move_on(pair)
    swap(pair, "v1", tmp_path / "clone")
    identity.write(str(pair.root("v1")), one._replace(generation=one.generation + 1, word="f" * 16))
    result = pair.sync("--only", "pull")
    assert "older than the index" in result.err and pair.copy(pair.ids[-1], "v1") == "MY", result


def test_a_crash_after_the_intention_leaves_a_trusted_disk(pair):
    found = on_disk(pair, "v1")
    node_id = pair.id("storagenode", "v1")
    record.intend(pair.index, node_id, found._replace(generation=found.generation + 1, word="e" * 16))
    pair.synced()
    assert states(pair, "v1") == {"Y"} and medium(pair, "v1")[4] is None
    move_on(pair)
    assert on_disk(pair, "v1").generation == found.generation + 2
    assert medium(pair, "v1")[:4] == (found.medium, found.generation + 2, on_disk(pair, "v1").word, None)


@pytest.mark.parametrize("lacking", [False, True])
def test_a_crash_after_the_disk_was_written_leaves_a_disk_to_be_compared(pair, lacking):
    """`lacking`: not a crash, but an index restored from a backup of exactly this moment."""
    found = on_disk(pair, "v1")
    intended = found._replace(generation=found.generation + 1, word="e" * 16)
    record.intend(pair.index, pair.id("storagenode", "v1"), intended)
    identity.write(str(pair.root("v1")), intended)
    if lacking:
        path = next(path for path in pair.tree("v1"))
        (pair.root("v1") / path).unlink()
    result = pair.sync("--only", "pull")
    assert result.status == 0 and medium(pair, "v1") == (found.medium, *intended[2:], None, None), result
    assert states(pair, "v1") == ({"Y", "M"} if lacking else {"Y"})
    assert bool(result.err) is lacking


def test_a_crash_while_a_medium_is_adopted_does_no_harm(archive):
    archive.node("field")
    archive.files(3, "field")
    node_id = archive.id("storagenode", "field")
    record.intend(archive.index, node_id, Identity("a" * 32, "b" * 32, 1, "c" * 16))
    archive.synced()
    assert states(archive, "field") == {"Y"}
    assert medium(archive, "field")[:2] == ("b" * 32, 2) and on_disk(archive, "field").medium == "b" * 32


def test_a_disk_of_another_archive_is_left_out_and_not_touched(pair):
    stranger = on_disk(pair, "v1")._replace(index_id="9" * 32)
    (pair.root("v1") / identity.PATH).write_bytes(identity.slot_of(stranger) + identity.EMPTY)
    before, copies = pair.everything("v1"), pair.dump("sync_run", "sync_medium", "storagenode")
    pair.requests(pair.ids[:1], "v1", "field")
    result = pair.sync()
    assert "node v1 is left out" in result.err and "belongs to another index" in result.err, result
    assert "another index" in wrong(pair, "v1")
    assert pair.everything("v1") == before
    assert pair.dump("sync_run", "sync_medium", "storagenode")["archivefilecopy"] == copies["archivefilecopy"]


@pytest.mark.parametrize("damage", ["cut", "garbage", "newer", "link", "directory"])
def test_an_identity_that_cannot_be_read_leaves_its_node_out(pair, damage):
    file = pair.root("v1") / identity.PATH
    raw = file.read_bytes()
    if damage == "cut":
        file.write_bytes(raw[:100])
    elif damage == "garbage":
        file.write_bytes(os.urandom(1024))
    elif damage == "newer":
        file.write_bytes(raw.replace(b"identity 1", b"identity 3"))
    else:
        file.unlink()
        (file.symlink_to(pair.root("field") / identity.PATH) if damage == "link" else file.mkdir())
    before = pair.everything("v1")
    result = pair.sync()
    assert "node v1 is left out" in result.err and str(file) in result.err, result
    assert ("install a newer" if damage == "newer" else "delete it") in result.err
    assert pair.everything("v1") == before and states(pair, "v1") == {"Y"}
    assert str(file) in wrong(pair, "v1")
    # The way out that the message names.
    if damage != "newer":
        file.rmdir() if damage == "directory" else file.unlink()
        assert "its 12 copies are suspect" in pair.sync().err
        assert states(pair, "v1") == {"Y"}


def test_a_clone_that_is_plugged_in_as_another_node_is_left_out(pair):
    pair.node("v2", archive=1, made=False)
    shutil.copytree(pair.root("v1"), pair.root("v2"), symlinks=True)
    (pair.root("v2") / MARKER).write_text("v2\n")
    before = pair.everything("v2")
    result = pair.sync()
    assert "node v2 is left out" in result.err and "identity of node v1" in result.err, result
    assert pair.everything("v2") == before and states(pair, "v1") == {"Y"}
    (pair.root("v2") / identity.PATH).unlink()
    pair.synced()
    assert medium(pair, "v2")[0] not in (None, medium(pair, "v1")[0])


@pytest.mark.usefixtures("root")
def test_a_disk_without_room_for_an_identity_is_named_and_nothing_is_done_there(sqlite_archive):
    archive = sqlite_archive
    archive.node("field")
    archive.node("small", made=False, archive=1)
    request = archive.request(archive.file("acq/file", b"content", "field"), "field", "small")
    with mounted(archive, "small", "size=64k,mode=700") as at:
        (at / ".alpenhorn").mkdir(mode=0o700)
        (at / ".alpenhorn" / "run.lock").write_bytes(b" ")
        with (at / "filler").open("wb", buffering=0) as filler, pytest.raises(OSError, match="No space"):
            while True:
                filler.write(b"x" * 4096)
        result = archive.sync()
        assert result.status == 1 and "node small" in result.err and str(at / identity.PATH) in result.err, (
            result
        )
        assert "free space" in result.err
        assert sorted(os.listdir(at / ".alpenhorn")) == ["run.lock"]
        assert archive.state(request) == "pending"
        (at / "filler").unlink()
        archive.synced()
        assert archive.state(request) == "done"


def test_a_node_that_is_left_out_is_marked_for_all_hosts_at_once_and_cleared_when_it_is_back(pair):
    pair.root("v1").rename(pair.base / "away")
    pair.root("v1").mkdir()
    pair.sync()
    assert MARKER in wrong(pair, "v1")
    shutil.rmtree(pair.root("v1"))
    (pair.base / "away").rename(pair.root("v1"))
    pair.synced()
    assert pair.one("SELECT COUNT(*) FROM sync_medium WHERE wrong IS NOT NULL") == 0


def doctor(archive):
    """Return (level, text and remedy) of the findings of doctor about media."""
    found = archive.run("doctor", "--json").json
    return [(one["level"], f"{one['text']}; {one['remedy']}") for one in found]


def attention(archive):
    return [one["what"] for one in archive.run("status", "--json").json["attention"]]


def test_doctor_and_status_report_media_that_differ_from_the_index(pair, tmp_path):
    shutil.copytree(pair.root("v1"), tmp_path / "older", symlinks=True)
    shutil.copytree(pair.root("v1"), tmp_path / "anew", symlinks=True)
    (tmp_path / "anew" / identity.PATH).unlink()
    backup = pair.dump()
    move_on(pair)
    assert not any("medium" in text or "older" in text for _, text in doctor(pair))
    swap(pair, "v1", tmp_path / "older")
    assert any(
        level == "warn" and "v1: its medium is in an older state" in text for level, text in doctor(pair)
    )
    swap(pair, "v1", tmp_path / "older.before")
    restore(pair, backup)
    assert any(level == "fail" and "the index is older than the disk" in text for level, text in doctor(pair))
    pair.sync()
    assert any(level == "fail" and "nothing is deleted on this index" in text for level, text in doctor(pair))
    told = attention(pair)
    assert "nothing is deleted on this index" in told[0] and any(
        "the copies on v1 do not count" in one for one in told
    )
    swap(pair, "v1", tmp_path / "anew")
    assert any(
        level == "warn" and "v1: its medium is not the one in the index" in text
        for level, text in doctor(pair)
    )
    pair.sync("--only", "pull")
    assert any("12 copies are still to be read" in one for one in attention(pair))
    pair.root("v1").rename(pair.base / "gone")
    pair.sync()
    assert any("v1 was left out" in one for one in attention(pair))


def test_a_run_flushes_twice_for_what_it_keeps_on_a_disk(pair, tmp_path):
    """It flushes the generation once, before the first change, and the manifest once."""
    pair.ids.append(pair.file("more/one", b"more", "field"))
    pair.requests(pair.ids[-1:], "field", "v1")
    log = tmp_path / "flushes"
    argv = [
        "-f",
        "-qq",
        "-y",
        "-e",
        "trace=fsync,fdatasync,syncfs",
        "-o",
        str(log),
        sys.executable,
        "-m",
        "alpenhorn",
    ]
    subprocess.run(["strace", *argv, "-c", str(pair.base / "here.toml"), "sync"], check=True)
    private = str(pair.root("v1") / ".alpenhorn")
    kept = [
        os.path.basename(path)
        for path in re.findall(r"(?:fsync|fdatasync|syncfs)\(\d+<([^>]*)>", log.read_text())
        if path.startswith(private) and os.path.basename(path) in ("identity", "manifest.md5", ".alpenhorn")
    ]
    assert kept == ["identity", "manifest.md5"]


def test_doctor_warns_where_copies_that_nobody_has_seen_are_trusted(pair):
    assert not any("trust_unseen" in text for _, text in doctor(pair))
    pair.configure(sync={"trust_unseen": True})
    assert any(level == "warn" and "trust_unseen" in text for level, text in doctor(pair))


def test_a_run_that_was_pruned_from_the_history_is_no_sign_of_a_restored_index(pair):
    pair.do("UPDATE storagenode SET active = 0 WHERE name = 'v1'")
    pair.synced()
    last = pair.one("SELECT MAX(id) FROM sync_run")
    pair.do("UPDATE sync_run SET started = '2026-01-01 00:00:00', ended = '2026-01-01 00:01:00'")
    assert pair.run("history", "--prune", "1d", "--force").status == 0
    assert pair.one("SELECT id FROM sync_run") == last
    pair.do("UPDATE storagenode SET active = 1 WHERE name = 'v1'")
    pair.synced()
    assert pair.one("SELECT COUNT(*) FROM sync_index WHERE name = 'restored'") == 0
