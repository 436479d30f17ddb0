from __future__ import annotations

import pytest

from alpenhorn.model import Blame, CheckFact
from alpenhorn.record.attempts import Failure, failed
from alpenhorn.record.run import Run
from alpenhorn.scan.checks import pages
from tests.record.rows import MD5, Rows
from tests.scan.statements import counted


def facts(rows: Rows, limit: int = 100) -> list[CheckFact]:
    return [fact for some in pages(rows.index, rows.node["one"], limit) for fact in some]


def test_suspect_copies_that_are_not_released_are_found(rows: Rows) -> None:
    expected = set()
    for has in "YMXN":
        for wants in "YMN":
            copy_id = rows.copy(rows.file(has + wants), "one", has + wants)
            if has == "M" and wants != "N":
                expected.add(copy_id)
    rows.copy(rows.file("elsewhere"), "two", "MY")
    assert {fact.copy_id for fact in facts(rows)} == expected


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


def test_a_node_without_suspect_copies_costs_two_statements(rows: Rows) -> None:
    rows.copy(rows.file("a"), "one", "YY")
    with counted() as statements:
        assert facts(rows) == []
    assert statements.count == 2
