"""Runs count the files with too few copies, and `status` shows their number."""

from __future__ import annotations

import datetime
import json

import pytest

from alpenhorn.coordinator.few_copies import count
from alpenhorn.index.connection import Index
from alpenhorn.listings.policy import files_by_copies
from alpenhorn.scan import copies_by_file
from alpenhorn.scan.few_copies import load, part_name, row_name
from alpenhorn.scan.policies import load as load_policies
from tests.fixtures.archive import Archive, clock

CODE = "files-with-few-copies"
COUNTED = "UPDATE sync_index SET at = ? WHERE name = 'few copies 2'"


@pytest.fixture
def pair(archive: Archive) -> Archive:
    """Two archive nodes of host here, and one of host there."""
    archive.node("one", archive=1)
    archive.node("two", archive=1)
    archive.node("far", archive=1, host="there")
    return archive


def shown(archive: Archive, host: str = "here") -> tuple[int, str] | None:
    """The number of files, and the remedy, in `status`; None if it shows none."""
    items = archive.run("status", "--json", host=host).json["attention"]
    found = [(int(one["what"].split()[0]), one["command"]) for one in items if one["code"] == CODE]
    return found[0] if found else None


def counted(archive: Archive) -> int | None:
    found = load(archive.index, row_name(2))
    return None if found is None else found.files


def later(archive: Archive, **span: float) -> None:
    """Let the last count be that long ago."""
    archive.do(COUNTED, (archive.index.now() - datetime.timedelta(**span)).strftime("%Y-%m-%d %H:%M:%S"))


def now_or(archive: Archive, **span: float) -> str:
    return (archive.index.now() + datetime.timedelta(**span)).strftime("%Y-%m-%d %H:%M:%S")


def test_status_shows_how_many_files_a_run_has_counted(pair: Archive) -> None:
    pair.file("acq/single", None, "one")
    pair.file("acq/double", None, "one", "two")
    lacking = pair.file("acq/missing", None, "one")
    pair.set_copy(lacking, "two", "NY")
    assert shown(pair) is None
    assert pair.run("status", "--json").json["few_copies"] is None
    pair.synced()
    assert shown(pair) == (2, "alpenhorn policy check --copies 2")
    document = pair.run("status", "--json").json["few_copies"]
    assert (document["files"], document["size_b"]) == (2, len("acq/single") + len("acq/missing"))
    checked = pair.run("status", "--check")
    assert checked.status == 4 and "2 files have fewer good archive copies than they should" in checked.out
    listed = pair.run("policy", "check", "--copies", "2", "--json")
    assert listed.status == 1
    assert [(one["files"], one["code"]) for one in listed.json] == [(2, "policy-not-asked")]
    metrics = pair.run("metrics").out
    assert f'alpenhorn_attention_items{{code="{CODE}"}} 1.0' in metrics

    # An idle run counts no more than once a day, and writes nothing.
    before = pair.dump("sync_run", "storagenode", "sync_medium")
    pair.synced()
    assert pair.dump("sync_run", "storagenode", "sync_medium") == before
    pair.set_copy(lacking, "two", "YY")
    pair.synced()
    assert counted(pair) == 2
    later(pair, hours=25)
    pair.synced()
    assert counted(pair) == 1


def test_a_run_that_did_some_work_counts_what_was_lacking_again_after_an_hour(
    sqlite_archive: Archive,
) -> None:
    sqlite_archive.node("one", archive=1)
    sqlite_archive.node("two", archive=1)
    file_id = sqlite_archive.file("acq/a", None, "one")
    sqlite_archive.synced()
    assert counted(sqlite_archive) == 1
    sqlite_archive.request(file_id, "one", "two")
    later(sqlite_archive, minutes=61)
    sqlite_archive.synced()
    assert counted(sqlite_archive) == 0 and shown(sqlite_archive) is None


def test_files_that_are_new_or_given_up_are_not_counted(pair: Archive) -> None:
    pair.file("acq/new", None, "one", registered=now_or(pair, hours=-23))
    pair.file("acq/old", None, "one", registered=now_or(pair, hours=-25))
    pair.file("acq/clock", None, "one", registered="2199-01-01 00:00:00")
    pair.set_copy(pair.file("acq/released", None, "one"), "one", "YN")
    pair.set_copy(pair.file("acq/removed", None, "one"), "one", "NN")
    pair.file("acq/never")
    pair.synced()
    assert counted(pair) == 2


def test_policies_say_what_files_should_have(pair: Archive) -> None:
    for words in (
        ("sites", "--copies", "2", "--sites", "2", "--acq", "sites"),
        ("young", "--copies", "2", "--acq", "young", "--min-age", "30d"),
        ("needs", "--copies", "1", "--acq", "needs", "--require", "far"),
        ("single", "--copies", "1", "--acq", "single"),
    ):
        assert pair.run("policy", "create", *words).status == 0
    pair.file("sites/too-near", None, "one", "two")
    pair.file("sites/apart", None, "one", "far")
    pair.file("young/young", None, "one", registered=now_or(pair, days=-30))
    pair.file("young/old", None, "one", registered=now_or(pair, days=-32))
    pair.file("needs/lacks", None, "one", "two")
    pair.file("needs/has", None, "far")
    pair.file("single/enough", None, "one")
    pair.file("none/lacks", None, "one")
    count(pair.index, 2, load_policies(pair.index), lambda: True)
    found = load(pair.index, row_name(2))
    assert found is not None and found.files == 4
    assert shown(pair) == (4, "alpenhorn policy check --copies 2")

    # What was counted for other policies is not shown, and the next run counts anew.
    assert pair.run("policy", "delete", "needs", "--force").status == 0
    assert shown(pair) is None
    pair.synced()
    assert shown(pair) is not None


