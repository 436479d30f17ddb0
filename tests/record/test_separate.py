from __future__ import annotations

import pytest

from alpenhorn.model.copies import HasFile
from alpenhorn.model.links import LookTotals
from alpenhorn.record.checks import keep_sums
from alpenhorn.record.run import Run
from alpenhorn.record.separate import forget, separate
from alpenhorn.record.suspect import suspect, suspect_missing
from tests.fixtures.rows import Rows
from tests.fixtures.seen import mark_seen


def known(rows: Rows, node: str = "one") -> bool:
    return rows.fact(node).separate


@pytest.fixture
def rows(rows: Rows) -> Rows:
    """Archive nodes whose copies were not looked at."""
    rows.do("UPDATE sync_medium SET separate = 0")
    return rows


def test_a_node_counts_as_separate_once_that_is_recorded_and_until_it_is_forgotten(rows: Rows) -> None:
    assert not known(rows)
    assert separate(rows.index, rows.fact("one"))
    assert separate(rows.index, rows.fact("one"))
    assert known(rows) and not known(rows, "two")
    forget(rows.index, [rows.node["one"], rows.node["two"]])
    assert not known(rows)


def test_recording_separate_copies_keeps_other_columns_of_the_medium(rows: Rows) -> None:
    node_id = rows.node["one"]
    mark_seen(rows.index, node_id, medium="a" * 32, generation=7, separate=0, looked=5, lost=2)
    assert separate(rows.index, rows.fact("one"))
    keep_sums(rows.index, node_id, LookTotals(6, 3))
    sql = "SELECT medium, generation, separate, looked, lost FROM sync_medium WHERE node_id = ?"
    row = rows.all(sql, node_id)
    assert row == [("a" * 32, 7, 1, 6, 3)]


@pytest.mark.parametrize("edit", ["archive = 0", "root = '/elsewhere'", "host_id = NULL"])
def test_separate_copies_are_not_recorded_for_a_node_edited_meanwhile(rows: Rows, edit: str) -> None:
    before = rows.fact("one")
    rows.do(f"UPDATE storagenode SET {edit} WHERE name = 'one'")
    assert not separate(rows.index, before)
    assert not known(rows)


def test_only_good_copies_turn_suspect(rows: Rows, run: Run) -> None:
    ids = {state: rows.copy(rows.file(state), "one", state) for state in ("YY", "XY", "NY")}
    suspect(rows.index, run, rows.fact("one"), HasFile.YES, dict.fromkeys(ids.values(), "why"))
    assert [row[0] for row in rows.all("SELECT has_file FROM archivefilecopy ORDER BY id")] == ["M", "X", "N"]
    assert len(rows.events("suspect")) == 1


def test_copies_last_found_missing_become_suspect_if_they_are_wanted(rows: Rows, run: Run) -> None:
    files = [rows.file(str(number)) for number in range(4)]
    for number, (file_id, state) in enumerate(zip(files, ("NY", "NN", "NY", "YY"), strict=True)):
        rows.copy(file_id, "one", state)
        rows.insert(
            "sync_event",
            at=f"2026-01-01 00:00:0{number}",
            file_id=file_id,
            node_id=rows.node["one"],
            what="missing",
            why="",
        )
    suspect_missing(rows.index, run, rows.node["one"], 3)
    assert [rows.state(file_id, "one") for file_id in files] == ["NY", "NN", "MY", "YY"]
