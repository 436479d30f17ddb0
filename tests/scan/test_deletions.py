from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any

import pytest

from alpenhorn.index.times import posix
from alpenhorn.model.deletions import DeletionFact, Evidence
from alpenhorn.model.tasks import Blame
from alpenhorn.record.attempts import Failure, failed
from alpenhorn.record.run import Run
from alpenhorn.scan import checks
from alpenhorn.scan.deletions import DeletionReading, count, pages, present, read, released
from tests.fixtures.rows import WHEN, Rows
from tests.scan.statements import counted


def facts(rows: Rows, node: str, has: str = "Y", wants: str = "N", limit: int = 100, run_id: int = 0) -> Any:
    found = readings(rows, node, has, wants, limit, run_id)
    return [fact for reading in found for fact in reading.facts]


def readings(
    rows: Rows, node: str, has: str = "Y", wants: str = "N", limit: int = 100, run_id: int = 0
) -> Iterator[DeletionReading]:
    node_id = rows.node[node]
    return (
        read(rows.index, node_id, copies, run_id, Evidence())
        for copies in pages(rows.index, node_id, has, wants, limit)
    )


def the_fact(rows: Rows, node: str = "field", **options: Any) -> DeletionFact:
    (fact,) = facts(rows, node, **options)
    assert isinstance(fact, DeletionFact)
    return fact


def claim(
    rows: Rows, file_id: int, node: str, run_id: int = 77, expired: bool = False, fence: int = 3
) -> None:
    expires = rows.index.now() + datetime.timedelta(minutes=-1 if expired else 1)
    rows.insert(
        "sync_claim",
        kind="delete",
        file_id=file_id,
        target_id=rows.node[node],
        node_id=rows.node[node],
        reserved_b=0,
        host="there",
        run_id=run_id,
        expires=expires,
        fence=fence,
    )


def test_a_fact_holds_all_that_decides_a_deletion(rows: Rows, run: Run) -> None:
    file_id = rows.file("dir/a", size_b=2**40)
    copy_id = rows.copy(file_id, "field", "YN")
    rows.copy(file_id, "one", "YY")
    rows.copy(file_id, "one_too", "YM")
    rows.copy(file_id, "two", "YN")
    as_source = rows.request(file_id)
    into = rows.request(file_id, source="two", group="field")
    rows.insert("sync_pin", file_id=file_id, node_id=0, reason="for the paper", pinned=WHEN)
    failed(rows.index, run, "delete", [Failure(copy_id, Blame.UNKNOWN, "read-only")])
    fact = the_fact(rows)
    assert fact == DeletionFact(
        copy_id,
        file_id,
        rows.node["field"],
        "acq",
        "dir/a",
        2**40,
        4096,
        "Y",
        "N",
        ("one", "one_too"),
        ("two",),
        as_source,
        into,
        "pinned: for the paper",
        "",
        "",
        fact.attempt,
        other_ids=(rows.node["one"], rows.node["one_too"]),
        released_ids=(rows.node["two"],),
        since=posix(WHEN),
        md5sum=fact.md5sum,
    )
    assert fact.md5sum and fact.attempt is not None
    assert (fact.attempt.tries, fact.attempt.error) == (1, "read-only")


def test_fact_without_pins_claims_or_keepers_has_empty_fields(rows: Rows) -> None:
    rows.copy(rows.file("a", size_b=None), "field", "YN")
    fact = the_fact(rows)
    assert (fact.size_b, fact.others, fact.released, fact.source_of, fact.wanted_by) == (None, (), (), 0, 0)
    assert (fact.pinned, fact.claimed_by, fact.attempt) == ("", "", None)


@pytest.mark.parametrize(
    ("state", "other", "leaving"),
    [
        ("YY", True, False),
        ("YM", True, False),
        ("YN", False, True),
        *((has + wants, False, False) for has in "MXN" for wants in "YMN"),
    ],
)
def test_only_good_copies_count(rows: Rows, state: str, other: bool, leaving: bool) -> None:
    file_id = rows.file("a")
    rows.copy(file_id, "field", "YN")
    rows.copy(file_id, "one", state)
    fact = the_fact(rows)
    assert (fact.others == ("one",), fact.released == ("one",)) == (other, leaving)


@pytest.mark.parametrize("changes", ["active = 0", "archive = 0", "active = 0, archive = 0"])
@pytest.mark.parametrize("state", ["YY", "YN"])
def test_only_copies_on_active_archive_nodes_count(rows: Rows, changes: str, state: str) -> None:
    file_id = rows.file("a")
    rows.copy(file_id, "field", "YN")
    rows.copy(file_id, "one", state)
    rows.do(f"UPDATE storagenode SET {changes} WHERE id = ?", rows.node["one"])
    fact = the_fact(rows)
    assert (fact.others, fact.released) == ((), ())


