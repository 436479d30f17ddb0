"""Sums of copies by part agree with the rows, whatever was changed and when."""

from __future__ import annotations

import ast
import datetime
import random
from collections import Counter
from pathlib import Path

import pytest

import alpenhorn
from alpenhorn.coordinator.tallies import refresh
from alpenhorn.edits import files as edited_files
from alpenhorn.edits import node_deletion
from alpenhorn.record import tallies as record
from alpenhorn.scan import tallies
from alpenhorn.scan.names import NamedRow
from alpenhorn.scan.tallies import IDS, MARGIN, NAME, PART, StateTally, of_nodes, stored_bytes, stretches
from tests.coordinator.parts import change, in_part, later
from tests.fixtures.rows import WHEN, Rows
from tests.scan.statements import counted

MINUTE = datetime.timedelta(minutes=1)
STATES = ("YY", "YN", "MY", "XY", "NY", "NN", "YM")


def sums(found: list[StateTally]) -> Counter[tuple[object, ...]]:
    """Files and bytes by node and state."""
    total: Counter[tuple[object, ...]] = Counter()
    for one in found:
        total[one.node_id, one.has_file, one.wants_file, "files"] += one.files
        total[one.node_id, one.has_file, one.wants_file, "bytes"] += one.bytes
    return total


def true_sums(rows: Rows) -> Counter[tuple[object, ...]]:
    total: Counter[tuple[object, ...]] = Counter()
    for node_id, has, wants, size_b in rows.all(
        "SELECT c.node_id, c.has_file, c.wants_file, f.size_b FROM archivefilecopy c JOIN archivefile f"
        " ON f.id = c.file_id"
    ):
        total[node_id, has, wants, "files"] += 1
        total[node_id, has, wants, "bytes"] += size_b or 0
    return total


def agrees(rows: Rows) -> bool:
    return sums(of_nodes(rows.index, list(rows.node.values()))) == true_sums(rows)


