from __future__ import annotations

import pytest

from alpenhorn.model.copies import HasFile
from alpenhorn.record import reconcile
from alpenhorn.record.run import Run
from alpenhorn.record.suspect import suspect
from alpenhorn.scan import media
from alpenhorn.scan import reconcile as scan
from tests.fixtures.rows import WHEN, Rows
from tests.fixtures.seen import mark_seen

CHANGES = ["root = '/else'", "active = 0", "host_id = NULL"]


def medium(rows: Rows, node: str, why: str | None = "reconcile") -> None:
    mark_seen(rows.index, rows.node[node], generation=3, distrust=why, separate=0, looked=9, lost=4)


def trusted(rows: Rows, node: str) -> tuple[object, ...]:
    sql = "SELECT distrust, looked, lost, generation FROM sync_medium WHERE node_id = ?"
    return rows.all(sql, rows.node[node])[0]


def restored(rows: Rows) -> None:
    rows.insert("sync_index", name="restored", value="older than one")
    rows.insert("sync_index", name="identity", value="a" * 32)


def names(rows: Rows) -> list[str]:
    return [name for (name,) in rows.all("SELECT name FROM sync_index ORDER BY name")]


@pytest.mark.parametrize(
    ("before", "after"), [("YY", "MY"), ("YN", "MN"), ("YM", "MM"), ("NY", "MY"), ("NN", "MN")]
)
def test_a_suspect_copy_keeps_wants_file(rows: Rows, run: Run, before: str, after: str) -> None:
    file_id, other = rows.file("f"), rows.file("other")
    copy_id = rows.copy(file_id, "one", before)
    rows.copy(file_id, "two", before)
    rows.copy(other, "one", before)
    for turned in (1, 0):  # the second time as after a commit whose answer was lost
        assert suspect(rows.index, run, rows.fact("one"), HasFile(before[0]), {copy_id: "why"}) == turned
    assert rows.state(file_id, "one") == after
    assert rows.state(file_id, "two") == rows.state(other, "one") == before
    assert rows.all("SELECT file_id, node_id, run_id, why FROM sync_event WHERE what = 'suspect'") == [
        (file_id, rows.node["one"], run.id, "why")
    ]


@pytest.mark.parametrize("state", ["NY", "MY", "XY", "NN"])
def test_changes_by_another_program_are_kept(rows: Rows, run: Run, state: str) -> None:
    copy_id = rows.copy(rows.file("f"), "one", state)
    assert suspect(rows.index, run, rows.fact("one"), HasFile.YES, {copy_id: "why"}) == 0
    assert rows.state(1, "one") == state and rows.events("suspect") == []


@pytest.mark.parametrize("change", CHANGES)
def test_nothing_is_recorded_of_a_node_that_is_elsewhere_by_now(rows: Rows, run: Run, change: str) -> None:
    file_id = rows.file("f")
    copy_id = rows.copy(file_id, "one", "YY")
    medium(rows, "one")
    node = rows.fact("one")
    rows.do(f"UPDATE storagenode SET {change} WHERE name = 'one'")
    assert suspect(rows.index, run, node, HasFile.YES, {copy_id: "why"}) is None
    assert not reconcile.record_comparison(rows.index, node)
    assert rows.state(file_id, "one") == "YY" and trusted(rows, "one") == ("reconcile", 9, 4, 3)


def test_the_index_is_trusted_again_with_its_last_node(rows: Rows) -> None:
    for name in ("one", "one_too"):
        medium(rows, name)
    medium(rows, "two", "compare")
    restored(rows)
    assert [(one.node, one.host) for one in scan.distrusted(rows.index)] == [
        ("one", "here"),
        ("one_too", "there"),
    ]
    assert media.restored(rows.index) == "older than one"
    assert reconcile.record_comparison(rows.index, rows.fact("one"))
    assert trusted(rows, "one") == (None, 0, 0, 3) and names(rows) == ["identity", "restored"]
    assert reconcile.record_comparison(rows.index, rows.fact("one_too"))
    assert (
        names(rows) == ["identity"] and scan.distrusted(rows.index) == [] and media.restored(rows.index) == ""
    )
    assert trusted(rows, "two") == ("compare", 9, 4, 3)


