"""Requests are read by priority, and then by id, with the indexes."""

from __future__ import annotations

import pytest

from alpenhorn.edits import priorities as edits
from alpenhorn.record.attempts import Failure, failed
from alpenhorn.record.priorities import tidy
from alpenhorn.record.run import Run
from alpenhorn.scan import priorities
from alpenhorn.scan.priorities import PLAIN, PriorityLevel
from alpenhorn.scan.pulls import PLAIN_LEVEL, REST, _of_level, pages
from tests.fixtures.claims import claim, wanted
from tests.fixtures.rows import Rows
from tests.scan.statements import counted


def order(rows: Rows, limit: int = 2) -> list[int]:
    """The ids of the pending requests into the groups one and two, in the order in which a run reads them."""
    index = rows.index
    groups = (rows.group["two"], rows.group["one"])
    return [
        fact.request_id
        for group_id, level in priorities.turns(index, groups, priorities.last_change(index))
        for page in pages(index, group_id, limit, 0, index.now(), level=level)
        for fact in page
    ]


def prioritise(rows: Rows, ids: list[int], priority: int) -> int:
    return edits.prioritise_selection(rows.index, edits.by_ids(ids), priority)


def test_urgent_requests_come_first_and_within_a_priority_the_order_stays(rows: Rows) -> None:
    requests = [rows.request(rows.file(str(n)), group="two" if n % 3 == 0 else "one") for n in range(12)]
    into_two = [one for n, one in enumerate(requests) if n % 3 == 0]
    into_one = [one for n, one in enumerate(requests) if n % 3]
    assert order(rows) == into_one + into_two
    assert priorities.turns(rows.index, (2, 1), None) == [(1, PLAIN), (2, PLAIN)]
    assert prioritise(rows, [requests[9], requests[11], requests[5]], 7) == 3
    assert prioritise(rows, [requests[6]], 9) == 1
    assert prioritise(rows, [requests[1]], -2) == 1
    first = [requests[6], requests[5], requests[11], requests[9]]
    rest = [one for one in into_one + into_two if one not in {*first, requests[1]}]
    assert order(rows) == [*first, *rest, requests[1]]
    # A priority may be changed, and taken away.
    assert prioritise(rows, requests, 0) == 12
    assert order(rows) == into_one + into_two and rows.all("SELECT * FROM sync_priority") == []


def test_a_change_is_noticed_and_finished_requests_lose_their_priority(rows: Rows) -> None:
    done, open_ = rows.request(rows.file("a")), rows.request(rows.file("b"))
    assert priorities.last_change(rows.index) is None
    prioritise(rows, [done, open_], 1)
    before = priorities.last_change(rows.index)
    assert before is not None
    rows.do("UPDATE archivefilecopyrequest SET completed = 1 WHERE id = ?", done)
    assert order(rows) == [open_]
    assert prioritise(rows, [done], 5) == 0 and priorities.last_change(rows.index) == before
    tidy(rows.index, rows.group.values())
    assert rows.all("SELECT request_id FROM sync_priority") == [(open_,)]
    prioritise(rows, [open_], 5)
    assert priorities.last_change(rows.index) != before


def test_a_fact_of_an_urgent_request_holds_all_that_others_do(rows: Rows, run: Run) -> None:
    """Whatever the level, the other tables are read for the same requests."""
    found = []
    for priority in (0, 3, 0):
        file_id = rows.file(str(len(found)))
        request_id = rows.request(file_id)
        rows.copy(file_id, "field", "YY")
        rows.copy(file_id, "one", "XY")
        failed(rows.index, run, "pull", [Failure(request_id, "network", "refused")])
        claim(rows.index, run, [wanted(rows, request_id, file_id)])
        if priority:
            prioritise(rows, [request_id], priority)
        (group_id, level), *_ = priorities.turns(rows.index, [rows.group["one"]], "changed")
        ((fact,),) = (
            [one for one in page if one.request_id == request_id]
            for page in pages(
                rows.index, group_id, 100, 0, rows.index.now(), level=PriorityLevel(priority, level.mixed)
            )
        )
        assert fact.priority == priority and fact.claimed_by == f"here (run {run.id})"
        found.append(
            (fact.source_has, fact.at_group, fact.attempt and fact.attempt.error, fact.claimed_by, fact.found)
        )
    assert found[0] == found[1] == found[2]


def test_a_page_costs_the_same_statements_at_each_level(rows: Rows) -> None:
    with rows.index.transaction():
        requests = [rows.request(rows.file(str(n))) for n in range(400)]
    prioritise(rows, requests[::2], 1)
    costs = []
    for level in (PLAIN, PriorityLevel(0, True), PriorityLevel(1, True)):
        with counted() as statements:
            next(pages(rows.index, rows.group["one"], 100, 0, rows.index.now(), level=level))
        costs.append(statements.count)
    assert len(set(costs)) == 1


def explained(rows: Rows, sql: str, values: tuple[object, ...]) -> list[str]:
    """The tables in the order in which the engine reads them, each with the index."""
    if rows.index.dialect.in_a_file:
        return [str(row[3]) for row in rows.index.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
    return [
        f"{row[2]} {row[5]} {row[-1]}".replace("filesort", "TEMP B-TREE")
        for row in rows.index.execute(f"EXPLAIN {sql}", values)
    ]


@pytest.mark.parametrize("statement", ["requests", "at_group", "attempts", "claims"])
def test_a_level_is_read_with_the_index_on_priorities(rows: Rows, statement: str) -> None:
    with rows.index.transaction():
        requests = [rows.request(rows.file(str(n))) for n in range(2000)]
    prioritise(rows, requests[-5:], 1)
    if not rows.index.dialect.in_a_file:
        rows.index.execute("ANALYZE TABLE archivefilecopyrequest, sync_priority").fetchall()
    sql = getattr(_of_level(rows.index.dialect.lookup_join), statement)
    before = (0, rows.index.now()) if statement == "claims" else ()
    end = (0, 100) if statement == "requests" else (0, 10**6)
    found = explained(rows, sql, (*before, rows.group["one"], 1, *end))
    about_priorities = next(
        line for line in found if line.split()[:2] != ["USE", "TEMP"] and " p" in f" {line}"
    )
    assert "sync_priority_group_id_priority_request_id" in about_priorities, found
    found = [
        line for line in found if line != "SCAN sync_retirement"
    ]  # once in a statement, and few nodes are retired
    assert not any(line.startswith("SCAN") or "TEMP B-TREE" in line for line in found), found
    assert not any("sync_request_by_group" in line for line in found), found


def test_the_rest_is_read_in_the_order_of_ids(rows: Rows) -> None:
    with rows.index.transaction():
        requests = [rows.request(rows.file(str(n))) for n in range(2000)]
    prioritise(rows, requests[:5], 1)
    values = (rows.group["one"], 0, 100)
    plain, rest = (explained(rows, sql.requests, values) for sql in (PLAIN_LEVEL, REST))
    assert plain[0] == rest[0] and "group_to_id" in rest[0], rest
    assert not any("TEMP B-TREE" in line for line in rest), rest
