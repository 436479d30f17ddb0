from __future__ import annotations

import datetime
import random

import pytest

from alpenhorn.model.pulls import PullFact
from alpenhorn.model.tasks import Blame
from alpenhorn.record.attempts import Failure, failed
from alpenhorn.record.copies import once_good
from alpenhorn.record.run import Run, events
from alpenhorn.scan.pulls import page, pages, pending_total, reserved_by_others
from tests.fixtures.claims import claim, wanted
from tests.fixtures.rows import MD5, Rows
from tests.scan.statements import counted


def facts(rows: Rows, group: str = "one", run_id: int = 0, limit: int = 100) -> list[PullFact]:
    found = pages(rows.index, rows.group[group], limit, run_id, rows.index.now())
    return [fact for some in found for fact in some]


def test_a_fact_holds_all_that_decides_a_pull(rows: Rows, run: Run) -> None:
    file_id = rows.file("dir/a", size_b=2**40)
    rows.copy(file_id, "field", "YN")
    rows.copy(file_id, "one", "XY")
    rows.copy(file_id, "one_too", "NN")
    rows.copy(file_id, "two", "MY")
    request_id = rows.request(file_id)
    (fact,) = facts(rows)
    assert fact == PullFact(
        request_id,
        file_id,
        "acq",
        "dir/a",
        2**40,
        MD5,
        rows.node["field"],
        "Y",
        True,
        rows.group["one"],
        fact.at_group,
        found=((rows.node["one"], ""),),
    )
    assert set(fact.at_group) == {(rows.node["one"], "X"), (rows.node["one_too"], "N")}


def test_pull_fact_names_corrupt_copies_that_were_good_and_what_was_found_of_the_others(
    rows: Rows, run: Run
) -> None:
    once, never = rows.file("once"), rows.file("never")
    for file_id in (once, never):
        for node in ("one", "one_too", "two"):
            rows.copy(file_id, node, "XY")
        rows.request(file_id)
    once_good(rows.index, rows.node["one"], [once])
    for node, why in (("one", "an older reason"), ("one", "its MD5 sum is 1"), ("two", "another node")):
        events(rows.index, run, "corrupt", [(never, rows.node[node], why), (once, rows.node[node], why)])
    first, second = facts(rows)
    assert first.once_good == (rows.node["one"],)
    assert first.found == ((rows.node["one_too"], ""),)
    assert second.once_good == ()
    assert sorted(second.found) == [(rows.node["one"], "its MD5 sum is 1"), (rows.node["one_too"], "")]


def test_another_file_at_the_same_path_on_a_node_of_the_group_is_told(rows: Rows) -> None:
    file_id = rows.file("dir/a")
    rows.request(file_id)
    inner = rows.insert("archiveacq", name="acq/dir")
    other = rows.insert(
        "archivefile", acq_id=inner, name="a", size_b=1, md5sum=MD5, registered="2026-01-01 00:00:00"
    )
    rows.copy(other, "two", "YY")
    assert facts(rows)[0].same_path == ()
    for node, state in (("one", "NN"), ("one_too", "MY")):
        rows.copy(other, node, state)
    assert facts(rows)[0].same_path == ((rows.node["one_too"], "acq/dir"),)
    rows.do("UPDATE archivefilecopy SET has_file = 'Y' WHERE file_id = ?", other)
    assert sorted(facts(rows)[0].same_path) == [
        (rows.node["one"], "acq/dir"),
        (rows.node["one_too"], "acq/dir"),
    ]


def test_missing_values_are_none(rows: Rows) -> None:
    file_id = rows.file("a", size_b=None, md5sum=None)
    rows.request(file_id)
    (fact,) = facts(rows)
    assert (fact.size_b, fact.md5sum, fact.source_has, fact.at_group) == (None, None, None, ())
    assert (fact.attempt, fact.claimed_by) == (None, None)


def test_a_request_for_a_file_that_is_gone_is_still_a_fact(sqlite_rows: Rows) -> None:
    """Only SQLite, without enforced foreign keys, can have one."""
    sqlite_rows.request(4711, source="field")
    (fact,) = facts(sqlite_rows)
    assert (fact.acq, fact.name, fact.size_b, fact.md5sum) == (None, None, None, None)


def test_attempts_and_claims_are_read(rows: Rows, run: Run) -> None:
    file_id = rows.file("a")
    request_id = rows.request(file_id)
    failed(rows.index, run, "pull", [Failure(request_id, Blame.NETWORK, "refused")])
    failed(rows.index, run, "check", [Failure(request_id, Blame.SOURCE, "another kind")])
    claim(rows.index, run, [wanted(rows, request_id, file_id)])
    (fact,) = facts(rows)
    assert fact.attempt is not None
    assert (fact.attempt.tries, fact.attempt.blame, fact.attempt.error) == (1, "network", "refused")
    assert 60 <= fact.attempt.next - fact.attempt.last <= 120
    assert fact.claimed_by == f"here (run {run.id})"
    (own,) = facts(rows, run_id=run.id)
    assert own.claimed_by is None