def parts(rows: Rows) -> list[int]:
    """The numbers of the parts whose sums are kept."""
    return [part // PART for (part,) in rows.all("SELECT part FROM sync_tally_part ORDER BY part")]


@pytest.fixture
def filled(rows: Rows) -> Rows:
    """Four parts with copies in all states that were not changed for long; the second one has no files."""
    for part in (0, 2, 3):
        for number, state in enumerate(STATES, start=1):
            file_id = in_part(rows, part, number, size_b=10**number)
            rows.copy(file_id, "one", state)
            rows.copy(file_id, "field", "YY")
    rows.copy(in_part(rows, 3, 50, size_b=None), "one", "YY")
    return rows


def test_bytes_that_may_be_on_a_node(rows: Rows) -> None:
    assert stored_bytes(rows.index, rows.node["one"]) == 0
    for number, state in enumerate(("YY", "YN", "MY", "XY", "NY", "NN")):
        rows.copy(rows.file(state, size_b=10**number), "one", state)
    rows.copy(rows.file("unknown", size_b=None), "one", "YY")
    rows.copy(rows.file("elsewhere"), "two", "YY")
    for _ in range(2):
        assert stored_bytes(rows.index, rows.node["one"]) == 1111
        refresh(rows.index, lambda: True)


def test_sums_take_the_place_of_rows_once_they_are_counted(filled: Rows) -> None:
    assert agrees(filled) and parts(filled) == []
    refresh(filled.index, lambda: True)
    assert agrees(filled) and parts(filled) == [0, 1, 2, 3]
    before = true_sums(filled)
    filled.do("UPDATE archivefilecopy SET has_file = 'X'")  # a change that `last_update` does not show
    assert sums(of_nodes(filled.index, list(filled.node.values()))) == before
    assert tallies.wrong_parts(filled.index) == [0, 2 * PART, 3 * PART]
    assert {one.node_id for one in of_nodes(filled.index, [filled.node["one"]])} == {filled.node["one"]}
    later(filled, datetime.timedelta(days=1, minutes=1))
    refresh(filled.index, lambda: True)
    assert agrees(filled) and tallies.wrong_parts(filled.index) == []


def test_a_change_is_seen_at_once_and_counted_when_it_is_old(filled: Rows) -> None:
    refresh(filled.index, lambda: True)
    change(filled, 2 * PART + 1, "XN", MINUTE * 0)
    assert agrees(filled) and parts(filled) == [0, 1, 2, 3] and tallies.wrong_parts(filled.index) == []
    later(filled, MINUTE * 20)
    refresh(filled.index, lambda: True)
    assert agrees(filled) and parts(filled) == [0, 1, 3]
    change(filled, 2 * PART + 1, "XN", MARGIN + MINUTE)
    later(filled, MINUTE * 20)
    refresh(filled.index, lambda: True)
    assert agrees(filled) and parts(filled) == [0, 1, 2, 3]


@pytest.mark.parametrize("slow", [MINUTE, MARGIN - MINUTE])
def test_a_change_by_a_host_whose_clock_is_slow_is_seen(filled: Rows, slow: datetime.timedelta) -> None:
    refresh(filled.index, lambda: True)
    change(filled, 1, "MY", slow)
    assert agrees(filled)
    later(filled, MINUTE * 20)
    refresh(filled.index, lambda: True)
    assert agrees(filled) and 0 not in parts(filled)


def test_a_change_by_a_host_whose_clock_is_fast_is_seen(filled: Rows) -> None:
    refresh(filled.index, lambda: True)
    change(filled, 1, "MY", -datetime.timedelta(days=400))
    for _ in range(2):
        assert agrees(filled)
        later(filled, MINUTE * 20)
        refresh(filled.index, lambda: True)
    assert 0 not in parts(filled)


def test_new_files_are_seen_before_their_part_is_counted(filled: Rows) -> None:
    refresh(filled.index, lambda: True)
    for part in (1, 7):
        file_id = in_part(filled, part)
        filled.copy(file_id, "two", "YY")
        change(filled, file_id, "YY", MINUTE * 0)
    assert agrees(filled)
    (new,) = of_nodes(filled.index, [filled.node["two"]])[-1:]
    assert new.files == 1


def test_one_run_of_many_looks_for_changes(filled: Rows) -> None:
    assert record.look_for_changes(filled.index) is not None
    assert record.look_for_changes(filled.index) is None
    refresh(filled.index, lambda: True)
    assert parts(filled) == []
    filled.do("UPDATE sync_index SET at = '2999-01-01 00:00:00' WHERE name = ?", NAME)
    assert record.look_for_changes(filled.index) is not None


def test_sums_that_were_counted_before_another_look_are_not_kept(filled: Rows) -> None:
    look = record.look_for_changes(filled.index)
    assert look is not None
    counted_before = tallies.count_part(filled.index, 0)
    change(filled, 1, "XY", MINUTE * 0)
    filled.do("UPDATE sync_index SET at = ? WHERE name = ?", look + MINUTE * 30, NAME)
    assert not record.keep(filled.index, look, 0, counted_before)
    assert agrees(filled) and parts(filled) == []


def test_a_run_that_must_end_counts_the_rest_later(filled: Rows) -> None:
    answers = iter((True, True, False))
    refresh(filled.index, lambda: next(answers))
    assert agrees(filled) and parts(filled) == [0, 1]
    # The next run, though it is not yet time to look for changes again.
    assert tallies.last_look(filled.index).is_followed(filled.index.now())
    answers = iter((True, False))
    refresh(filled.index, lambda: next(answers))
    assert agrees(filled) and parts(filled) == [0, 1, 2]
    refresh(filled.index, lambda: True)
    assert agrees(filled) and parts(filled) == [0, 1, 2, 3]
    assert not tallies.last_look(filled.index).is_followed(filled.index.now())


def test_of_the_runs_of_many_hosts_one_counts_what_was_left(filled: Rows) -> None:
    refresh(filled.index, iter((True, False)).__next__)
    look = record.look_for_changes(filled.index)
    assert look == tallies.last_look(filled.index).at
    assert record.look_for_changes(filled.index) is None
    # A run that was killed meanwhile left nothing to others; the next look finds it.
    later(filled, MINUTE * 20)
    refresh(filled.index, lambda: True)
    assert agrees(filled) and parts(filled) == [0, 1, 2, 3]


def test_what_was_left_is_not_counted_for_an_outdated_look(filled: Rows) -> None:
    look = record.look_for_changes(filled.index)
    assert look is not None
    filled.do("UPDATE sync_index SET at = ? WHERE name = ?", look + MINUTE * 30, NAME)
    record.leave(filled.index, look)
    assert not tallies.last_look(filled.index).unfinished


def test_a_file_whose_length_is_corrected_and_a_file_that_is_deleted(filled: Rows) -> None:
    filled.do("DELETE FROM archivefilecopy WHERE file_id = ? AND node_id = ?", 1, filled.node["field"])
    filled.do("UPDATE archivefilecopy SET has_file = 'N', wants_file = 'N' WHERE file_id = 1")
    refresh(filled.index, lambda: True)
    edited_files.modify(filled.index, 1, 77, None, WHEN)
    assert agrees(filled) and parts(filled) == [1, 2, 3]
    later(filled, MINUTE * 20)
    refresh(filled.index, lambda: True)
    assert 0 in parts(filled)
    record.forget_files(filled.index, [1, 2 * PART + 3])
    assert agrees(filled) and parts(filled) == [1, 3]


def test_a_node_that_is_deleted_takes_its_sums_with_it(filled: Rows) -> None:
    node_id = filled.node["two"]
    filled.do("INSERT INTO sync_tally VALUES (0, ?, 'Y', 'Y', 3, 30, 7)", node_id)
    filled.do("UPDATE storagenode SET active = 0 WHERE id = ?", node_id)
    assert ("sync_tally", "node_id") in node_deletion.SMALL
    node_deletion.delete(filled.index, NamedRow(node_id, "two"), WHEN, lambda done, of: None)
    assert filled.all("SELECT COUNT(*) FROM sync_tally WHERE node_id = ?", node_id) == [(0,)]


def test_random_changes_and_counts(filled: Rows) -> None:
    chance = random.Random(1)
    ids = [file_id for (file_id,) in filled.all("SELECT id FROM archivefile")]
    for _ in range(60):
        match chance.randrange(3):
            case 0:
                change(filled, chance.choice(ids), chance.choice(STATES), MINUTE * chance.choice((0, 1, 100)))
            case 1:
                later(filled, MINUTE * chance.choice((10, 20, 100)))
            case 2:
                refresh(filled.index, lambda: chance.random() < 0.8)
        assert agrees(filled)


def test_many_nodes_and_parts_take_few_statements(filled: Rows) -> None:
    refresh(filled.index, lambda: True)
    with counted() as statements:
        of_nodes(filled.index, list(filled.node.values()))
    assert statements.count == 4
    assert not any("COUNT(" in sql for sql in statements.sql)


def test_changes_are_found_by_an_index(rows: Rows) -> None:
    for number in range(1, 200):
        rows.copy(in_part(rows, number % 3, number), "one", "YY")
    look = tallies.CHANGED.replace("?", "'2999-01-01'")
    explain = "EXPLAIN QUERY PLAN " if rows.index.dialect.in_a_file else "EXPLAIN "
    plan = str(rows.all(explain + look))
    assert "sync_copy_by_update" in plan and ("COVERING INDEX" in plan or "Using index" in plan), plan


@pytest.mark.parametrize(
    ("given", "expected"), [([], []), ([0], [(0, 1)]), ([2, 0, 1], [(0, 3)]), ([0, 2, 3], [(0, 1), (2, 4)])]
)
def test_adjacent_parts_are_counted_together(given: list[int], expected: list[tuple[int, int]]) -> None:
    assert list(stretches(part * PART for part in given)) == [
        (first * PART, end * PART) for first, end in expected
    ]


def statements_in(tree: ast.AST) -> list[str]:
    """The texts of a module; a value in one is {}."""
    texts = []
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            texts.append(
                "".join(str(one.value) if isinstance(one, ast.Constant) else "{}" for one in node.values)
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            texts.append(node.value)
    return texts


def test_each_statement_that_changes_a_copy_sets_the_time_of_the_change() -> None:
    """Otherwise a change is not seen in the sums for a day."""
    found = 0
    for path in Path(alpenhorn.__file__).parent.rglob("*.py"):
        tree = ast.parse(path.read_text())
        for text in statements_in(tree):
            if "UPDATE archivefilecopy SET" in text and "has_file = " in text.partition("WHERE")[0]:
                found += 1
                assert "last_update = ?" in text, (path, text)
        for node in ast.walk(tree):
            if isinstance(node, ast.Dict) and path.parent.name == "edits":
                keys = {key.value for key in node.keys if isinstance(key, ast.Constant)}
                if keys & {"has_file", "wants_file"}:
                    found += 1
                    assert "last_update" in keys, path
    assert found > 15


def test_the_numbers_of_files_differ_and_add_up_without_overflow(rows: Rows) -> None:
    """Otherwise different files could have the same sum."""
    rows.do("DELETE FROM archivefile")
    values = [(number, rows.acq, f"f{number}", WHEN) for number in range(PART, 2 * PART)]
    for start in range(0, PART, 4096):
        rows.index.executemany(
            "INSERT INTO archivefile (id, acq_id, name, registered) VALUES (?, ?, ?, ?)",
            values[start : start + 4096],
        )
    numbers = [
        int(number)
        for (number,) in rows.all(f"SELECT {IDS} FROM archivefile f WHERE f.id >= ? GROUP BY f.id", PART)
    ]
    expected = [pow(x, 3) % 2147483629**1 for x in range(1, PART + 1)]
    assert sorted(numbers) == sorted(one * one % 2147483587 for one in expected)
    assert len(set(numbers)) == PART
    assert tallies.count_part(rows.index, PART)[:2] == (PART, sum(numbers))


def test_sums_that_an_earlier_version_kept_are_not_used_and_counted_anew(filled: Rows) -> None:
    refresh(filled.index, lambda: True)
    filled.do("UPDATE sync_tally SET ids = NULL, files = 0 WHERE part = 0")
    filled.do("UPDATE sync_tally_part SET ids = NULL WHERE part = ?", 2 * PART)
    filled.do("UPDATE sync_tally SET files = 0 WHERE part = ?", 2 * PART)
    assert agrees(filled) and tallies.wrong_parts(filled.index) == []
    later(filled, MINUTE * 20)
    refresh(filled.index, lambda: True)
    assert filled.all("SELECT COUNT(*) FROM sync_tally_part WHERE ids IS NOT NULL") == [(4,)]
