"""The rules for pulls and checks, row by row, as carried out by whole runs."""

import hashlib
import os

import pytest

from alpenhorn.model.nodes import GIB

pytestmark = pytest.mark.one_engine


@pytest.fixture
def pair(archive):
    """A plain node and an archive node."""
    archive.node("field")
    archive.node("safe", archive=1)
    return archive


@pytest.fixture
def plain(sqlite_archive):
    """The same on SQLite only, for tests that do not depend on the engine of the index."""
    sqlite_archive.node("field")
    sqlite_archive.node("safe", archive=1)
    return sqlite_archive


# --- what is known at the destination ------------------------------------------------------------------


def test_a_request_for_a_file_that_the_group_has_is_cancelled(pair):
    file_id = pair.file("acq/f", b"bytes", "field", "safe")
    request = pair.request(file_id, "field", "safe")
    pair.synced()
    assert pair.state(request) == "cancelled"
    assert pair.copy(file_id, "safe") == "YY"


def test_the_groups_copy_may_be_on_a_node_of_another_host(pair):
    pair.node("far", group="safe", host="there", made=False)
    file_id = pair.file("acq/f", b"bytes", "field")
    pair.set_copy(file_id, "far", "YY")
    request = pair.request(file_id, "field", "safe")
    pair.synced()
    assert pair.state(request) == "cancelled"
    assert pair.tree("safe") == {}


@pytest.mark.parametrize(
    ("there", "state", "copy"),
    [
        (b"bytes", "cancelled", "YY"),
        (b"wrong", "done", "YY"),
        (b"short!", "done", "YY"),
        (None, "done", "YY"),
    ],
    ids=["good", "rotten", "wrong length", "gone"],
)
def test_a_suspect_copy_in_the_group_is_checked_and_the_verdict_settles_the_request(pair, there, state, copy):
    file_id = pair.file("acq/f", b"bytes", "field")
    pair.set_copy(file_id, "safe", "MY")
    if there is not None:
        pair.put("safe", "acq/f", there)
    pair.once_good(file_id, "safe")
    request = pair.request(file_id, "field", "safe")
    pair.sync()
    assert (pair.state(request), pair.copy(file_id, "safe")) == (state, copy)
    assert pair.tree("safe") == {"acq/f": b"bytes"}


def test_a_suspect_copy_in_the_group_keeps_the_request_waiting_while_it_is_not_checked(pair):
    file_id = pair.file("acq/f", b"bytes", "field")
    pair.set_copy(file_id, "safe", "MY")
    request = pair.request(file_id, "field", "safe")
    pair.synced("--only", "pull")
    assert (pair.state(request), pair.copy(file_id, "safe")) == ("pending", "MY")
    assert pair.tree("safe") == {}


def test_a_corrupt_copy_is_replaced_and_stays_until_the_new_one_is_verified(pair):
    good = pair.file("acq/good", b"bytes", "field")
    rotten = pair.file("acq/rotten", b"bytes", "field")
    pair.put("field", "acq/rotten", b"other")
    requests = []
    for file_id, name in ((good, "good"), (rotten, "rotten")):
        pair.set_copy(file_id, "safe", "XY")
        pair.put("safe", f"acq/{name}", b"corrupt")
        pair.once_good(file_id, "safe")
        requests.append(pair.request(file_id, "field", "safe"))
    assert pair.sync().status == 1
    assert pair.copy(good, "safe") == "YY"
    assert pair.copy(rotten, "safe") == "XY"
    assert pair.tree("safe") == {"acq/good": b"bytes", "acq/rotten": b"corrupt"}
    assert pair.stray("safe") == []


@pytest.mark.parametrize("row", [None, "NN", "NY"])
def test_without_a_copy_the_pull_goes_ahead(pair, row):
    file_id = pair.file("acq/f", b"bytes", "field")
    if row:
        pair.set_copy(file_id, "safe", row)
    request = pair.request(file_id, "field", "safe")
    pair.synced()
    assert (pair.state(request), pair.copy(file_id, "safe")) == ("done", "YY")


