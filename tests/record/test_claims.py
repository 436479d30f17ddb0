from __future__ import annotations

import datetime
import multiprocessing
from collections import Counter
from multiprocessing.synchronize import Barrier
from typing import Any

import pytest

from alpenhorn.index.connection import Index
from alpenhorn.model.deletions import DeletionFact, Evidence
from alpenhorn.model.nodes import NodeFact
from alpenhorn.plan.pulls import PullDecision
from alpenhorn.record import deletions
from alpenhorn.record.claims import LEASE, drop_dead, held_claims, release, renew
from alpenhorn.record.run import Run
from alpenhorn.scan import deletions as scan_deletions
from tests.fixtures.claims import claim, wanted, wanted_from_other
from tests.fixtures.rows import THERE, WHEN, Rows
from tests.fixtures.seen import mark_seen

pytestmark = pytest.mark.cluster

ROUNDS = 40
FILES = 20


def expire(rows: Rows) -> None:
    rows.do("UPDATE sync_claim SET expires = ?", rows.index.now() - datetime.timedelta(seconds=1))


def test_a_claim_is_granted_once_and_to_its_holder_again(rows: Rows, run: Run) -> None:
    file_id = rows.file("a")
    request_id = rows.request(file_id)
    other = rows.begin(THERE)
    assert claim(rows.index, run, [wanted(rows, request_id, file_id)]) == {request_id: 1}
    assert claim(rows.index, run, [wanted(rows, request_id, file_id)]) == {request_id: 1}
    assert claim(rows.index, other, [wanted(rows, request_id, file_id, "one_too")]) == {}
    assert rows.claims() == [(file_id, rows.group["one"], run.id)]


def test_two_requests_for_one_file_are_one_claim(rows: Rows, run: Run) -> None:
    file_id = rows.file("a")
    first, second = rows.request(file_id), rows.request(file_id, source="two")
    other = rows.begin(THERE)
    assert claim(rows.index, run, [wanted(rows, first, file_id)]) == {first: 1}
    assert claim(rows.index, other, [wanted(rows, second, file_id)]) == {}


def test_a_file_pulled_by_another_request_is_not_granted(rows: Rows, run: Run) -> None:
    file_id, other = rows.file("a"), rows.file("b")
    requests = {file: rows.request(file) for file in (file_id, other)}
    rows.copy(file_id, "one_too", "YY")
    rows.copy(other, "one_too", "XY")
    both = [wanted(rows, request_id, file) for file, request_id in requests.items()]
    assert claim(rows.index, run, both) == {requests[other]: 1}
    assert rows.claims() == [(other, rows.group["one"], run.id)]


def test_another_group_is_another_claim(rows: Rows, run: Run) -> None:
    file_id = rows.file("a")
    first, second = rows.request(file_id), rows.request(file_id, group="two")
    other = rows.begin(THERE)
    claim(rows.index, run, [wanted(rows, first, file_id)])
    into_two = wanted(rows, second, file_id, "two")
    assert claim(rows.index, other, [into_two]) == {second: 1}


def test_completed_requests_are_not_granted_and_leave_no_claim(rows: Rows, run: Run) -> None:
    done, cancelled, pending = rows.file("a"), rows.file("b"), rows.file("c")
    some = [
        wanted(rows, rows.request(done, completed=1), done),
        wanted(rows, rows.request(cancelled, cancelled=1), cancelled),
        wanted(rows, 99_999, 99_999),
        wanted(rows, rows.request(pending), pending),
    ]
    assert claim(rows.index, run, some) == {some[-1].fact.request_id: 1}
    assert rows.claims() == [(pending, rows.group["one"], run.id)]


def test_claim_without_requests_grants_nothing(rows: Rows, run: Run) -> None:
    assert claim(rows.index, run, []) == {}


