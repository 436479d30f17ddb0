from __future__ import annotations

from alpenhorn.model.links import LookTotals
from alpenhorn.scan.sample import EACH, NEAR, PLACES, sample, sums
from tests.fixtures.rows import Rows


def copies(rows: Rows, number: int, state: str = "YY") -> list[int]:
    return [rows.copy(rows.file(f"{state}/{i}"), "one", state) for i in range(number)]


def sampled(rows: Rows, lost: list[int]) -> list[int]:
    return [row.copy_id for row in sample(rows.index, rows.node["one"], lost)]


def test_of_a_small_node_the_neighbours_are_all_others(rows: Rows) -> None:
    ids = copies(rows, 20)
    assert sorted(sampled(rows, ids[5:7])) == ids[:5] + ids[7:]
    assert sampled(rows, ids) == []


def test_sample_of_a_large_node_has_neighbours_of_the_losses_and_random_copies(rows: Rows) -> None:
    ids = copies(rows, 400)
    found = set(sampled(rows, ids[100:110]))
    assert set(ids[50:100] + ids[110:160]) <= found
    assert NEAR * 2 <= len(found) <= NEAR * 2 + PLACES * EACH and not found & set(ids[100:110])
    assert set(ids[10 : 10 + NEAR]) <= set(sampled(rows, ids[:10]))


def test_only_good_copies_of_the_node_that_nobody_wants_gone(rows: Rows) -> None:
    (lost,) = copies(rows, 1)
    may_go = copies(rows, 2, "YM")
    for state in ("YN", "MY", "XY", "NY"):
        copies(rows, 2, state)
    rows.copy(rows.file("elsewhere"), "two", "YY")
    assert sorted(sampled(rows, [lost])) == may_go


def test_sums_of_a_node_without_a_medium_are_zero(rows: Rows) -> None:
    assert sums(rows.index, rows.node["field"]) == LookTotals(0, 0)
    rows.insert("sync_medium", node_id=rows.node["field"], generation=0, separate=0, looked=5, lost=2)
    assert sums(rows.index, rows.node["field"]) == LookTotals(5, 2)


def test_sample_for_losses_at_both_ends_is_all_copies_between(rows: Rows) -> None:
    ids = copies(rows, 60)
    assert sorted(sampled(rows, ids[:5] + ids[-5:])) == ids[5:55]
