"""Deletions by real runs: what is deleted, what stays, and what is reported."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from alpenhorn.model.deletions import Evidence
from alpenhorn.model.nodes import GIB, MARKER
from alpenhorn.record.copies import once_good
from tests.fixtures.archive import WHEN, Archive

pytestmark = pytest.mark.cluster


@pytest.fixture
def three(archive: Archive) -> Archive:
    """A field node and two archive nodes."""
    archive.node("field")
    archive.node("safe1", archive=1)
    archive.node("safe2", archive=1)
    return archive


def released(archive: Archive, path: str, *others: str, node: str = "field", state: str = "YN") -> int:
    file_id = archive.file(path, None, node, *others)
    archive.set_copy(file_id, node, state)
    return file_id


def many(archive: Archive, number: int, gone: int) -> list[int]:
    """Register `number` files on field and two archive nodes; the first `gone` are released on field."""
    ids = archive.files(number, "field")
    for node in ("safe1", "safe2"):
        shutil.copytree(archive.root("field") / "many", archive.root(node) / "many")
    with archive.index.transaction():
        archive.index.executemany(
            "INSERT INTO archivefilecopy (file_id, node_id, has_file, wants_file, ready, size_b, last_update)"
            f" VALUES (?, ?, 'Y', 'Y', 1, 4096, '{WHEN}')",
            [(id, archive.id("storagenode", node)) for id in ids for node in ("safe1", "safe2")],
        )
        archive.index.executemany(
            "UPDATE archivefilecopy SET wants_file = 'N' WHERE file_id = ? AND node_id = ?",
            [(id, archive.id("storagenode", "field")) for id in ids[:gone]],
        )
    return ids


def on_disk(archive: Archive, node: str) -> set[str]:
    return set(archive.tree(node))


def test_released_copies_are_deleted_with_their_directories_silently(three: Archive) -> None:
    ids = [released(three, f"acq/dir/{i}", "safe1", "safe2") for i in range(5)]
    kept = three.file("acq/kept", None, "field", "safe1", "safe2")
    three.synced()
    assert {three.copy(id, "field") for id in ids} == {"NN"}
    assert three.copy(kept, "field") == "YY"
    assert on_disk(three, "field") == {"acq/kept"}
    assert not (three.root("field") / "acq" / "dir").exists()
    assert len(on_disk(three, "safe1")) == len(on_disk(three, "safe2")) == 6
    assert three.claims() == 0
    assert three.events("deleted") == [(id, "field") for id in ids]
    why = "released; good archive copies are on safe1, safe2"
    assert three.all("SELECT DISTINCT why FROM sync_event WHERE what = 'deleted'") == [(why,)]
    counts = three.one("SELECT counts FROM sync_run ORDER BY id DESC LIMIT 1")
    assert '"delete": {"done": 5, "failed": 0' in counts


def test_a_copy_that_waits_for_others_stays_and_is_reported_on_request_only(three: Archive) -> None:
    file_id = released(three, "acq/f", "safe1")
    three.synced()
    told = three.run("-v", "sync").out
    assert "later: not deleted yet on field: needs 2 other good archive copies" in told
    assert "acq/f" in told
    assert three.copy(file_id, "field") == "YN" and on_disk(three, "field") == {"acq/f"}


def test_a_minimum_of_its_own_is_honoured(three: Archive) -> None:
    three.node("safe3", archive=1)
    few = released(three, "acq/few", "safe1", "safe2")
    enough = released(three, "acq/enough", "safe1", "safe2", "safe3")
    three.configure(sync={"archive_copy_count": 3})
    assert three.sync().status == 0
    assert (three.copy(few, "field"), three.copy(enough, "field")) == ("YN", "NN")


def test_only_what_is_asked_for_is_done(three: Archive) -> None:
    file_id = released(three, "acq/f", "safe1", "safe2")
    three.synced("--only", "pull", "--only", "check", "--only", "import")
    assert three.copy(file_id, "field") == "YN"
    three.synced("--node", "safe1")
    assert three.copy(file_id, "field") == "YN"
    three.synced("--only", "delete", "--node", "field")
    assert three.copy(file_id, "field") == "NN"


def test_copies_released_on_all_archive_nodes_are_deleted_down_to_the_minimum(archive: Archive) -> None:
    nodes = [f"safe{i}" for i in range(4)]
    for node in nodes:
        archive.node(node, archive=1)
    ids = [archive.file(f"acq/{i}", None, *nodes) for i in range(5)]
    archive.do("UPDATE archivefilecopy SET wants_file = 'N'")
    result = archive.run("-v", "sync")
    assert result.status == 0 and "has 1" in result.out
    for id in ids:
        assert sorted(archive.copy(id, node) or "" for node in nodes) == ["NN", "NN", "YN", "YN"]
    assert archive.violations() == []


def test_a_suspect_released_copy_is_deleted_if_safe_and_otherwise_read(three: Archive) -> None:
    goes = released(three, "acq/goes", "safe1", "safe2", state="MN")
    stays = released(three, "acq/stays", "safe1", state="MN")
    three.sync()
    assert (three.copy(goes, "field"), three.copy(stays, "field")) == ("NN", "YN")
    assert on_disk(three, "field") == {"acq/stays"}


def test_a_corrupt_released_copy_is_deleted_if_it_was_once_good(three: Archive) -> None:
    file_id = released(three, "acq/f", "safe1", "safe2", state="XN")
    once_good(three.index, three.id("storagenode", "field"), [file_id])
    three.put("field", "acq/f", b"something else")
    three.synced()
    assert three.copy(file_id, "field") == "NN" and on_disk(three, "field") == set()


def test_a_released_copy_that_was_never_good_stays(three: Archive) -> None:
    file_id = released(three, "acq/f", "safe1", "safe2", state="XN")
    three.put("field", "acq/f", b"somebody's work")
    result = three.sync()
    assert "may belong to someone else" in result.err and "acq/f" in result.err, result
    assert three.copy(file_id, "field") == "XN" and on_disk(three, "field") == {"acq/f"}


def test_another_file_in_place_of_a_released_copy_is_left_and_reported_once(three: Archive) -> None:
    file_id = released(three, "acq/f", "safe1", "safe2")
    three.put("field", "acq/f", b"somebody's work")
    result = three.sync()
    assert result.status == 1
    assert "differ from the index" in result.err and "acq/f: its length is 15 bytes" in result.err
    assert three.copy(file_id, "field") == "XM"
    three.synced("--only", "delete")
    assert on_disk(three, "field") == {"acq/f"}


def test_a_missing_released_copy_is_removed_from_the_index_and_reported(three: Archive) -> None:
    file_id = released(three, "acq/dir/f", "safe1", "safe2")
    (three.root("field") / "acq" / "dir" / "f").unlink()
    result = three.sync()
    assert result.status == 0 and "already gone" in result.err
    assert three.copy(file_id, "field") == "NN"
    assert not (three.root("field") / "acq").exists()


def test_file_deleted_by_a_killed_run_is_recorded_silently_as_removed(three: Archive) -> None:
    file_id = released(three, "acq/dir/f", "safe1", "safe2", state="MN")
    (three.root("field") / "acq" / "dir" / "f").unlink()
    three.synced()
    assert three.copy(file_id, "field") == "NN"
    assert not (three.root("field") / "acq").exists()


def test_files_deleted_by_a_killed_run_are_settled_on_all_nodes_before_any_check(three: Archive) -> None:
    """A check that records it as missing would leave the directory."""
    three.node("other")
    ids = {
        node: released(three, f"acq/{node}/f", "safe1", "safe2", node=node, state="MN")
        for node in ("field", "other")
    }
    for node in ids:
        (three.root(node) / "acq" / node / "f").unlink()
    three.synced()
    for node, file_id in ids.items():
        assert three.copy(file_id, node) == "NN"
        assert not (three.root(node) / "acq").exists()
    assert sorted(three.events("missing")) == [(ids["field"], "field"), (ids["other"], "other")]


def test_two_files_at_one_path_are_not_deleted(three: Archive) -> None:
    """Their acquisitions are split differently; deleting one would lose the other."""
    gone = released(three, "acq/dir/f", "safe1", "safe2")
    acq_id = three.insert("archiveacq", name="acq/dir")
    kept = three.insert("archivefile", acq_id=acq_id, name="f", size_b=9, md5sum="0" * 32, registered=WHEN)
    three.set_copy(kept, "field", "YY")
    result = three.sync("--only", "delete")
    assert result.status == 0 and "is at the same path" in result.err
    assert three.copy(gone, "field") == "YN" and on_disk(three, "field") == {"acq/dir/f"}


def test_pins_keep_copies_until_they_end(three: Archive) -> None:
    for_good, for_now = (released(three, f"acq/{name}", "safe1", "safe2") for name in ("good", "now"))
    three.insert("sync_pin", file_id=for_good, node_id=0, reason="the flux paper", pinned=WHEN)
    pin = three.insert("sync_pin", file_id=for_now, node_id=0, pinned=WHEN, until="2999-01-01 00:00:00")
    result = three.run("-v", "sync")
    assert result.status == 0 and "pinned: the flux paper" in result.out and "2999" in result.out
    assert {three.copy(id, "field") for id in (for_good, for_now)} == {"YN"}
    three.do("UPDATE sync_pin SET until = ? WHERE id = ?", WHEN, pin)
    three.sync()
    assert (three.copy(for_good, "field"), three.copy(for_now, "field")) == ("YN", "NN")


def test_an_idle_run_asks_once_for_each_node(three: Archive) -> None:
    from alpenhorn.coordinator.deletable import Deletable
    from alpenhorn.scan import topology
    from tests.scan.statements import counted

    three.file("acq/f", None, "field")
    node = topology.load(three.index).named(["field"])[0]
    with counted() as statements:
        assert not Deletable(three.index, node, Evidence(), 2**40, 0.0, 1)
    assert statements.count == 1


# --- the brake -----------------------------------------------------------------------------------------


def test_more_than_a_tenth_of_a_large_node_is_deleted_only_with_the_option(three: Archive) -> None:
    ids = many(three, 1010, 102)
    result = three.sync()
    assert result.status == 1
    for part in ("more than 101 of its 1,010 copies", "102 are released", "--allow-mass-delete", "--cancel"):
        assert part in result.err
    assert result.err.count("nothing is deleted on field") == 1
    assert len(on_disk(three, "field")) == 1010 and three.claims() == 0
    assert {three.copy(id, "field") for id in ids[:102]} == {"YN"}
    three.synced("--node", "field", "--allow-mass-delete")
    assert len(on_disk(three, "field")) == 1010 - 102


def test_a_tenth_of_a_large_node_is_deleted(three: Archive) -> None:
    many(three, 1010, 101)
    three.synced()
    assert len(on_disk(three, "field")) == 1010 - 101


def test_any_share_of_a_small_node_is_deleted(three: Archive) -> None:
    many(three, 1000, 1000)
    three.synced()
    assert on_disk(three, "field") == set()
    assert sorted(os.listdir(three.root("field"))) == [".alpenhorn", ".alpenhorn.lock", MARKER]


def test_delete_limit_as_a_number_counts_only_copies_that_may_be_deleted(three: Archive) -> None:
    waiting = [released(three, f"acq/waits{i}", "safe1") for i in range(3)]
    for i in range(3):
        released(three, f"acq/safe{i}", "safe1", "safe2")
    three.configure(sync={"delete_limit": 2})
    assert "more than 2 of its 6 copies" in three.sync().err
    assert len(on_disk(three, "field")) == 6
    three.configure(sync={"delete_limit": 3})
    assert three.sync().status == 0
    assert len(on_disk(three, "field")) == 3 and {three.copy(id, "field") for id in waiting} == {"YN"}


def test_the_brake_holds_for_a_whole_run_and_not_for_each_of_its_rounds(three: Archive) -> None:
    """The pull of the first round makes the second deletion safe."""
    first = released(three, "acq/first", "safe1", "safe2")
    second = released(three, "acq/second", "safe1")
    three.request(second, "safe1", "safe2")
    three.configure(sync={"delete_limit": 1})
    result = three.sync()
    assert result.status == 1 and "more than 1 of its 2 copies" in result.err
    assert (three.copy(first, "field"), three.copy(second, "field")) == ("NN", "YN")
    three.synced()
    assert three.copy(second, "field") == "NN"


def autoclean(archive: Archive, node: str, group: str) -> None:
    archive.insert(
        "storagetransferaction",
        node_from_id=archive.id("storagenode", node),
        group_to_id=archive.id("storagegroup", group),
        autosync=0,
        autoclean=1,
    )


def test_copies_released_by_a_rule_are_deleted_without_the_brake(three: Archive) -> None:
    three.node("safe3", archive=1)
    autoclean(three, "field", "safe1")
    many(three, 4, 4)
    by_hand = [released(three, f"hand/{i}", "safe2", "safe3") for i in range(2)]
    three.configure(sync={"delete_limit": 2})
    three.synced()
    assert on_disk(three, "field") == set() and {three.copy(id, "field") for id in by_hand} == {"NN"}


def test_copies_not_released_by_a_rule_still_count(three: Archive) -> None:
    three.node("safe3", archive=1)
    autoclean(three, "field", "safe1")
    many(three, 4, 4)
    for i in range(2):
        released(three, f"hand/{i}", "safe2", "safe3")
    three.configure(sync={"delete_limit": 1})
    result = three.sync()
    assert result.status == 1 and "nothing is deleted on field" in result.err
    assert len(on_disk(three, "field")) == 6


def test_a_rule_on_an_archive_node_does_not_disable_the_brake(three: Archive) -> None:
    three.node("safe3", archive=1)
    autoclean(three, "safe3", "safe1")
    ids = [released(three, f"acq/{i}", "safe1", "safe2", node="safe3") for i in range(3)]
    three.configure(sync={"delete_limit": 2})
    assert three.sync().status == 1
    assert {three.copy(id, "safe3") for id in ids} == {"YN"}


def test_a_node_stopped_by_the_brake_does_not_stop_others(three: Archive) -> None:
    three.node("other")
    ids = [released(three, f"acq/{i}", "safe1", "safe2") for i in range(2)]
    goes = released(three, "acq/goes", "safe1", "safe2", node="other")
    request = three.request(goes, "safe1", "field")
    three.configure(sync={"delete_limit": 1})
    assert three.sync().status == 1
    assert {three.copy(id, "field") for id in ids} == {"YN"}
    assert three.copy(goes, "other") == "NN" and three.state(request) == "done"


# --- making room ---------------------------------------------------------------------------------------


def removable(archive: Archive, number: int, node: str = "field", gib_each: float = 10) -> list[int]:
    """Register removable copies that take this much space according to the index."""
    ids = []
    for i in range(number):
        file_id = archive.file(f"room/{node}/{i}", None, node, "safe1", "safe2")
        archive.set_copy(file_id, node, "YM")
        ids.append(file_id)
    archive.do("UPDATE archivefilecopy SET size_b = ? WHERE wants_file = 'M'", int(gib_each * GIB))
    return ids


def lacks(archive: Archive, gib: float, node: str = "field") -> None:
    free = shutil.disk_usage(archive.root(node)).free / GIB
    archive.do("UPDATE storagenode SET min_avail_gb = ? WHERE name = ?", free + gib, node)


def states(archive: Archive, ids: Sequence[int], node: str = "field") -> list[Any]:
    return [archive.copy(id, node) for id in ids]


def test_released_copies_that_must_stay_do_not_count_as_free_space(three: Archive) -> None:
    stay = [released(three, f"acq/{i}", "safe1") for i in range(3)]
    ids = removable(three, 5)
    three.do("UPDATE archivefilecopy SET size_b = ? WHERE wants_file = 'N'", 10 * GIB)
    lacks(three, 25)
    three.synced("--only", "delete")
    assert states(three, stay) == ["YN"] * 3
    assert states(three, ids) == ["NN", "NN", "NN", "YM", "YM"]


def test_removable_copies_go_oldest_first_and_as_many_as_are_needed(three: Archive) -> None:
    ids = removable(three, 5)
    lacks(three, 25)
    three.synced()
    assert states(three, ids) == ["NN", "NN", "NN", "YM", "YM"]
    assert len(on_disk(three, "field")) == 2
    why = "deleted to make room; good archive copies are on safe1, safe2"
    assert three.all("SELECT DISTINCT why FROM sync_event WHERE what = 'deleted'") == [(why,)]


def test_removable_copies_stay_while_there_is_room(three: Archive) -> None:
    ids = removable(three, 3)
    lacks(three, -25)
    three.synced()
    assert states(three, ids) == ["YM"] * 3


def test_removable_copies_on_an_archive_node_stay(three: Archive) -> None:
    three.node("safe3", archive=1)
    ids = removable(three, 3, "safe3")
    lacks(three, 25, "safe3")
    three.synced()
    assert states(three, ids, "safe3") == ["YM"] * 3


def test_space_freed_by_released_copies_is_counted_first(three: Archive) -> None:
    ids = removable(three, 3)
    gone = [released(three, f"acq/{i}", "safe1", "safe2") for i in range(2)]
    three.do("UPDATE archivefilecopy SET size_b = ? WHERE wants_file = 'N'", 10 * GIB)
    lacks(three, 25)
    three.synced()
    assert states(three, gone) == ["NN", "NN"] and states(three, ids) == ["NN", "YM", "YM"]


def test_removable_copies_that_must_stay_are_skipped(three: Archive) -> None:
    ids = removable(three, 4)
    three.set_copy(ids[0], "safe1", "XY")
    three.insert("sync_pin", file_id=ids[1], node_id=0, pinned=WHEN)
    lacks(three, 15)
    three.synced("--only", "delete")
    assert states(three, ids) == ["YM", "YM", "NN", "NN"]


def test_the_brake_holds_for_removable_copies_too(three: Archive) -> None:
    ids = removable(three, 4)
    lacks(three, 25)
    three.configure(sync={"delete_limit": 2})
    assert three.sync().status == 1
    assert states(three, ids) == ["YM"] * 4
    lacks(three, 15)
    three.synced()
    assert states(three, ids) == ["NN", "NN", "YM", "YM"]


# --- the plan ------------------------------------------------------------------------------------------


def planned(archive: Archive, *options: str) -> dict[tuple[bool, str], int]:
    """Return the number of files by (planned, reason) for the deletions on field."""
    found = archive.run("plan", "--json", *options)
    assert found.status == 0, found
    return {
        (line["planned"], line["why"]): line["files"]
        for line in found.json["lines"]
        if line["work"] == "delete" and line["node"] == "field"
    }


def test_the_plan_shows_what_would_go_and_why_the_rest_would_not_and_touches_nothing(three: Archive) -> None:
    for i in range(2):
        released(three, f"acq/{i}", "safe1", "safe2")
    released(three, "acq/waits", "safe1")
    removable(three, 3)
    lacks(three, 15)
    three.configure()
    before = three.dump(), three.everything("field")
    found = planned(three)
    assert found.pop((True, "released")) == 2
    assert found.pop((True, "make room")) == 2
    ((ready, why), files), *rest = found.items()
    assert (ready, files, rest) == (False, 1, []) and "2 other good archive copies" in why
    assert planned(three, "--only", "pull") == {}
    assert (three.dump(), three.everything("field")) == before


def test_the_plan_shows_the_brake(three: Archive) -> None:
    for i in range(2):
        released(three, f"acq/{i}", "safe1", "safe2")
    three.configure(sync={"delete_limit": 1})
    ((ready, why), files), *rest = planned(three).items()
    assert (ready, files, rest) == (False, 2, []) and "--allow-mass-delete" in why


def test_the_plan_says_nothing_of_a_node_without_anything_to_delete(three: Archive) -> None:
    three.file("acq/f", None, "field", "safe1", "safe2")
    assert planned(three) == {}


def test_the_root_is_never_removed(three: Archive) -> None:
    released(three, "acq/f", "safe1", "safe2")
    root = Path(three.root("field"))
    inode = root.stat().st_ino
    three.synced()
    assert root.stat().st_ino == inode and (root / MARKER).read_text() == "field\n"