def test_a_lease_that_ran_out_is_taken_over_with_its_reservation(rows: Rows, run: Run) -> None:
    file_id = rows.file("a")
    request_id = rows.request(file_id)
    other = rows.begin(THERE)
    claim(rows.index, run, [wanted(rows, request_id, file_id)])
    expire(rows)
    assert claim(rows.index, other, [wanted(rows, request_id, file_id, "one_too")]) == {request_id: 2}
    assert rows.all("SELECT run_id, host, node_id, fence FROM sync_claim") == [
        (other.id, THERE, rows.node["one_too"], 2)
    ]
    renew(rows.index, run)
    release(rows.index, run, rows.group["one"], [file_id])
    assert rows.claims() == [(file_id, rows.group["one"], other.id)]
    assert claim(rows.index, run, [wanted(rows, request_id, file_id)]) == {}


def test_held_claims_are_recognized_by_run_and_fence(rows: Rows, run: Run) -> None:
    """A claim that was taken over, released, and claimed again by the first run is another claim."""
    ids = [rows.file(name) for name in "ab"]
    some = [wanted(rows, rows.request(file_id), file_id) for file_id in ids]
    group = rows.group["one"]
    granted = claim(rows.index, run, some)
    fences = {want.fact.file_id: granted[want.fact.request_id] for want in some}
    with rows.index.transaction():
        assert held_claims(rows.index, run, "pull", group, fences) == set(ids)
        assert held_claims(rows.index, run, "delete", group, fences) == set()
        assert held_claims(rows.index, run, "pull", group + 1, fences) == set()
        assert held_claims(rows.index, run, "pull", group, {}) == set()
    expire(rows)
    other = rows.begin(THERE)
    claim(rows.index, other, some[:1])
    rows.do("UPDATE sync_claim SET run_id = ? WHERE run_id = ?", run.id, other.id)
    with rows.index.transaction():
        assert held_claims(rows.index, run, "pull", group, fences) == {ids[1]}


def test_renewing_returns_the_number_of_expired_leases(rows: Rows, run: Run) -> None:
    some = [wanted(rows, rows.request(file_id), file_id) for file_id in map(rows.file, "ab")]
    claim(rows.index, run, some)
    assert renew(rows.index, run) == 0
    rows.do(
        "UPDATE sync_claim SET expires = ? WHERE file_id = ?",
        rows.index.now() - datetime.timedelta(seconds=1),
        some[0].fact.file_id,
    )
    assert renew(rows.index, run) == 1
    assert renew(rows.index, run) == 0


def test_a_renewed_lease_is_not_taken_over(rows: Rows, run: Run) -> None:
    file_id = rows.file("a")
    request_id = rows.request(file_id)
    claim(rows.index, run, [wanted(rows, request_id, file_id)])
    expire(rows)
    renew(rows.index, run)
    assert claim(rows.index, rows.begin(THERE), [wanted(rows, request_id, file_id)]) == {}
    ((expires,),) = rows.all("SELECT expires FROM sync_claim")
    left = datetime.datetime.fromisoformat(str(expires)) - rows.index.now()
    assert LEASE / 2 < left <= LEASE


def test_leases_are_judged_by_the_servers_clock_and_not_by_the_hosts(rows: Rows, run: Run) -> None:
    """The clocks of runs in these tests are fixed, years away."""
    file_id = rows.file("a")
    request_id = rows.request(file_id)
    late = Run(run.id + 1, THERE, lambda: WHEN + datetime.timedelta(days=9999))
    claim(rows.index, run, [wanted(rows, request_id, file_id)])
    assert claim(rows.index, late, [wanted(rows, request_id, file_id)]) == {}


def test_claims_of_dead_runs_on_our_nodes_are_dropped_and_no_others(rows: Rows) -> None:
    dead, elsewhere, ours = rows.begin(), rows.begin(THERE), rows.begin()
    files = [rows.file(name) for name in "abc"]
    requests = [rows.request(file_id) for file_id in files]
    claim(rows.index, dead, [wanted(rows, requests[0], files[0])])
    claim(rows.index, elsewhere, [wanted(rows, requests[1], files[1], "one_too")])
    claim(rows.index, ours, [wanted(rows, requests[2], files[2])])
    assert drop_dead(rows.index, ours, [rows.node["one"], rows.node["two"]]) == 1
    assert [row[2] for row in rows.claims()] == [elsewhere.id, ours.id]


