from __future__ import annotations

import pytest

from alpenhorn.model.repair import BadCopy, GoodCopy
from alpenhorn.record.copies import once_good
from alpenhorn.record.run import Run, events
from alpenhorn.scan.repair import COPIES, GOOD, REQUESTED, pages
from tests.fixtures.rows import MD5, Rows
from tests.scan.statements import counted


def bad(rows: Rows, node: str = "one", limit: int = 100) -> list[BadCopy]:
    return [copy for page in pages(rows.index, rows.node[node], limit) for copy in page]


@pytest.mark.parametrize(
    ("state", "is_bad"),
    [("XY", True), ("XM", True), ("NY", True)]
    + [(state, False) for state in ("XN", "NM", "NN", "YY", "YM", "YN", "MY", "MM", "MN")],
)
def test_corrupt_and_missing_copies_that_are_not_released(rows: Rows, state: str, is_bad: bool) -> None:
    file_id = rows.file("a")
    copy_id = rows.copy(file_id, "one", state)
    rows.copy(file_id, "two", "XY")
    expected = BadCopy(copy_id, file_id, rows.node["one"], state[0], "acq", "a", 10, MD5)
    assert bad(rows) == ([expected] if is_bad else [])


def test_good_copies_elsewhere_and_a_pending_request_into_the_group_are_told(rows: Rows) -> None:
    file_id, other = rows.file("a"), rows.file("b")
    rows.copy(file_id, "one", "XY")
    rows.copy(other, "one", "XY")
    rows.copy(file_id, "one_too", "MY")
    rows.copy(file_id, "two", "YN")
    rows.copy(file_id, "field", "YY")
    rows.do("UPDATE archivefilecopy SET ready = 0 WHERE node_id = ?", rows.node["two"])
    for completed, cancelled, group in ((1, 0, "one"), (0, 1, "one"), (0, 0, "two")):
        rows.request(file_id, group=group, completed=completed, cancelled=cancelled)
    first, second = bad(rows)
    assert first.requested == 0 and second == second._replace(good=(), requested=0)
    assert sorted(first.good) == [
        GoodCopy(rows.node["field"], "Y", True),
        GoodCopy(rows.node["two"], "N", False),
    ]
    request = rows.request(file_id, "two", "one")
    rows.request(file_id, "field", "one")
    assert bad(rows)[0].requested == request


def test_whether_a_corrupt_copy_was_once_good_is_told(rows: Rows, run: Run) -> None:
    once, never = rows.file("once"), rows.file("never")
    for file_id in (once, never):
        rows.copy(file_id, "one", "XY")
    once_good(rows.index, rows.node["one"], [once])
    events(rows.index, run, "corrupt", [(never, rows.node["one"], "its length is 3 bytes")])
    first, second = bad(rows)
    assert (first.once_good, first.found) == (True, "")
    assert (second.once_good, second.found) == (False, "its length is 3 bytes")


def test_strange_rows_are_handed_on(rows: Rows) -> None:
    if not rows.index.dialect.in_a_file:
        rows.do("SET SESSION foreign_key_checks = 0")
    unsized = rows.file("a", size_b=None, md5sum=None)
    rows.node["gone"] = 4711
    rows.copy(unsized, "one", "XY")
    rows.copy(4712, "one", "XY")
    rows.copy(4712, "gone", "YY")
    first, second = bad(rows)
    assert first[4:8] == ("acq", "a", None, None)
    assert second[4:8] == (None, None, None, None) and second.good == (GoodCopy(4711, "Y", True),)


@pytest.mark.parametrize("limit", [1, 3, 1000])
def test_every_bad_copy_is_seen_once_whatever_the_pages(rows: Rows, limit: int) -> None:
    states = ("XY", "NY", "YY", "XM", "NN")
    wanted = set()
    for number in range(25):
        file_id = rows.file(str(number))
        rows.copy(file_id, "one", states[number % 5])
        rows.copy(file_id, "two", "YY")
        rows.request(file_id)
        if states[number % 5] in ("XY", "NY", "XM"):
            wanted.add(file_id)
    found = bad(rows, limit=limit)
    assert sorted(copy.file_id for copy in found) == sorted(wanted)
    assert all(copy.requested and len(copy.good) == 1 for copy in found)


def test_a_page_costs_the_same_number_of_statements_whatever_its_length(rows: Rows) -> None:
    with rows.index.transaction():
        for number in range(300):
            file_id = rows.file(str(number))
            rows.copy(file_id, "one", "XY")
            rows.copy(file_id, "two", "YY")
            rows.request(file_id)
    costs = []
    for limit in (1, 300):
        with counted() as statements:
            assert len(next(pages(rows.index, rows.node["one"], limit))) == limit
        costs.append(statements.count)
    assert costs == [4, 4]


def test_what_is_looked_for_is_found_by_indexes(sqlite_rows: Rows) -> None:
    values = (1, "X", "Y", 0, 9)
    for sql in (COPIES, GOOD, REQUESTED):
        steps = [row[3] for row in sqlite_rows.index.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
        assert any("sync_copy_by_state (node_id=? AND has_file=? AND wants_file=?" in step for step in steps)
        assert not any("SCAN" in step or "sync_request" in step or "TEMP B-TREE" in step for step in steps), (
            steps
        )
