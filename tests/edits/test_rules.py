from __future__ import annotations

import pytest

from alpenhorn.edits.rules import make_up, set_flag
from alpenhorn.errors import NotFound, Refused
from alpenhorn.scan.rules import Action, missed_actions
from tests.fixtures.rows import WHEN, Rows

SYNC, CLEAN = Action.AUTOSYNC, Action.AUTOCLEAN


def flag(rows: Rows, action: Action, on: bool, node: str = "field", group: str = "one") -> bool:
    return set_flag(rows.index, rows.node[node], rows.group[group], action, on)


def all_edges(rows: Rows) -> list[tuple[object, ...]]:
    return rows.all("SELECT node_from_id, group_to_id, autosync, autoclean FROM storagetransferaction")


def test_each_flag_is_set_and_cleared_by_itself(rows: Rows) -> None:
    ends = (rows.node["field"], rows.group["one"])
    assert flag(rows, SYNC, True) and all_edges(rows) == [(*ends, 1, 0)]
    assert flag(rows, CLEAN, True) and all_edges(rows) == [(*ends, 1, 1)]
    assert not flag(rows, CLEAN, True) and all_edges(rows) == [(*ends, 1, 1)]
    assert flag(rows, SYNC, False) and all_edges(rows) == [(*ends, 0, 1)]
    assert not flag(rows, SYNC, False) and all_edges(rows) == [(*ends, 0, 1)]


def test_a_row_with_neither_flag_left_stays_and_is_used_again(rows: Rows) -> None:
    rows.rule("field", "one", autosync=1)
    ids = rows.all("SELECT id FROM storagetransferaction")
    assert flag(rows, SYNC, False)
    assert rows.all("SELECT id, autosync, autoclean FROM storagetransferaction") == [(*ids[0], 0, 0)]
    assert flag(rows, CLEAN, True)
    assert rows.all("SELECT id, autosync, autoclean FROM storagetransferaction") == [(*ids[0], 0, 1)]


def test_clearing_a_rule_that_does_not_exist_creates_no_row(rows: Rows) -> None:
    assert not flag(rows, SYNC, False)
    assert all_edges(rows) == []


def test_a_rule_to_the_own_group_is_refused_and_an_existing_one_can_be_cleared(rows: Rows) -> None:
    with pytest.raises(Refused, match="node one_too is in group one:"):
        flag(rows, SYNC, True, "one_too", "one")
    assert all_edges(rows) == []
    rows.rule("one_too", "one", autosync=1)
    assert flag(rows, SYNC, False, "one_too", "one")


def test_a_removed_node_or_group_is_reported(rows: Rows) -> None:
    rows.node["gone"] = rows.group["gone"] = 4711
    with pytest.raises(NotFound, match="the node was removed"):
        flag(rows, SYNC, True, "gone", "one")
    with pytest.raises(NotFound, match="the group was removed"):
        flag(rows, SYNC, True, "field", "gone")


def test_missed_actions_are_carried_out_once(rows: Rows) -> None:
    rows.rule("field", "one", autosync=1, autoclean=1)
    new, held = rows.file("new"), rows.file("held")
    for file_id in (new, held):
        rows.copy(file_id, "field", "YY")
    rows.copy(held, "one", "YY")
    found = missed_actions(rows.index)
    assert make_up(rows.index, found, WHEN) == {SYNC: 1, CLEAN: 1}
    assert rows.pending("one") == [(new, rows.node["field"])]
    assert (rows.state(new, "field"), rows.state(held, "field")) == ("YY", "YN")
    assert missed_actions(rows.index) == []
    # The same again changes nothing: what was found is looked at anew in the statement that acts.
    assert make_up(rows.index, found, WHEN) == {SYNC: 0, CLEAN: 0}


def test_two_edges_ask_once_for_one_file(rows: Rows) -> None:
    rows.rule("field", "one", autosync=1)
    rows.rule("two", "one", autosync=1)
    file_id = rows.file("a")
    for node in ("field", "two"):
        rows.copy(file_id, node, "YY")
    assert make_up(rows.index, missed_actions(rows.index), WHEN)[SYNC] == 1
    assert len(rows.pending("one")) == 1


def test_autoclean_there_and_back_releases_one_of_the_two(rows: Rows) -> None:
    rows.rule("one", "two", autoclean=1)
    rows.rule("two", "one", autoclean=1)
    file_id = rows.file("a")
    for node in ("one", "two"):
        rows.copy(file_id, node, "YY")
    assert make_up(rows.index, missed_actions(rows.index), WHEN)[CLEAN] == 1
    assert sorted([rows.state(file_id, "one") or "", rows.state(file_id, "two") or ""]) == ["YN", "YY"]
    assert missed_actions(rows.index) == []


def test_a_copy_is_requested_before_it_is_released(rows: Rows) -> None:
    rows.rule("field", "two", autoclean=1)
    rows.rule("field", "one", autosync=1)
    file_id = rows.file("a")
    for node in ("field", "two"):
        rows.copy(file_id, node, "YY")
    assert make_up(rows.index, missed_actions(rows.index), WHEN) == {SYNC: 1, CLEAN: 1}


def test_nothing_is_released_when_the_groups_copy_was_found_suspect_in_between(
    rows: Rows,
) -> None:
    rows.rule("field", "one", autoclean=1)
    file_id = rows.file("a")
    for node in ("field", "one"):
        rows.copy(file_id, node, "YY")
    found = missed_actions(rows.index)
    rows.do("UPDATE archivefilecopy SET has_file = 'M' WHERE node_id = ?", rows.node["one"])
    assert make_up(rows.index, found, WHEN)[CLEAN] == 0
    assert rows.state(file_id, "field") == "YY"
