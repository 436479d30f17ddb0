from __future__ import annotations

import datetime
from collections.abc import Sequence

import pytest

from alpenhorn.index.connection import Index
from alpenhorn.index.selections import SelectionPart, total
from alpenhorn.scan import copies_to_release as candidates
from alpenhorn.scan.copies_to_release import Cut, ReleaseSelection
from tests.fixtures.rows import Rows

NOW = datetime.datetime(2026, 8, 1)
DAY = datetime.timedelta(days=1)


def files(rows: Rows, parts: Sequence[SelectionPart]) -> set[str]:
    return {
        row[0]
        for part in parts
        for row in rows.index.execute(f"SELECT f.name {part.sql}", part.values).fetchall()
    }


def release(rows: Rows, selection: ReleaseSelection) -> set[str]:
    return files(rows, candidates.to_release(selection, NOW))


def registered(rows: Rows, name: str, day: int, size_b: int | None = 10, state: str = "YY") -> int:
    file_id = rows.file(name, size_b=size_b)
    rows.do("UPDATE archivefile SET registered = ? WHERE id = ?", f"2026-07-{day:02} 00:00:00", file_id)
    rows.copy(file_id, "field", state)
    return file_id


def every_state(rows: Rows) -> None:
    for has in "YMXN":
        for wants in "YMN":
            rows.copy(rows.file(has + wants), "field", has + wants)
    rows.copy(rows.file("elsewhere"), "one", "YY")


def test_which_states_are_released(rows: Rows) -> None:
    every_state(rows)
    field = ReleaseSelection(rows.node["field"])
    assert release(rows, field) == {"YY"}
    assert release(rows, field._replace(at_once=True)) == {"YY", "YM"}
    assert release(rows, field._replace(bad=True)) == {"YY", "MY", "XY"}
    assert release(rows, field._replace(bad=True, at_once=True)) == {"YY", "MY", "XY", "YM", "MM", "XM"}


def test_which_states_are_wanted_again(rows: Rows) -> None:
    every_state(rows)
    field = ReleaseSelection(rows.node["field"])
    assert files(rows, candidates.to_cancel(field)) == {"YM", "MM", "XM", "YN", "MN", "XN"}


def test_selection_by_acquisition_list_and_age(rows: Rows) -> None:
    old, new = registered(rows, "old", 1), registered(rows, "new", 20)
    field = ReleaseSelection(rows.node["field"])
    assert release(rows, field._replace(acqs=(rows.acq,))) == {"old", "new"}
    assert release(rows, field._replace(acqs=(rows.acq + 1,))) == set()
    assert release(rows, field._replace(files=(new,))) == {"new"}
    assert release(rows, field._replace(files=())) == set()
    assert release(rows, field._replace(before=datetime.datetime(2026, 7, 1))) == set()
    assert release(rows, field._replace(before=datetime.datetime(2026, 7, 1, 0, 0, 1))) == {"old"}
    rows.do("UPDATE archivefilecopy SET wants_file = 'N'")
    cancelled = candidates.to_cancel(field._replace(files=(old, new), before=datetime.datetime(2026, 7, 2)))
    assert files(rows, cancelled) == {"old"}


def test_a_target_must_have_another_good_copy_and_each_of_them(rows: Rows) -> None:
    both, one, suspect = (rows.file(name) for name in ("both", "one", "suspect"))
    for file_id in (both, one, suspect):
        rows.copy(file_id, "field", "YY")
    rows.copy(both, "one_too", "YY")
    rows.copy(both, "two", "YY")
    rows.copy(one, "one", "YY")
    rows.copy(suspect, "one", "MY")
    field = ReleaseSelection(rows.node["field"])
    assert release(rows, field._replace(targets=(rows.group["one"],))) == {"both", "one"}
    assert release(rows, field._replace(targets=(rows.group["one"], rows.group["two"]))) == {"both"}
    # The copy that is to go does not speak for its own group.
    assert release(rows, field._replace(targets=(rows.group["field"],))) == set()
    assert release(rows, ReleaseSelection(rows.node["one"], targets=(rows.group["one"],))) == set()
    rows.copy(both, "one", "YY")
    assert release(rows, ReleaseSelection(rows.node["one"], targets=(rows.group["one"],))) == {"both"}


def test_pinned_copies_are_left_out_and_counted(rows: Rows) -> None:
    names = ("everywhere", "here", "there", "over", "free")
    for name in names:
        rows.copy(rows.file(name), "field", "YY")
    ids = dict(rows.all("SELECT name, id FROM archivefile"))
    for name, node_id, until in (
        ("everywhere", 0, None),
        ("here", rows.node["field"], NOW + DAY),
        ("there", rows.node["one"], None),
        ("over", 0, NOW),
    ):
        rows.insert("sync_pin", file_id=ids[name], node_id=node_id, pinned=NOW, until=until)
    field = ReleaseSelection(rows.node["field"])
    assert release(rows, field) == {"there", "over", "free"}
    assert files(rows, candidates.kept_by_pins(field, NOW)) == {"everywhere", "here"}
    assert total(rows.index, candidates.kept_by_pins(field, NOW)).bytes == 20


