from __future__ import annotations

import pytest

from alpenhorn.index.connection import Index
from alpenhorn.index.selections import SelectionPart
from alpenhorn.scan.rules import Action, edges, held_by_group, owed, unreleased, unrequested
from tests.fixtures.rows import Rows
from tests.scan.statements import counted


def found(rows: Rows) -> list[tuple[str, str, str, int, int]]:
    return [
        (one.edge.node, one.edge.group, one.action.value, one.total.files, one.total.bytes)
        for one in owed(rows.index)
    ]


def test_nothing_is_owed_without_edges(rows: Rows) -> None:
    rows.copy(rows.file("a"), "field", "YY")
    with counted() as statements:
        assert owed(rows.index) == []
    assert statements.count == 1


@pytest.mark.parametrize(
    ("here", "there", "owes"),
    [
        ("YY", None, True),
        ("YM", None, True),
        ("YY", "NN", True),
        ("YY", "XY", True),
        ("YY", "MY", True),
        ("YY", "YY", False),
        ("YY", "YN", False),
        ("YN", None, False),
        ("MY", None, False),
        ("XY", None, False),
        ("NY", None, False),
    ],
)
def test_autosync_owes_wanted_good_copies_that_the_group_has_not(
    rows: Rows, here: str, there: str | None, owes: bool
) -> None:
    rows.edge("field", "one", autosync=1)
    file_id = rows.file("a")
    rows.copy(file_id, "field", here)
    if there:
        rows.copy(file_id, "one_too", there)
    assert found(rows) == ([("field", "one", "autosync", 1, 10)] if owes else [])


def test_autosync_owes_nothing_that_is_requested_whoever_is_the_source(rows: Rows) -> None:
    rows.edge("field", "one", autosync=1)
    pending, settled, elsewhere = (rows.file(name) for name in "abc")
    for file_id in (pending, settled, elsewhere):
        rows.copy(file_id, "field", "YY")
    rows.request(pending, "two", "one")
    rows.request(settled, completed=1)
    rows.request(elsewhere, group="two")
    assert found(rows) == [("field", "one", "autosync", 2, 20)]


@pytest.mark.parametrize(
    ("here", "there", "owes"),
    [
        ("YY", "YY", True),
        ("YM", "YM", True),
        ("YN", "YY", False),
        ("MY", "YY", False),
        ("XY", "YY", False),
        ("NY", "YY", False),
        ("YY", "YN", False),
        ("YY", "MY", False),
        ("YY", "NN", False),
        ("YY", None, False),
    ],
)
def test_autoclean_owes_wanted_good_copies_that_the_group_keeps(
    rows: Rows, here: str, there: str | None, owes: bool
) -> None:
    rows.edge("field", "one", autoclean=1)
    file_id = rows.file("a")
    rows.copy(file_id, "field", here)
    if there:
        rows.copy(file_id, "one_too", there)
    assert found(rows) == ([("field", "one", "autoclean", 1, 10)] if owes else [])


def test_inactive_nodes_are_no_exception(rows: Rows) -> None:
    rows.do("UPDATE storagenode SET active = 0")
    rows.edge("field", "one", autosync=1)
    rows.copy(rows.file("a"), "field", "YY")
    assert found(rows) == [("field", "one", "autosync", 1, 10)]


def test_strange_rows_are_no_obstacle(rows: Rows) -> None:
    if not rows.index.dialect.in_a_file:
        rows.do("SET SESSION foreign_key_checks = 0")
    rows.group["empty"] = rows.insert("storagegroup", name="empty")
    rows.node["gone"] = rows.group["gone"] = 4711
    for node, group in (
        ("field", "empty"),
        ("field", "gone"),
        ("gone", "one"),
        ("field", "field"),
        ("field", "one"),
    ):
        rows.edge(node, group, autosync=1, autoclean=1)
    rows.edge("two", "one")
    unsized, fileless = rows.file("a", size_b=None), 4712
    for file_id in (unsized, fileless):
        rows.copy(file_id, "field", "YY")
    rows.copy(fileless, "one", "YY")
    rows.copy(fileless, "gone", "YY")
    assert [(edge.node, edge.group) for edge in edges(rows.index)] == [("field", "empty"), ("field", "one")]
    assert found(rows) == [("field", "empty", "autosync", 1, 0), ("field", "one", "autosync", 1, 0)]
    assert owed(rows.index)[0].total.unsized == 1


def test_requests_come_before_releases(rows: Rows) -> None:
    rows.edge("field", "two", autoclean=1)
    rows.edge("one", "two", autosync=1)
    held, new = rows.file("a"), rows.file("b")
    rows.copy(held, "field", "YY")
    rows.copy(held, "two", "YY")
    rows.copy(new, "one", "YY")
    assert [one.action for one in owed(rows.index)] == [Action.AUTOSYNC, Action.AUTOCLEAN]


def plan(index: Index, part: SelectionPart) -> str:
    rows = index.execute(f"EXPLAIN QUERY PLAN SELECT COUNT(*) {part.sql}", part.values)
    return "\n".join(row[3] for row in rows)


def test_each_copy_is_looked_up_by_an_index(sqlite_rows: Rows) -> None:
    index = sqlite_rows.index
    for parts in (unrequested(1, 2), unreleased(1, 2)):
        assert "c USING INDEX sync_copy_by_state" in plan(index, parts[0])
    for parts in (unrequested(1, 2, [3, 4]), held_by_group(1, 2, [3, 4])):
        assert "sync_" not in plan(index, parts[0])
    for parts in (
        unrequested(1, 2),
        unreleased(1, 2),
        unrequested(1, 2, [3, 4]),
        held_by_group(1, 2, [3, 4]),
    ):
        assert "SCAN c" not in plan(index, parts[0]) and "SCAN d" not in plan(index, parts[0])