def test_a_node_that_is_gone_from_the_index_is_not_waited_for(rows: Rows) -> None:
    medium(rows, "one")
    rows.insert("sync_medium", node_id=999, generation=0, distrust="reconcile", separate=0, looked=0, lost=0)
    restored(rows)
    assert reconcile.record_comparison(rows.index, rows.fact("one")) and names(rows) == ["identity"]


def test_restored_index_stays_distrusted_until_inactive_nodes_are_compared(rows: Rows) -> None:
    for name in ("one", "two"):
        medium(rows, name)
    restored(rows)
    rows.do("UPDATE storagenode SET active = 0 WHERE name = 'two'")
    assert reconcile.record_comparison(rows.index, rows.fact("one")) and names(rows) == [
        "identity",
        "restored",
    ]
    assert [(one.node, one.active) for one in scan.distrusted(rows.index)] == [("two", False)]


def test_a_node_without_a_medium_is_believed_as_before(rows: Rows) -> None:
    before = rows.all("SELECT * FROM sync_medium")
    assert reconcile.record_comparison(rows.index, rows.fact("field"))
    assert rows.all("SELECT * FROM sync_medium") == before


# --- what is read --------------------------------------------------------------------------------------


def acquisition(rows: Rows, name: str, *files: str, state: str = "YY") -> int:
    acq_id = rows.insert("archiveacq", name=name)
    for file in files:
        file_id = rows.insert(
            "archivefile", acq_id=acq_id, name=file, size_b=4, md5sum="0" * 32, registered=WHEN
        )
        rows.copy(file_id, "one", state)
        rows.copy(file_id, "two", state)
    return acq_id


def test_the_acquisitions_of_a_node_with_the_number_of_its_copies(rows: Rows) -> None:
    first = acquisition(rows, "first", "a", "b")
    second = acquisition(rows, "second", "a", state="NN")
    acquisition(rows, "empty")
    assert scan.acquisitions(rows.index, rows.node["one"]) == [
        (first, "first", 2, 2),
        (second, "second", 1, 0),
    ]
    assert scan.acquisitions(rows.index, rows.node["field"]) == []


def test_copies_come_with_the_last_good_look(rows: Rows) -> None:
    acq_id = acquisition(rows, "acq2", "a", "b", "c")
    now = WHEN.replace(year=2030)
    for file_id, year in ((1, 2029), (2, 2031)):
        rows.insert(
            "sync_verification", file_id=file_id, node_id=rows.node["one"], verified=WHEN.replace(year=year)
        )
    found = scan.copies(rows.index, rows.node["one"], [acq_id], now)
    assert [(row[0], row[1], row[2], row[4]) for row in found] == [(acq_id, name, 4, "Y") for name in "abc"]
    # One that is dated to the future is no evidence.
    assert [str(row[5])[:4] for row in found] == ["2029", "2026", "2026"]
    assert list(scan.in_pages(rows.index, rows.node["one"], acq_id, now, 2)) == [found[:2], found[2:]]


def test_pages_are_in_the_order_of_the_bytes_of_names(rows: Rows) -> None:
    names = ["B", "a", "a-b", "a/b", "a0", "z", "é", "日"]
    acq_id = acquisition(rows, "acq2", *reversed(names))
    pages = scan.in_pages(rows.index, rows.node["one"], acq_id, WHEN, 3)
    assert [[row[1] for row in page] for page in pages] == [names[:3], names[3:6], names[6:]]


def test_what_lies_in_a_directory(rows: Rows) -> None:
    acq_id = acquisition(rows, "acq2", "log", "log/a", "log/b/c", "log-x", "log0", "LOG/a", "logs/a")
    found = scan.below(rows.index, rows.node["one"], acq_id, "log", WHEN)
    assert sorted(row[1] for row in found) == ["log/a", "log/b/c"]