@pytest.mark.parametrize("row", [None, "NN"])
@pytest.mark.parametrize("there", [b"bytes", b"stray"], ids=["same", "different"])
def test_a_stray_file_at_the_path_is_checked_and_never_overwritten(pair, row, there):
    file_id = pair.file("acq/f", b"bytes", "field")
    if row:
        pair.set_copy(file_id, "safe", row)
    at = pair.put("safe", "acq/f", there)
    inode = at.stat().st_ino
    request = pair.request(file_id, "field", "safe")
    result = pair.sync("--only", "pull")
    assert result.status == 0
    assert (pair.state(request), pair.copy(file_id, "safe")) == ("pending", "MY")
    assert (at.stat().st_ino, at.read_bytes()) == (inode, there)
    pair.sync()
    assert (at.stat().st_ino, at.read_bytes()) == (inode, there)
    state = ("cancelled", "YY") if there == b"bytes" else ("pending", "XY")
    assert (pair.state(request), pair.copy(file_id, "safe")) == state


@pytest.mark.parametrize("what", ["directory", "link", "fifo"])
def test_an_object_at_the_path_is_neither_followed_nor_removed(plain, what):
    file_id = plain.file("acq/f", b"bytes", "field")
    outside = plain.base / "outside"
    outside.write_bytes(b"precious")
    at = plain.root("safe") / "acq" / "f"
    at.parent.mkdir()
    if what == "directory":
        at.mkdir()
        (at / "inside").write_bytes(b"precious")
    elif what == "link":
        at.symlink_to(outside)
    else:
        os.mkfifo(at)
    other = plain.request(plain.file("acq/g", b"other", "field"), "field", "safe")
    plain.request(file_id, "field", "safe")
    plain.sync()
    plain.sync()
    assert plain.copy(file_id, "safe") != "YY" or at.read_bytes() == b"bytes"
    assert plain.state(other) == "done"
    assert outside.read_bytes() == b"precious"
    if what == "directory":
        assert (at / "inside").read_bytes() == b"precious"
    assert plain.violations() == []


# --- what is known at the source -----------------------------------------------------------------------


def test_a_source_that_is_not_active_is_skipped_and_reported(plain):
    plain.node("off", active=0)
    file_id = plain.file("acq/f", b"bytes", "off")
    request = plain.request(file_id, "off", "safe")
    result = plain.sync()
    assert result.status == 0 and "off is not active" in result.err
    assert plain.state(request) == "pending"


@pytest.mark.parametrize("row", [None, "NY", "NN", "XY"])
def test_a_request_from_a_node_without_a_good_copy_is_cancelled(pair, row):
    file_id = pair.file("acq/f", b"bytes")
    if row:
        pair.set_copy(file_id, "field", row)
    request = pair.request(file_id, "field", "safe")
    pair.synced("--only", "pull")
    assert pair.state(request) == "cancelled"


def test_a_suspect_source_is_checked_first_and_pulled_in_the_same_run(pair):
    file_id = pair.file("acq/f", b"bytes", "field")
    pair.set_copy(file_id, "field", "MY")
    request = pair.request(file_id, "field", "safe")
    pair.synced("--only", "pull")
    assert pair.state(request) == "pending"
    pair.synced()
    assert pair.state(request) == "done"


def test_of_two_requests_for_one_file_the_first_is_done_and_the_other_cancelled(pair):
    pair.node("near")
    file_id = pair.file("acq/f", b"bytes", "field", "near")
    first, second, third = (pair.request(file_id, source, "safe") for source in ("field", "near", "field"))
    pair.synced()
    assert [pair.state(request) for request in (first, second, third)] == ["done", "cancelled", "cancelled"]
    assert len(pair.events("pulled")) == 1


def test_a_request_into_the_nodes_own_group_is_cancelled(plain):
    file_id = plain.file("acq/f", b"bytes", "field")
    request = plain.request(file_id, "field", "field")
    plain.synced()
    assert plain.state(request) == "cancelled"
    assert plain.tree("field") == {"acq/f": b"bytes"}