# --- two hosts at once ---------------------------------------------------------------------------------


def _race(
    url: str, run_id: int, node: NodeFact, plan: list[list[PullDecision]], barrier: Barrier, answers: Any
) -> None:
    index = Index.open(url)
    run = Run(run_id, f"host{run_id}", lambda: WHEN)
    granted: list[int] = []
    for page in plan:
        barrier.wait(60)
        granted += claim(index, run, [want._replace(node=node) for want in page])
    answers.put((run_id, granted))
    index.close()


def test_two_processes_that_claim_the_same_files_get_each_file_once(
    index: Index, index_url: str, rows: Rows
) -> None:
    with index.transaction():
        files = [rows.file(str(number)) for number in range(ROUNDS * FILES)]
        requests = [rows.request(file_id) for file_id in files]
    everything = [wanted(rows, *pair) for pair in zip(requests, files, strict=True)]
    pages = [everything[start : start + FILES] for start in range(0, len(everything), FILES)]
    context = multiprocessing.get_context("fork")
    barrier, answers = context.Barrier(2), context.SimpleQueue()
    racers = [
        context.Process(
            target=_race,
            args=(index_url, run_id, rows.fact(node), [page[::step] for page in pages], barrier, answers),
        )
        for run_id, node, step in ((101, "one", 1), (102, "one_too", -1))
    ]
    for racer in racers:
        racer.start()
    granted = dict(answers.get() for _ in racers)
    for racer in racers:
        racer.join()
    assert Counter(granted[101]) + Counter(granted[102]) == Counter(requests)
    assert {row[2] for row in rows.claims()} <= {101, 102}


def keeper(rows: Rows, name: str = "three") -> None:
    """Add an archive node, whose copies allow the deletion of others."""
    group = rows.insert("storagegroup", name=name)
    columns = ("root", "host_id", "active", "auto_import", "auto_verify", "archive", "min_avail_gb")
    selected = ", ".join(columns)
    rows.do(
        f"INSERT INTO storagenode (name, group_id, {selected})"
        f" SELECT ?, ?, {selected} FROM storagenode WHERE name = 'two'",
        name,
        group,
    )
    ((rows.node[name],),) = rows.all("SELECT id FROM storagenode WHERE name = ?", name)
    mark_seen(rows.index, rows.node[name])


def test_a_pull_from_another_source_is_granted_while_its_copy_is_good(rows: Rows, run: Run) -> None:
    for state, granted in (("YY", True), ("YN", True), ("MN", False), ("XY", False), ("NN", False)):
        file_id = rows.file(state)
        copy_id = rows.copy(file_id, "two", state)
        request_id = rows.request(file_id)
        want = wanted_from_other(rows, request_id, file_id, copy_id, "two")
        assert bool(claim(rows.index, run, [want])) is granted, state
        held = rows.all("SELECT source_id FROM sync_claim WHERE file_id = ?", file_id)
        assert held == ([(rows.node["two"],)] if granted else [])
    gone = wanted_from_other(rows, rows.request(file_id), file_id, 4711, "two")
    assert claim(rows.index, run, [gone]) == {}


def test_a_claim_that_is_taken_over_names_the_source_of_the_new_run(rows: Rows, run: Run) -> None:
    file_id = rows.file("a")
    copy_id, request_id = rows.copy(file_id, "two", "YY"), rows.request(file_id)
    claim(rows.index, run, [wanted(rows, request_id, file_id)])
    expire(rows)
    claim(
        rows.index,
        run._replace(id=run.id + 1),
        [wanted_from_other(rows, request_id, file_id, copy_id, "two")],
    )
    assert rows.all("SELECT run_id, source_id, fence FROM sync_claim") == [(run.id + 1, rows.node["two"], 2)]