@pytest.mark.parametrize("by_list", [False, True])
def test_the_cut_is_where_the_bytes_are_reached_in_order_of_registration(rows: Rows, by_list: bool) -> None:
    registered(rows, "third", 3)
    second, first = registered(rows, "second", 2), registered(rows, "first", 1)
    unsized = registered(rows, "unsized", 2, size_b=None)
    registered(rows, "negative", 1, size_b=-1000)
    registered(rows, "released", 1, state="YN")
    ids = tuple(row[0] for row in rows.all("SELECT id FROM archivefile ORDER BY id"))
    field = ReleaseSelection(rows.node["field"], files=ids if by_list else None)
    found = {}
    for bytes_ in (1, 10, 11, 20, 30, 31):
        cut = candidates.cut(rows.index, field, NOW, bytes_)
        found[bytes_] = release(rows, field._replace(cut=cut))
        assert cut is None or cut.file_id in {first, second, unsized, *ids}
    least = {"first"}
    some = {"first", "negative", "second"}
    every = {*some, "unsized", "third"}
    assert found == {1: least, 10: least, 11: some, 20: some, 30: every, 31: every}


@pytest.mark.parametrize("by_list", [False, True])
def test_files_registered_at_the_same_moment_are_taken_in_the_order_of_their_ids(
    rows: Rows, by_list: bool
) -> None:
    ids = tuple(registered(rows, name, 1) for name in "abc")
    field = ReleaseSelection(rows.node["field"], files=ids if by_list else None)
    cut = candidates.cut(rows.index, field, NOW, 15)
    assert isinstance(cut, Cut) and cut.file_id == ids[1]
    assert release(rows, field._replace(cut=cut)) == {"a", "b"}


def test_scheduled_counts_the_bytes_of_released_copies_that_are_not_pinned(rows: Rows) -> None:
    every_state(rows)
    pinned = rows.file("pinned")
    rows.copy(pinned, "field", "YN")
    rows.insert("sync_pin", file_id=pinned, node_id=0, pinned=NOW)
    field = ReleaseSelection(rows.node["field"])
    assert candidates.scheduled(rows.index, field, NOW) == 60
    assert candidates.scheduled(rows.index, field._replace(at_once=True), NOW) == 30
    assert candidates.scheduled(rows.index, ReleaseSelection(rows.node["two"]), NOW) == 0


def test_only_live_claims_for_deletion_are_counted(rows: Rows) -> None:
    now = rows.index.now()
    for number, (kind, expires) in enumerate((("delete", now + DAY), ("delete", now), ("pull", now + DAY))):
        rows.insert(
            "sync_claim",
            kind=kind,
            file_id=number + 1,
            target_id=rows.node["one"],
            node_id=rows.node["one"],
            reserved_b=0,
            host="here",
            run_id=1,
            expires=expires,
            fence=1,
        )
    assert candidates.being_deleted(rows.index, node_id=rows.node["one"]) == {"one": 1}
    assert candidates.being_deleted(rows.index, file_id=1) == {"one": 1}
    assert candidates.being_deleted(rows.index, file_id=2) == {}
    assert candidates.being_deleted(rows.index, node_id=rows.node["two"]) == {}


# --- how it is looked up -------------------------------------------------------------------------------


def plan(index: Index, part: SelectionPart) -> str:
    rows = index.execute(f"EXPLAIN QUERY PLAN SELECT COUNT(*) {part.sql}", part.values)
    return "\n".join(row[3] for row in rows)


def test_a_node_is_gone_through_once_and_all_else_is_looked_up_by_file(sqlite_rows: Rows) -> None:
    index = sqlite_rows.index
    selection = ReleaseSelection(1, bad=True, at_once=True, targets=(1, 2), before=NOW)
    for part in (*candidates.to_release(selection, NOW), *candidates.to_cancel(selection)):
        found = plan(index, part)
        assert found.count("sync_copy_by_state (node_id=? AND has_file=? AND wants_file=?)") == 1, found
        assert "SCAN" not in found
    (part,) = candidates.to_release(selection, NOW)
    assert "sync_pin_file_id_node_id (file_id=? AND node_id=?)" in plan(index, part)
    assert "d USING INDEX archivefilecopy_node_id" not in plan(index, part)


def test_a_list_of_files_is_looked_up_by_file(sqlite_rows: Rows) -> None:
    """With the index on states, the cost would be parts of the list times copies on the node."""
    index = sqlite_rows.index
    selection = ReleaseSelection(1, bad=True, targets=(1,), files=range(500))
    for part in (*candidates.to_release(selection, NOW), *candidates.to_cancel(selection)):
        assert "c USING INDEX archivefilecopy_file_id_node_id (file_id=? AND node_id=?)" in plan(index, part)
        assert "sync_copy_by_state" in plan(index, SelectionPart(part.sql.replace("+c.", "c."), part.values))