def test_a_claim_on_the_file_into_another_group_or_one_that_ran_out_is_none(rows: Rows, run: Run) -> None:
    file_id = rows.file("a")
    into_two = rows.request(file_id, group="two")
    rows.request(file_id)
    claim(rows.index, run, [wanted(rows, into_two, file_id, "two")])
    assert facts(rows)[0].claimed_by is None
    assert facts(rows, "two")[0].claimed_by
    rows.do("UPDATE sync_claim SET expires = ?", rows.index.now() - datetime.timedelta(seconds=1))
    assert facts(rows, "two")[0].claimed_by is None


@pytest.mark.parametrize("limit", [1, 7, 1000])
def test_every_pending_request_is_seen_once_in_order_among_many_that_are_not(rows: Rows, limit: int) -> None:
    rng = random.Random(limit)
    file_ids = [rows.file(str(number)) for number in range(40)]
    pending = []
    with rows.index.transaction():
        for request_id in sorted(rng.sample(range(1, 100_000), 200)):
            completed, cancelled = rng.choice([(0, 0), (1, 0), (0, 1), (1, 1)])
            group = rng.choice(["one", "two"])
            rows.insert(
                "archivefilecopyrequest",
                id=request_id,
                file_id=rng.choice(file_ids),
                node_from_id=rows.node["field"],
                group_to_id=rows.group[group],
                completed=completed,
                cancelled=cancelled,
            )
            if (group, completed, cancelled) == ("one", 0, 0):
                pending.append(request_id)
        for file_id in file_ids[::3]:
            rows.copy(file_id, "one", "NY")
            rows.copy(file_id, "one_too", "XY")
    found = facts(rows, limit=limit)
    assert [fact.request_id for fact in found] == pending
    assert all(len(fact.at_group) == (2 if fact.file_id in file_ids[::3] else 0) for fact in found)


def test_requests_that_are_settled_while_the_pages_are_read_hide_none(rows: Rows) -> None:
    file_ids = [rows.file(str(number)) for number in range(20)]
    requests = [rows.request(file_id) for file_id in file_ids]
    seen = []
    for some in pages(rows.index, rows.group["one"], 3, 0, rows.index.now()):
        seen += [fact.request_id for fact in some]
        for fact in some:
            rows.do("UPDATE archivefilecopyrequest SET completed = 1 WHERE id = ?", fact.request_id)
    assert seen == requests


def test_a_page_costs_the_same_number_of_statements_whatever_its_length(rows: Rows, run: Run) -> None:
    with rows.index.transaction():
        for number in range(300):
            file_id = rows.file(str(number))
            rows.copy(file_id, "field", "YY")
            rows.copy(file_id, "one", "XY")
            request_id = rows.request(file_id)
            failed(rows.index, run, "pull", [Failure(request_id, Blame.NETWORK, "no")])
    costs = []
    for limit in (1, 300):
        now = rows.index.now()
        with counted() as statements:
            assert len(page(rows.index, rows.group["one"], 0, limit, 0, now)) == limit
        costs.append(statements.count)
    assert costs[0] == costs[1] <= 6


def test_an_empty_page_costs_one_statement(rows: Rows) -> None:
    now = rows.index.now()
    with counted() as statements:
        assert page(rows.index, rows.group["one"], 0, 100, 0, now) == []
    assert statements.count == 1


def test_the_total_of_what_is_pending(rows: Rows) -> None:
    for name, size_b in (("a", 2**40), ("b", 5), ("c", None)):
        rows.request(rows.file(name, size_b=size_b))
    rows.request(rows.file("done"), completed=1)
    rows.request(rows.file("two"), group="two")
    assert pending_total(rows.index, [rows.group["one"]]) == (3, 2**40 + 5)
    assert pending_total(rows.index, [rows.group["one"], rows.group["two"]]) == (4, 2**40 + 15)
    assert pending_total(rows.index, [rows.group["field"]]) == (0, 0)


def test_reserved_bytes_are_those_of_live_claims_of_other_runs(rows: Rows, run: Run) -> None:
    other = rows.begin()
    for number, holder in enumerate((run, other, other)):
        file_id = rows.file(str(number))
        claim(rows.index, holder, [wanted(rows, rows.request(file_id), file_id, reserved_b=10**12)])
    now = rows.index.now()
    nodes = [rows.node["one"], rows.node["two"]]
    assert reserved_by_others(rows.index, nodes, run.id, now) == {rows.node["one"]: 2 * 10**12}
    assert reserved_by_others(rows.index, [rows.node["two"]], run.id, now) == {}
    assert reserved_by_others(rows.index, nodes, run.id, now + datetime.timedelta(hours=1)) == {}