# --- blame ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [5, 3 * 2**20, 70 * 2**20], ids=["small", "medium", "big"])
def test_a_corrupt_source_is_found_by_the_pull_and_recorded_by_the_check(sqlite_archive, size):
    pair = sqlite_archive
    pair.node("field")
    pair.node("safe", archive=1)
    content = bytes(size)
    file_id = pair.file("acq/f", content, "field")
    pair.put("field", "acq/f", content[:-1] + b"!")
    good = pair.request(pair.file("acq/g", b"good", "field"), "field", "safe")
    request = pair.request(file_id, "field", "safe")
    result = pair.sync()
    assert result.status == 1 and "acq/f" in result.err
    assert pair.copy(file_id, "field") == "XY"
    assert (file_id, "field") in pair.events("suspect") and (file_id, "field") in pair.events("corrupt")
    assert pair.copy(file_id, "safe") is None and pair.tree("safe") == {"acq/g": b"good"}
    assert pair.state(good) == "done"
    assert pair.state(request) in ("pending", "cancelled")
    pair.synced()
    assert pair.state(request) == "cancelled"
    assert pair.stray("safe") == []


@pytest.mark.parametrize(
    ("damage", "verdict"),
    [("gone", "NY"), ("short", "XY"), ("long", "XY"), ("directory", "XY"), ("link", "XY")],
)
def test_a_source_that_differs_from_the_index_is_suspect_and_then_checked(plain, damage, verdict):
    file_id = plain.file("acq/f", b"bytes", "field")
    at = plain.root("field") / "acq" / "f"
    at.unlink()
    if damage == "short":
        at.write_bytes(b"byte")
    elif damage == "long":
        at.write_bytes(b"bytes.")
    elif damage == "directory":
        at.mkdir()
    elif damage == "link":
        (plain.root("field") / "acq" / "other").write_bytes(b"bytes")
        at.symlink_to("other")
    plain.request(file_id, "field", "safe")
    assert plain.sync("--only", "pull").status == 1
    assert plain.copy(file_id, "field") == "MY"
    assert plain.sync("--only", "check").status == 1
    assert plain.copy(file_id, "field") == verdict
    assert plain.copy(file_id, "safe") is None and plain.tree("safe") == {}


def test_each_verdict_of_a_check(pair):
    ids = {name: pair.file(f"acq/{name}", b"bytes", "field") for name in ("good", "gone", "short", "rotten")}
    (pair.root("field") / "acq" / "gone").unlink()
    pair.put("field", "acq/short", b"by")
    pair.put("field", "acq/rotten", b"bites")
    for file_id in ids.values():
        pair.set_copy(file_id, "field", "MY")
    released = pair.file("acq/released", b"bytes", "field")
    pair.set_copy(released, "field", "MN")
    result = pair.sync()
    assert result.status == 1
    assert {name: pair.copy(file_id, "field") for name, file_id in ids.items()} == {
        "good": "YY",
        "gone": "NY",
        "short": "XY",
        "rotten": "XY",
    }
    # No archive node has it, so that it may not go, and has to count.
    assert pair.copy(released, "field") == "YN"
    pair.synced("--only", "check")


# --- room ----------------------------------------------------------------------------------------------


def test_files_above_max_total_are_skipped_and_smaller_ones_behind_them_are_pulled(pair):
    pair.file("acq/old", bytes(600), "safe")
    pair.do("UPDATE storagenode SET max_total_gb = ? WHERE name = 'safe'", 1000 / GIB)
    big = pair.request(pair.file("acq/big", bytes(500), "field"), "field", "safe")
    small = pair.request(pair.file("acq/small", bytes(300), "field"), "field", "safe")
    more = pair.request(pair.file("acq/more", bytes(200), "field"), "field", "safe")
    result = pair.sync()
    assert result.status == 0 and "safe" in result.err and "acq/big" in result.err
    assert [pair.state(request) for request in (big, small, more)] == ["pending", "done", "pending"]


def test_nothing_is_pulled_onto_a_node_below_min_avail(plain):
    plain.do("UPDATE storagenode SET min_avail_gb = 1e9 WHERE name = 'safe'")
    request = plain.request(plain.file("acq/f", b"bytes", "field"), "field", "safe")
    result = plain.sync()
    assert result.status == 0 and "safe" in result.err
    assert plain.state(request) == "pending"