@pytest.mark.parametrize("expired", [False, True])
@pytest.mark.parametrize("run_id", [5, 77])
def test_a_copy_that_is_claimed_for_deletion_never_counts(rows: Rows, expired: bool, run_id: int) -> None:
    """Also if the lease has expired: the state of the copy is unknown."""
    file_id = rows.file("a")
    rows.copy(file_id, "field", "YN")
    rows.copy(file_id, "one", "YY")
    rows.copy(file_id, "two", "YN")
    for node in ("one", "two"):
        claim(rows, file_id, node, run_id, expired)
    fact = the_fact(rows, run_id=5)
    assert (fact.others, fact.released, fact.claimed_by) == ((), (), "")


def test_a_claim_of_a_pull_is_none_of_a_deletion(rows: Rows) -> None:
    file_id = rows.file("a")
    rows.copy(file_id, "field", "YN")
    rows.copy(file_id, "one", "YY")
    claim(rows, file_id, "one")
    rows.do("UPDATE sync_claim SET kind = 'pull'")
    assert the_fact(rows).others == ("one",)


def test_claims_on_the_copy_itself_are_read_own_and_expired_ones_separately(rows: Rows) -> None:
    ids = {name: rows.file(name) for name in ("theirs", "ours", "expired")}
    for file_id in ids.values():
        rows.copy(file_id, "field", "MN")
    claim(rows, ids["theirs"], "field")
    claim(rows, ids["ours"], "field", run_id=5, fence=4)
    claim(rows, ids["expired"], "field", expired=True)
    (reading,) = readings(rows, "field", "M", run_id=5)
    assert [fact.claimed_by for fact in reading.facts] == ["there (run 77)", "", ""]
    assert reading.own == {ids["ours"]}
    assert reading.fences == {ids["theirs"]: 3, ids["ours"]: 4, ids["expired"]: 3}


def test_requests_that_are_settled_or_of_others_keep_nothing(rows: Rows) -> None:
    file_id, other = rows.file("a"), rows.file("b")
    rows.copy(file_id, "field", "YN")
    rows.request(file_id, completed=1)
    rows.request(file_id, cancelled=1)
    rows.request(file_id, source="two", group="one")
    rows.request(other)
    fact = the_fact(rows)
    assert (fact.source_of, fact.wanted_by) == (0, 0)


def test_pins_keep_copies_on_their_node_and_as_long_as_they_last(rows: Rows) -> None:
    ids = [rows.file(name) for name in ("here", "elsewhere", "past", "still")]
    for file_id in ids:
        rows.copy(file_id, "field", "YN")
    now = rows.index.now().replace(microsecond=0)
    hour = datetime.timedelta(hours=1)
    for file_id, node_id, until in (
        (ids[0], rows.node["field"], None),
        (ids[1], rows.node["one"], None),
        (ids[2], 0, now - hour),
        (ids[3], 0, now + hour),
    ):
        rows.insert("sync_pin", file_id=file_id, node_id=node_id, pinned=WHEN, until=until)
    assert [bool(fact.pinned) for fact in facts(rows, "field")] == [True, False, False, True]


def test_another_file_at_the_same_path_is_found(rows: Rows) -> None:
    rows.copy(rows.file("b/c"), "field", "YN")
    assert the_fact(rows).same_path == ""
    rows.insert("archiveacq", name="acq/b")
    acq, rows.acq = rows.acq, rows.insert("archiveacq", name="acq/b/c")
    rows.file("c")
    rows.acq = rows.all("SELECT id FROM archiveacq WHERE name = 'acq/b'")[0][0]
    other = rows.file("c")
    rows.acq = acq
    assert the_fact(rows).same_path == ""
    rows.copy(other, "one", "YY")
    assert the_fact(rows).same_path == ""
    rows.copy(other, "field", "MY")
    assert the_fact(rows).same_path == "acq/b"
    rows.do("UPDATE archivefilecopy SET wants_file = 'N' WHERE file_id = ?", other)
    (reading,) = readings(rows, "field", "M")
    assert [fact.same_path for fact in reading.facts] == ["acq"]
    rows.do("UPDATE archivefilecopy SET has_file = 'N' WHERE file_id = ?", other)
    assert the_fact(rows).same_path == ""


@pytest.mark.parametrize("limit", [1, 7, 1000])
def test_every_copy_in_the_state_is_seen_once_in_order(rows: Rows, limit: int) -> None:
    expected = []
    with rows.index.transaction():
        for number in range(60):
            state = ("YN", "YM", "MN", "YY", "XN", "NN")[number % 6]
            copy_id = rows.copy(rows.file(str(number)), "field", state)
            if state == "YN":
                expected.append(copy_id)
    assert [fact.copy_id for fact in facts(rows, "field", limit=limit)] == expected


def test_copies_that_are_claimed_while_pages_are_read_hide_none(rows: Rows) -> None:
    copies = [rows.copy(rows.file(str(number)), "field", "YN") for number in range(20)]
    seen = []
    for reading in readings(rows, "field", limit=3):
        for fact in reading.facts:
            seen.append(fact.copy_id)
            rows.do("UPDATE archivefilecopy SET has_file = 'M' WHERE id = ?", fact.copy_id)
    assert seen == copies


