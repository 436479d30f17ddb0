"""Copies kept sound: suspect ones checked, good ones read again when their turn has come."""

import os
import re

import pytest

AGO = "2025-01-01 00:00:00"


@pytest.fixture
def node(archive):
    """One node that re-reads five copies a run."""
    archive.node("disk", archive=1, auto_verify=5)
    return archive


@pytest.fixture
def plain(sqlite_archive):
    """The same, for what has nothing to do with the engine of the index."""
    sqlite_archive.node("disk", archive=1, auto_verify=5)
    return sqlite_archive


def verify(archive, ids, at=AGO, node="disk"):
    """Let copies have been verified at that time."""
    node_id = archive.id("storagenode", node)
    for file_id in ids:
        archive.do("DELETE FROM sync_verification WHERE file_id = ? AND node_id = ?", file_id, node_id)
        archive.insert("sync_verification", file_id=file_id, node_id=node_id, verified=at)


def verified(archive, at=AGO):
    """The files that were verified since that time."""
    return {row[0] for row in archive.all("SELECT file_id FROM sync_verification WHERE verified > ?", at)}


def rot(archive, path, node="disk"):
    """Turn a byte of a file, which keeps its length."""
    at = archive.root(node) / path
    content = bytearray(at.read_bytes())
    content[len(content) // 2] ^= 1
    at.write_bytes(content)


def states(archive, ids, node="disk"):
    return [archive.copy(file_id, node) for file_id in ids]


def attempts(archive):
    return archive.one("SELECT COUNT(*) FROM sync_attempt WHERE kind = 'check'")


# --- which are read again ------------------------------------------------------------------------------


def test_a_rotten_byte_is_found_though_nobody_asked_for_a_check(node):
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


def test_so_many_a_run_until_all_are_read_and_then_none(plain):
    ids = plain.files(12, "disk", 100)
    for number in (5, 10, 12, 12):
        plain.synced()
        assert len(verified(plain)) == number
    times = plain.all("SELECT done FROM sync_run ORDER BY id")
    assert times == [(5,), (5,), (2,), (0,)]
    assert states(plain, ids) == ["YY"] * 12


def test_none_is_read_on_a_node_that_asks_for_none(plain):
    plain.do("UPDATE storagenode SET auto_verify = 0")
    plain.file("acq/f", b"bytes", "disk")
    plain.synced()
    assert verified(plain) == set()


def test_those_never_verified_come_first_and_then_those_verified_longest_ago(node):
    ids = node.files(10, "disk", 100)
    for number, file_id in enumerate(ids[:8]):
        verify(node, [file_id], f"2025-01-{20 - number:02} 00:00:00")
    node.synced()
    assert verified(node, "2025-02-01") == {*ids[8:], *ids[5:8]}
    node.synced()
    assert verified(node, "2025-02-01") == set(ids)


def test_young_ones_are_left_until_they_are_old_enough(plain):
    plain.configure(sync={"host": "here", "auto_verify_min_days": 400_000})
    verify(plain, [plain.file("acq/old", None, "disk")])
    plain.synced()
    assert verified(plain) == set()
    plain.configure(sync={"host": "here", "auto_verify_min_days": 1})
    plain.synced()
    assert len(verified(plain)) == 1
    plain.synced()
    assert plain.all("SELECT done FROM sync_run ORDER BY id") == [(0,), (1,), (0,)]


def test_released_copies_are_not_read_again_and_do_not_stand_in_the_way(node):
    ids = node.files(10, "disk", 100)
    verify(node, ids[:8], "2024-01-01 00:00:00")
    verify(node, ids[8:])
    for file_id in ids[:8]:
        node.set_copy(file_id, "disk", "YN")
    node.synced("--only", "check")
    assert verified(node) == set(ids[8:])
    assert node.one("SELECT COUNT(*) FROM sync_verification") == 2


def test_copies_stay_good_while_they_are_read_and_are_read_once_a_run(plain):
    """A second round must not begin it anew: an import makes one."""
    plain.do("UPDATE storagenode SET auto_verify = 1")
    plain.files(4, "disk", 100)
    plain.put("disk", "other/new", b"new")
    plain.run("node", "scan", "disk", "--register-new")
    plain.synced()
    assert plain.one("SELECT done FROM sync_run") == 2
    assert plain.one("SELECT COUNT(*) FROM archivefilecopy WHERE has_file = 'Y'") == 5


def test_the_plan_tells_what_would_be_read_again_and_touches_nothing(node):
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


def test_a_good_copy_that_is_gone_is_missing_and_can_be_mended(archive):
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


def test_what_somebody_made_suspect_meanwhile_is_not_called_good(plain):
    """The verdict is for the file that the index knew when it was handed out."""
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


def test_a_suspect_copy_that_was_released_is_read_where_it_may_not_go(node):
    """As after a crash in a deletion: it has to count again."""
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


@pytest.mark.parametrize("state", ["YY", "MY"], ids=["its turn", "suspect"])
@pytest.mark.parametrize("which", ["first", "last", "every second"])
@pytest.mark.parametrize("jobs", ["1", "8"])
def test_when_a_great_part_is_missing_none_of_it_is_believed(plain, state, which, jobs):
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


def test_a_few_missing_among_many_are_believed(plain):
    plain.do("UPDATE storagenode SET auto_verify = 1000")
    ids = plain.files(300, "disk", 100)
    lose(plain, ids[::4])
    assert plain.sync("--jobs", "8").status == 1
    assert set(states(plain, ids[::4])) == {"NY"}
    assert states(plain, ids).count("YY") == 225


def test_on_a_small_node_all_may_be_missing(plain):
    plain.do("UPDATE storagenode SET auto_verify = 1000")
    ids = plain.files(60, "disk", 100)
    lose(plain, ids)
    assert plain.sync("--jobs", "8").status == 1
    assert set(states(plain, ids)) == {"NY"}


def test_a_node_that_is_in_doubt_is_left_alone_for_the_rest_of_the_run(plain):
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