def test_claims_of_other_runs_count_as_reserved(pair):
    request = pair.request(pair.file("acq/f", b"bytes", "field"), "field", "safe")
    # A run on another host that shares the node's storage; its lease runs for a hundred years.
    claim = {
        "kind": "pull",
        "file_id": 999,
        "target_id": pair.id("storagegroup", "safe"),
        "node_id": pair.id("storagenode", "safe"),
        "reserved_b": 2**60,
        "host": "there",
        "run_id": 999,
        "expires": "2126-01-01 00:00:00",
        "fence": 1,
    }
    pair.insert("sync_claim", **claim)
    planned = pair.run("plan")
    assert "no room on safe" in planned.out
    pair.do("UPDATE sync_claim SET expires = '2020-01-01 00:00:00'")
    pair.synced()
    assert pair.state(request) == "done"


def test_the_reservation_factor_is_the_nodes_own(plain):
    space = os.statvfs(plain.base)
    plain.do(
        "UPDATE storagenode SET min_avail_gb = ?, io_config = '{\"reserve_factor\": 1000}' WHERE name = 'safe'",
        space.f_bavail * space.f_frsize / GIB - 5,
    )
    # Ten GB are reserved for the first; five are there.
    big = plain.request(plain.file("acq/big", bytes(10**7), "field"), "field", "safe")
    small = plain.request(plain.file("acq/small", b"bytes", "field"), "field", "safe")
    assert "no room on safe" in plain.sync().err
    assert (plain.state(big), plain.state(small)) == ("pending", "done")
    plain.do("UPDATE storagenode SET io_config = NULL WHERE name = 'safe'")
    plain.synced()
    assert plain.state(big) == "done"


# --- imports -------------------------------------------------------------------------------------------


def test_names_that_are_imported_and_that_are_not(pair):
    pair.put("field", "acq/deep/er/f", b"file")
    for path in ("acq/.hidden", ".dot/f", "loose", "acq/locked", "acq/.locked.lock", "acq/.h/f"):
        pair.put("field", path, b"no")
    (pair.root("field") / "acq" / "link").symlink_to("deep/er/f")
    (pair.root("field") / "linked").symlink_to(pair.base)
    os.mkfifo(pair.root("field") / "acq" / "fifo")
    (pair.root("field") / "acq" / "bad\udcff").write_bytes(b"no UTF-8")
    pair.run("node", "scan", "field", "--register-new")
    result = pair.sync()
    assert pair.all(
        "SELECT a.name, f.name, f.size_b, f.md5sum FROM archivefile f JOIN archiveacq a ON a.id = f.acq_id"
    ) == [("acq", "deep/er/f", 4, hashlib.md5(b"file").hexdigest())]
    assert "acq/locked" in result.err
    assert pair.one("SELECT completed FROM archivefileimportrequest") == 0
    (pair.root("field") / "acq" / ".locked.lock").unlink()
    pair.sync()
    assert pair.one("SELECT completed FROM archivefileimportrequest") == 1
    assert pair.one("SELECT COUNT(*) FROM archivefile") == 2


def test_without_register_only_known_files_are_compared(pair):
    same = pair.file("acq/same", b"bytes")
    other = pair.file("acq/other", b"bytes")
    missing = pair.file("acq/missing", b"bytes")
    pair.set_copy(missing, "field", "NY")
    pair.put("field", "acq/same", b"bytes")
    pair.put("field", "acq/other", b"OTHER")
    pair.put("field", "acq/missing", b"bytes")
    pair.put("field", "acq/new", b"bytes")
    pair.run("node", "scan", "field")
    result = pair.sync()
    assert [pair.copy(file_id, "field") for file_id in (same, other, missing)] == ["YY", "XY", "YY"]
    assert pair.one("SELECT COUNT(*) FROM archivefile") == 3
    assert "acq/other" in result.err and result.status == 1
    assert pair.all("SELECT DISTINCT md5sum FROM archivefile") == [(hashlib.md5(b"bytes").hexdigest(),)]