def test_a_page_costs_a_few_statements_whatever_its_length(rows: Rows) -> None:
    with rows.index.transaction():
        for number in range(400):
            file_id = rows.file(str(number))
            rows.copy(file_id, "field", "YN")
            rows.copy(file_id, "one", "YY")
            rows.copy(file_id, "two", "YN")
    costs = []
    for limit in (1, 400):
        with counted() as statements:
            next(readings(rows, "field", limit=limit))
        costs.append(statements.count)
    assert costs[0] == costs[1] <= 11


def test_a_node_with_nothing_released_costs_one_statement(rows: Rows) -> None:
    rows.copy(rows.file("a"), "field", "YY")
    with counted() as statements:
        assert released(rows.index, rows.node["field"]) == {}
    assert statements.count == 1


def test_copies_are_counted_by_state(rows: Rows) -> None:
    for number, state in enumerate(("YN", "YN", "MN", "XN", "NN", "YM", "MY", "YY", "NY")):
        rows.copy(rows.file(str(number)), "field", state)
    node_id = rows.node["field"]
    assert released(rows.index, node_id) == {"Y": 2, "M": 1, "X": 1}
    assert present(rows.index, node_id) == 7
    assert count(rows.index, node_id, "Y", "M") == 1


def test_facts_are_read_again_as_they_are_now(rows: Rows) -> None:
    file_id = rows.file("a")
    copy_id = rows.copy(file_id, "field", "YN")
    rows.copy(file_id, "one", "YY")
    old = facts(rows, "field")
    rows.do("UPDATE archivefilecopy SET wants_file = 'Y' WHERE id = ?", copy_id)
    rows.do("UPDATE archivefilecopy SET has_file = 'X' WHERE node_id = ?", rows.node["one"])
    for lock in (False, True):
        with rows.index.transaction():
            (fact,) = read(rows.index, rows.node["field"], old, 0, Evidence(), lock).facts
            assert (fact.has_file, fact.wants_file, fact.others) == ("Y", "Y", ())


def test_there_are_no_facts_of_a_copy_or_a_node_that_is_gone(rows: Rows) -> None:
    for name in ("a", "b"):
        rows.copy(rows.file(name), "field", "YN")
    old = facts(rows, "field")
    rows.do("DELETE FROM archivefilecopy WHERE id = ?", old[0].copy_id)
    assert read(rows.index, rows.node["field"], old, 0, Evidence()).facts == [old[1]]
    assert read(rows.index, 4711, old, 0, Evidence()).facts == []
    rows.do("UPDATE storagenode SET active = 0 WHERE id = ?", rows.node["field"])
    assert read(rows.index, rows.node["field"], old, 0, Evidence()).facts == []


def test_whether_the_node_is_an_archive_node_is_read_as_well(rows: Rows) -> None:
    rows.copy(rows.file("a"), "field", "YN")
    rows.copy(rows.file("b"), "one", "YN")
    assert [next(readings(rows, name)).archive for name in ("field", "one")] == [
        False,
        True,
    ]


def test_copies_that_are_being_deleted_are_not_read_by_checks(rows: Rows) -> None:
    ids = {name: rows.file(name) for name in ("claimed", "suspect", "elsewhere")}
    for file_id in ids.values():
        rows.copy(file_id, "field", "MN")
    claim(rows, ids["claimed"], "field")
    claim(rows, ids["elsewhere"], "one")
    found = [fact.file_id for facts in checks.pages(rows.index, rows.node["field"], 10) for fact in facts]
    assert found == [ids["suspect"], ids["elsewhere"]]


def plan_of(rows: Rows, sql: str, *values: Any) -> str:
    return "\n".join(str(row[-1]) for row in rows.all(f"EXPLAIN QUERY PLAN {sql}", *values))


def test_sqlite_goes_by_the_file_and_never_through_a_node(sqlite_rows: Rows) -> None:
    from alpenhorn.scan import deletions, same_path

    plans = {
        same_path.THERE.format(marks="?, ?"): (1, 2, "a", "b"),
        deletions.EVERY_COPY.format(marks="?, ?", lock=""): (1, 2),
        deletions.CLAIMS.format(marks="?, ?", by=""): (1, 2),
        deletions.REQUESTS.format(marks="?, ?"): (1, 2, 3, 4),
    }
    for sql, values in plans.items():
        plan = plan_of(sqlite_rows, sql, *values)
        assert "file_id=?" in plan or "acq_id=? AND name=?" in plan, plan
        assert "SCAN" not in plan and "TEMP" not in plan, plan
    by_state = plan_of(sqlite_rows, deletions.COPIES, 1, "Y", "N", 0, 10)
    assert "sync_copy_by_state" in by_state and "TEMP" not in by_state
    assert "COVERING INDEX sync_copy_by_state" in plan_of(sqlite_rows, deletions.RELEASED, 1)
    assert "COVERING INDEX sync_copy_by_state" in plan_of(sqlite_rows, deletions.PRESENT, 1)