def _claim_pulls(url: str, pulls: list[list[PullDecision]], barrier: Barrier, answers: Any) -> None:
    index = Index.open(url)
    run = Run(101, "host101", lambda: WHEN)
    granted: list[int] = []
    for page in pulls:
        barrier.wait(60)
        ids = {want.fact.request_id: want.fact.file_id for want in page}
        granted += [ids[request_id] for request_id in claim(index, run, page)]
    answers.put(("pull", granted))
    index.close()


def _claim_deletions(
    url: str, node: NodeFact, copies: list[list[DeletionFact]], barrier: Barrier, answers: Any
) -> None:
    index = Index.open(url)
    run = Run(102, "host102", lambda: WHEN)
    granted: list[int] = []
    for page in copies:
        barrier.wait(60)
        decided = deletions.claim(index, run, node, page, Evidence(minimum=1), 1e9)
        granted += [fact.file_id for fact, _ in decided.granted]
    answers.put(("delete", granted))
    index.close()


def test_of_a_deletion_and_a_pull_that_takes_the_copy_as_another_source_one_is_granted(
    index: Index, index_url: str, rows: Rows
) -> None:
    keeper(rows)
    with index.transaction():
        files = [rows.file(str(number)) for number in range(ROUNDS * FILES)]
        copies = {file_id: rows.copy(file_id, "two", "YN") for file_id in files}
        for file_id in files:
            rows.copy(file_id, "three", "YY")
        requests = {file_id: rows.request(file_id) for file_id in files}
    pulls = [wanted_from_other(rows, requests[one], one, copies[one], "two") for one in files]
    (facts,) = scan_deletions.pages(index, rows.node["two"], "Y", "N", len(files))
    pages = range(0, len(files), FILES)
    context = multiprocessing.get_context("fork")
    barrier, answers = context.Barrier(2), context.SimpleQueue()
    racers = [
        context.Process(
            target=_claim_pulls,
            args=(index_url, [pulls[start : start + FILES] for start in pages], barrier, answers),
        ),
        context.Process(
            target=_claim_deletions,
            args=(
                index_url,
                rows.fact("two"),
                [facts[start : start + FILES] for start in pages],
                barrier,
                answers,
            ),
        ),
    ]
    for racer in racers:
        racer.start()
    granted = dict(answers.get() for _ in racers)
    for racer in racers:
        racer.join()
    assert not set(granted["pull"]) & set(granted["delete"])
    assert sorted(granted["pull"] + granted["delete"]) == sorted(files)


def _pull(
    url: str, run_id: int, node: NodeFact, plan: list[PullDecision], barrier: Barrier, answers: Any
) -> None:
    """Claim, "pull" and settle one file after the other, as fast as possible."""
    index = Index.open(url)
    run = Run(run_id, f"host{run_id}", lambda: WHEN)
    pulled: list[int] = []

    def settle(request_id: int, want: PullDecision) -> None:
        index.execute("UPDATE archivefilecopyrequest SET completed = 1 WHERE id = ?", (request_id,))
        release(index, run, want.fact.group_to_id, [want.fact.file_id])

    for want in plan:
        barrier.wait(60)
        for request_id in claim(index, run, [want._replace(node=node)]):
            pulled.append(request_id)
            index.retry(lambda request_id=request_id, want=want: settle(request_id, want))  # type: ignore[misc]
    answers.put(pulled)
    index.close()


def test_a_request_that_another_host_has_just_completed_is_not_granted_again(
    index: Index, index_url: str, rows: Rows
) -> None:
    """The claim waits for the transaction that completes the request and releases the other claim."""
    with index.transaction():
        files = [rows.file(str(number)) for number in range(300)]
        plan = [wanted(rows, rows.request(file_id), file_id) for file_id in files]
    context = multiprocessing.get_context("fork")
    barrier, answers = context.Barrier(2), context.SimpleQueue()
    racers = [
        context.Process(target=_pull, args=(index_url, run_id, rows.fact(node), plan, barrier, answers))
        for run_id, node in ((101, "one"), (102, "one_too"))
    ]
    for racer in racers:
        racer.start()
    pulled = Counter([*answers.get(), *answers.get()])
    for racer in racers:
        racer.join()
    assert pulled == Counter(want.fact.request_id for want in plan)
