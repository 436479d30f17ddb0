from __future__ import annotations

import datetime

import pytest

from alpenhorn.model.checks import CheckFact
from alpenhorn.model.tasks import Blame
from alpenhorn.record.attempts import Failure, failed
from alpenhorn.record.run import Run
from alpenhorn.scan.checks import longest_ago, pages, unverified
from tests.fixtures.rows import MD5, Rows
from tests.scan.statements import counted


def facts(rows: Rows, limit: int = 100) -> list[CheckFact]:
    return [fact for some in pages(rows.index, rows.node["one"], limit) for fact in some]


def test_suspect_copies_are_found_released_ones_last(rows: Rows) -> None:
    expected = {}
    for has in "YMXN":
        for wants in "NYM":
            copy_id = rows.copy(rows.file(has + wants), "one", has + wants)
            if has == "M":
                expected[wants] = copy_id
    rows.copy(rows.file("elsewhere"), "two", "MY")
    found = facts(rows)
    assert [fact.copy_id for fact in found] == [expected[wants] for wants in "YMN"]
    assert [fact.has_file + fact.wants_file for fact in found] == ["MY", "MM", "MN"]


def test_a_fact_holds_all_that_a_check_needs(rows: Rows, run: Run) -> None:
    file_id = rows.file("dir/a")
    copy_id = rows.copy(file_id, "one", "MY")
    assert facts(rows) == [CheckFact(copy_id, file_id, rows.node["one"], "acq", "dir/a", 10, MD5)]
    failed(rows.index, run, "check", [Failure(copy_id, Blame.UNKNOWN, "EIO")])
    failed(rows.index, run, "pull", [Failure(copy_id, Blame.NETWORK, "another kind")])
    (fact,) = facts(rows)
    assert fact.attempt is not None
    assert (fact.attempt.tries, fact.attempt.error) == (1, "EIO")


@pytest.mark.parametrize("limit", [1, 7, 1000])
def test_every_suspect_copy_is_seen_once_though_each_page_is_settled(rows: Rows, limit: int) -> None:
    with rows.index.transaction():
        copies = [
            rows.copy(rows.file(str(number)), "one", ("MY", "YY", "MM", "XY")[number % 4])
            for number in range(40)
        ]
    seen = []
    for some in pages(rows.index, rows.node["one"], limit):
        seen += [fact.copy_id for fact in some]
        for fact in some:
            rows.do("UPDATE archivefilecopy SET has_file = 'Y' WHERE id = ?", fact.copy_id)
    assert sorted(seen) == sorted(copies[0::4] + copies[2::4])


def test_a_node_without_suspect_copies_costs_three_statements(rows: Rows) -> None:
    rows.copy(rows.file("a"), "one", "YY")
    with counted() as statements:
        assert facts(rows) == []
    assert statements.count == 3


# --- good copies whose turn has come -------------------------------------------------------------------

LONG_AGO = datetime.datetime(2025, 1, 1)
NOW = datetime.datetime(2026, 1, 1)


def verified(rows: Rows, file_id: int, at: datetime.datetime = LONG_AGO, node: str = "one") -> int:
    rows.insert("sync_verification", file_id=file_id, node_id=rows.node[node], verified=at)
    return file_id


def never(rows: Rows, place: float = 0.0, limit: int = 100, window: int = 100) -> list[int]:
    found = unverified(rows.index, rows.node["one"], place, limit, window)
    return [fact.file_id for some in found for fact in some]


def again(rows: Rows, limit: int = 100, before: datetime.datetime = NOW) -> tuple[list[int], list[int]]:
    """Files whose copies are due for verification, and files that need none."""
    found = list(longest_ago(rows.index, rows.node["one"], before, limit))
    return [fact.file_id for one in found for fact in one.facts], [id for one in found for id in one.stale]


def test_good_copies_that_were_never_verified_are_found(rows: Rows) -> None:
    expected = set()
    for has in "YMXN":
        for wants in "YMN":
            file_id = rows.file(has + wants)
            rows.copy(file_id, "one", has + wants)
            if has == "Y" and wants != "N":
                expected.add(file_id)
    rows.copy(verified(rows, rows.file("verified")), "one", "YY")
    elsewhere = rows.file("verified elsewhere")
    rows.copy(elsewhere, "one", "YY")
    verified(rows, elsewhere, node="two")
    rows.copy(rows.file("on another node"), "two", "YY")
    assert set(never(rows)) == expected | {elsewhere}
    assert again(rows) == ([rows.all("SELECT id FROM archivefile WHERE name = 'verified'")[0][0]], [])


@pytest.mark.parametrize("limit", [1, 3, 100])
@pytest.mark.parametrize("place", [0.0, 0.3, 0.999999])
def test_a_small_node_is_seen_whole_wherever_one_begins(rows: Rows, place: float, limit: int) -> None:
    with rows.index.transaction():
        files = [rows.file(str(number)) for number in range(20)]
        for file_id in files:
            rows.copy(file_id, "one", "YY")
            rows.copy(file_id, "two", "YY")
    found = never(rows, place, limit)
    assert sorted(found) == files
    start = found[0]
    assert found == [file_id for file_id in files if file_id >= start] + files[: start - files[0]]
    assert (place == 0.0) is (start == files[0])


def test_of_a_large_node_only_a_window_is_looked_at(rows: Rows) -> None:
    with rows.index.transaction():
        files = [rows.file(str(number)) for number in range(30)]
        for file_id in files:
            rows.copy(verified(rows, file_id), "one", "YY")
    rows.do("DELETE FROM sync_verification WHERE file_id = ?", files[10])
    seen = [place for place in range(30) if never(rows, place / 30 + 0.001, window=7) == [files[10]]]
    assert seen == list(range(4, 11))
    assert never(rows, 0.9, window=7) == []


@pytest.mark.parametrize("limit", [1, 4, 100])
def test_those_verified_longest_ago_come_first_and_young_ones_not_at_all(rows: Rows, limit: int) -> None:
    ages = {rows.file(str(number)): (number * 7) % 20 // 2 for number in range(20)}
    for file_id, days in ages.items():
        rows.copy(verified(rows, file_id, NOW - datetime.timedelta(days=days)), "one", "YM")
    found, stale = again(rows, limit, NOW - datetime.timedelta(days=3))
    assert stale == []
    assert found == sorted((id for id in ages if ages[id] > 3), key=lambda id: (-ages[id], id))


def test_files_that_need_no_verification_are_listed(rows: Rows) -> None:
    stale = [verified(rows, rows.file("released")), verified(rows, rows.file("gone")), verified(rows, 999)]
    rows.copy(stale[0], "one", "YN")
    rows.copy(stale[1], "one", "NN")
    good = verified(rows, rows.file("good"))
    rows.copy(good, "one", "YY")
    assert again(rows, 1) == ([good], [*stale[:2], 999])


def test_a_node_without_good_copies_has_nothing_to_verify(rows: Rows) -> None:
    assert never(rows) == []
    assert again(rows) == ([], [])