def test_nodes_on_one_medium_count_once_and_retired_ones_do_not(pair: Archive) -> None:
    pair.file("acq/a", None, "one", "two")
    pair.file("acq/b", None, "one", "two", "far")
    pair.do(
        "UPDATE sync_medium SET medium = 'same' WHERE node_id IN (?, ?)",
        *(pair.id("storagenode", name) for name in ("two", "far")),
    )
    count(pair.index, 2, None, lambda: True)
    assert counted(pair) == 0
    pair.insert(
        "sync_retirement",
        node_id=pair.id("storagenode", "one"),
        began="2026-07-22 12:00:00",
        releases=0,
        declared_lost=0,
        cancelled=0,
        event_id=0,
        stuck=0,
        nowhere=0,
    )
    count(pair.index, 2, None, lambda: True)
    assert counted(pair) == 2
    # As in a report, which reckons with the index alone, and so with two nodes on one medium.
    assert files_by_copies(pair.index, 2).too_few.files == 1


def test_a_count_goes_on_where_another_host_stopped(pair: Archive) -> None:
    pair.files(50, "one")
    index, pages = pair.index, iter(range(3))
    count(index, 2, None, lambda: next(pages) < 2, page_length=10)
    part = load(index, part_name(2))
    assert part is not None and part.files == 30 and counted(pair) is None
    pair.synced(host="there")
    assert counted(pair) == 50
    assert load(index, part_name(2)) is None

    # Sums that are older than a week are not used.
    pair.do("DELETE FROM sync_index WHERE name LIKE 'few copies%'")
    values = {**part._asdict(), "files": 1000, "began": part.began - 8 * 86_400}
    del values["at"]
    pair.insert("sync_index", name=part_name(2), value=json.dumps(values), at=now_or(pair))
    pair.synced(host="there")
    assert counted(pair) == 50


def test_two_runs_do_not_count_at_once(pair: Archive) -> None:
    pair.files(50, "one")
    index = pair.index

    def meanwhile() -> bool:
        pair.synced(host="there")
        assert counted(pair) is None
        return True

    count(index, 2, None, meanwhile, page_length=25)
    assert counted(pair) == 50

    # A run that was killed while it counted is waited for, but not for long, and not if its clock was wrong.
    for until, before in ((300.0, None), (-1.0, 50), (10**7, 50)):
        pair.do("DELETE FROM sync_index WHERE name LIKE 'few copies%'")
        pages = iter(range(1))
        count(index, 2, None, lambda: next(pages) < 0, page_length=25)  # noqa: B023
        value = json.loads(pair.one("SELECT value FROM sync_index WHERE name = ?", part_name(2)))
        value["until"] = index.now().replace(tzinfo=datetime.UTC).timestamp() + until
        pair.do("UPDATE sync_index SET value = ? WHERE name = ?", json.dumps(value), part_name(2))
        pair.synced()
        assert counted(pair) == before


def test_a_wrong_clock_or_row_does_not_stop_the_count(pair: Archive) -> None:
    pair.file("acq/a", None, "one")
    pair.sync(environ=clock("+400d"))
    pair.synced()
    assert counted(pair) == 1
    for value in ("", "{}", "[1]", '{"files": -1}', "[" * 10_000, '{"files": "x", "bytes": 1}'):
        pair.do("UPDATE sync_index SET value = ? WHERE name = ?", value, row_name(2))
        assert shown(pair) is None
        pair.insert("sync_index", name=part_name(2), value=value, at="2026-01-01 00:00:00")
        pair.synced()
        assert counted(pair) == 1
    later(pair, hours=-5)  # in the future
    pair.do("UPDATE archivefilecopy SET has_file = 'N', wants_file = 'N'")
    pair.synced()
    assert counted(pair) == 0


def test_hosts_with_other_numbers_of_copies_count_for_themselves(pair: Archive) -> None:
    pair.file("acq/a", None, "one", "far")
    pair.configure("there", sync={"archive_copy_count": 3})
    for host in ("here", "there", "here"):
        pair.synced(host=host)
    assert shown(pair) is None
    assert shown(pair, "there") == (1, "alpenhorn policy check --copies 3")


def test_a_page_uses_the_index_of_copies(pair: Archive) -> None:
    pair.files(100, "one")
    index: Index = pair.index
    sql = copies_by_file.FILES.format(ages="1", keeping="1")
    values = (0, 3, "2026-01-02", "2030-01-01")
    if index.dialect.in_a_file:
        steps = [str(row[3]) for row in pair.all(f"EXPLAIN QUERY PLAN {sql}", *values)]
        assert any("file_id>? AND file_id<?" in step for step in steps), steps
    else:
        index.execute("ANALYZE TABLE archivefilecopy, archivefile").fetchall()
        rows = pair.all(f"EXPLAIN {sql}", *values)
        assert "range" in [row[3] for row in rows if row[2] == "c"], rows
