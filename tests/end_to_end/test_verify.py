"""Checks: suspect copies are read, and good ones are read again on a schedule."""

import os
import re

import pytest

pytestmark = pytest.mark.one_engine

AGO = "2025-01-01 00:00:00"


@pytest.fixture
def node(archive):
    """One node that re-reads five copies a run."""
    archive.node("disk", archive=1, auto_verify=5)
    return archive


@pytest.fixture
def plain(sqlite_archive):
    """The same on SQLite only, for tests that do not depend on the engine of the index."""
    sqlite_archive.node("disk", archive=1, auto_verify=5)
    return sqlite_archive


def verify(archive, ids, at=AGO, node="disk"):
    """Record that copies were verified at this time."""
    node_id = archive.id("storagenode", node)
    for file_id in ids:
        archive.do("DELETE FROM sync_verification WHERE file_id = ? AND node_id = ?", file_id, node_id)
        archive.insert("sync_verification", file_id=file_id, node_id=node_id, verified=at)


def verified(archive, at=AGO):
    """Return the files that were verified since this time."""
    return {row[0] for row in archive.all("SELECT file_id FROM sync_verification WHERE verified > ?", at)}


def rot(archive, path, node="disk"):
    """Change a byte of a file, but not its length and modification time."""
    content = bytearray((archive.root(node) / path).read_bytes())
    content[len(content) // 2] ^= 1
    archive.put(node, path, content)


def states(archive, ids, node="disk"):
    return [archive.copy(file_id, node) for file_id in ids]


def attempts(archive):
    return archive.one("SELECT COUNT(*) FROM sync_attempt WHERE kind = 'check'")


# --- which are read again ------------------------------------------------------------------------------


def test_a_changed_byte_is_found_by_a_scheduled_check(node):
    ids = [node.file(f"acq/{name}", os.urandom(10_000), "disk") for name in "abc"]
    rot(node, "acq/b")
    result = node.sync()
    assert result.status == 1 and "corrupt on disk" in result.err and "acq/b" in result.err
    assert states(node, ids) == ["YY", "XY", "YY"]
    assert verified(node) == {ids[0], ids[2]}
    assert node.events("corrupt") == [(ids[1], "disk")]
    assert node.events("good") == []
    assert "MD5 sum is" in node.run("history", "--file", "acq/b").out
    node.synced()


def test_a_limited_number_is_read_per_run_until_all_are_read(plain):
    ids = plain.files(12, "disk", 100)
    for number in (5, 10, 12, 12):
        plain.synced()
        assert len(verified(plain)) == number
    times = plain.all("SELECT done FROM sync_run ORDER BY id")
    assert times == [(5,), (5,), (2,), (0,)]
    assert states(plain, ids) == ["YY"] * 12


def test_nothing_is_read_on_a_node_without_auto_verify(plain):
    plain.do("UPDATE storagenode SET auto_verify = 0")
    plain.file("acq/f", b"bytes", "disk")
    plain.synced()
    assert verified(plain) == set()


def test_copies_never_verified_come_first_then_those_verified_longest_ago(node):
    ids = node.files(10, "disk", 100)
    for number, file_id in enumerate(ids[:8]):
        verify(node, [file_id], f"2025-01-{20 - number:02} 00:00:00")
    node.synced()
    assert verified(node, "2025-02-01") == {*ids[8:], *ids[5:8]}
    node.synced()
    assert verified(node, "2025-02-01") == set(ids)


def test_recently_verified_copies_are_not_read(plain):
    plain.configure(sync={"host": "here", "auto_verify_min_days": 400_000})
    verify(plain, [plain.file("acq/old", None, "disk")])
    plain.synced()
    assert verified(plain) == set()
    plain.configure(sync={"host": "here", "auto_verify_min_days": 1})
    plain.synced()
    assert len(verified(plain)) == 1
    plain.synced()
    assert plain.all("SELECT done FROM sync_run ORDER BY id") == [(0,), (1,), (0,)]


def test_released_copies_are_not_read_and_do_not_use_the_limit(node):
    ids = node.files(10, "disk", 100)
    verify(node, ids[:8], "2024-01-01 00:00:00")
    verify(node, ids[8:])
    for file_id in ids[:8]:
        node.set_copy(file_id, "disk", "YN")
    node.synced("--only", "check")
    assert verified(node) == set(ids[8:])
    assert node.one("SELECT COUNT(*) FROM sync_verification") == 2


def test_copies_stay_good_while_they_are_read_and_are_read_once_a_run(plain):
    """A second round, caused by an import, must not begin again."""
    plain.do("UPDATE storagenode SET auto_verify = 1")
    plain.files(4, "disk", 100)
    plain.put("disk", "other/new", b"new")
    plain.run("node", "scan", "disk", "--register-new")
    plain.synced()
    assert plain.one("SELECT done FROM sync_run") == 2
    assert plain.one("SELECT COUNT(*) FROM archivefilecopy WHERE has_file = 'Y'") == 5


def test_the_plan_shows_what_would_be_read_and_changes_nothing(node):
    ids = node.files(4, "disk", 100)
    verify(node, ids[:2])
    node.set_copy(ids[0], "disk", "YN")
    before = node.dump()
    lines = node.run("plan", "--only", "check", "--json").json["lines"]
    assert {(line["why"], line["files"], line["planned"]) for line in lines} == {
        ("read again: never verified", 2, True),
        ("read again: verified longest ago", 1, True),
    }
    assert node.dump() == before


# --- what comes of it ----------------------------------------------------------------------------------


def test_a_good_copy_that_is_gone_is_missing_and_can_be_repaired(archive):
    archive.node("disk", auto_verify=5)
    archive.node("safe", archive=1)
    file_id = archive.file("acq/f", b"bytes", "disk", "safe")
    lost = archive.file("acq/g", b"bytes", "disk")
    for name in "fg":
        (archive.root("disk") / "acq" / name).unlink()
    result = archive.sync()
    assert result.status == 1 and "missing on disk" in result.err
    assert states(archive, [file_id, lost]) == ["NY", "NY"]
    shown = archive.run("status").out
    assert re.search(r"1 file has no good copy anywhere: acq/g; see: alpenhorn history", shown)
    assert re.search(r"1 bad copy on disk can be .*; see: alpenhorn repair --node disk", shown)
    assert "no such file on the node" in archive.run("history", "--file", "acq/g").out
    assert archive.run("repair", "--node", "disk", "--force").out
    archive.sync()
    assert states(archive, [file_id, lost]) == ["YY", "NY"]
    assert "can be replaced" not in archive.run("status").out


def test_a_copy_marked_suspect_meanwhile_is_not_recorded_as_good(plain):
    """The result is valid for the file as the index described it when the task was created."""
    file_id = plain.file("acq/f", bytes(150 * 2**20), "disk")
    node_id = plain.id("storagenode", "disk")
    run = plain.start("sync")
    while not plain.all("SELECT id FROM sync_run WHERE ended IS NULL"):
        assert run.process.poll() is None
    plain.do("UPDATE archivefile SET md5sum = ? WHERE id = ?", "0" * 32, file_id)
    plain.do("UPDATE archivefilecopy SET has_file = 'M' WHERE file_id = ? AND node_id = ?", file_id, node_id)
    run.result()
    assert plain.copy(file_id, "disk") in ("MY", "XY")
    plain.sync()
    assert plain.copy(file_id, "disk") == "XY"


def test_a_suspect_released_copy_is_read_if_it_must_stay(node):
    """As after a crash during a deletion: the copy must count again."""
    whole, gone = (node.file(f"acq/{name}", None, "disk") for name in ("whole", "gone"))
    (node.root("disk") / "acq" / "gone").unlink()
    for file_id in (whole, gone):
        node.set_copy(file_id, "disk", "MN")
    node.sync("--only", "check")
    assert states(node, [whole, gone]) == ["YN", "NN"]


# --- a great part of a node ----------------------------------------------------------------------------


def lose(archive, ids):
    """Remove the files themselves."""
    for acq, name in (
        archive.one(
            "SELECT a.name, f.name FROM archivefile f JOIN archiveacq a ON a.id = f.acq_id WHERE f.id = ?", id
        )
        for id in ids
    ):
        (archive.root("disk") / acq / name).unlink()


@pytest.mark.parametrize(
    ("jobs", "which", "state"),
    [
        ("1", "first", "YY"),
        ("8", "first", "MY"),
        ("1", "last", "MY"),
        ("8", "last", "YY"),
        ("1", "every second", "MY"),
        ("8", "every second", "YY"),
    ],
)
def test_a_large_missing_part_is_not_recorded(plain, state, which, jobs):
    plain.do("UPDATE storagenode SET auto_verify = 1000")
    plain.node("other", auto_verify=1000)
    elsewhere = plain.files(3, "other", 100, acq="other")
    ids = plain.files(300, "disk", 100)
    for file_id in ids:
        plain.set_copy(file_id, "disk", state)
    lost = {"first": ids[:120], "last": ids[-120:], "every second": ids[::2]}[which]
    lose(plain, lost)
    result = plain.sync("--jobs", jobs)
    assert result.status == 1
    assert "alpenhorn sync --node disk --accept-loss" in result.err and "mount" in result.err
    assert len(result.err.splitlines()) == 1, result.err
    assert set(states(plain, lost)) == {state}
    assert set(states(plain, set(ids) - set(lost))) <= {state, "YY"}
    assert attempts(plain) == 0
    assert plain.events("missing") == []
    assert len(verified(plain) & set(elsewhere)) == 3

    accepted = plain.sync("--node", "disk", "--accept-loss", "--jobs", jobs)
    assert accepted.status == 1 and "missing on disk" in accepted.err
    assert set(states(plain, lost)) == {"NY"}
    assert set(states(plain, set(ids) - set(lost))) == {"YY"}
    assert len(plain.events("missing")) == len(lost)


def test_a_few_missing_copies_are_recorded(plain):
    plain.do("UPDATE storagenode SET auto_verify = 1000")
    ids = plain.files(300, "disk", 100)
    lose(plain, ids[::4])
    assert plain.sync("--jobs", "8").status == 1
    assert set(states(plain, ids[::4])) == {"NY"}
    assert states(plain, ids).count("YY") == 225


def test_on_a_small_node_all_losses_are_recorded(plain):
    plain.do("UPDATE storagenode SET auto_verify = 1000")
    ids = plain.files(60, "disk", 100)
    lose(plain, ids)
    assert plain.sync("--jobs", "8").status == 1
    assert set(states(plain, ids)) == {"NY"}


def test_a_node_in_doubt_is_left_alone_for_the_rest_of_the_run(plain):
    plain.do("UPDATE storagenode SET auto_verify = 1000")
    ids = plain.files(150, "disk", 100)
    for file_id in ids:
        plain.set_copy(file_id, "disk", "MY")
    lose(plain, ids[:100])
    plain.put("disk", "other/new", b"new")
    plain.run("node", "scan", "disk", "--register-new")
    assert plain.sync("--jobs", "1").status == 1
    shown = plain.run("status").out
    assert "the last run on here" in shown and "missing copies on" not in shown
    assert plain.sync("--only", "import").status == 0
