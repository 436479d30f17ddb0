from __future__ import annotations

import datetime
import itertools
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.synchronize import Barrier
from typing import Any

import pytest

from alpenhorn.index.connection import Index
from alpenhorn.index.schema import create
from alpenhorn.model.deletions import DeleteFile, DeleteResult, DeletionFact, Evidence
from alpenhorn.model.nodes import NodeFact
from alpenhorn.model.tasks import Verdict
from alpenhorn.record.attempts import Failure, failed
from alpenhorn.record.claims import drop_dead
from alpenhorn.record.copies import once_good
from alpenhorn.record.deletions import CHANGED, claim, decide_all, settle, write_claims
from alpenhorn.record.run import Run
from alpenhorn.scan.deletions import pages, read
from alpenhorn.scan.pulls import reserved_by_others
from tests.fixtures.racing import racing
from tests.fixtures.rows import THERE, WHEN, Rows

pytestmark = pytest.mark.cluster

NOW = WHEN.replace(tzinfo=datetime.UTC).timestamp()
EVIDENCE = Evidence()
ARCHIVES = ("one", "one_too", "two")


@pytest.fixture
def mariadb_rows(mariadb_index_url: str) -> Iterator[Rows]:
    index = Index.open(mariadb_index_url)
    create(index)
    yield Rows(index)
    index.close()


def scanned(index: Index, node: NodeFact, run: Run) -> list[DeletionFact]:
    return [
        fact
        for has, wants in itertools.product("MXY", "NM")
        for copies in pages(index, node.id, has, wants, 1000)
        for fact in read(index, node.id, copies, run.id, EVIDENCE).facts
    ]


def claimed(rows: Rows, run: Run, node: str = "field") -> list[DeletionFact]:
    """Claim all copies on the node that may be deleted."""
    at = rows.fact(node)
    decided = claim(rows.index, run, at, scanned(rows.index, at, run), EVIDENCE, NOW)
    return [fact for fact, _ in decided.granted]


def spread(rows: Rows, name: str = "a", state: str = "YN", others: str = "YY") -> int:
    """A file with a copy on field that was once good, and good copies on two archive nodes."""
    file_id = rows.file(name)
    rows.copy(file_id, "field", state)
    once_good(rows.index, rows.node["field"], [file_id])
    for node in ("one", "two"):
        rows.copy(file_id, node, others)
    return file_id


def files_of(facts: list[DeletionFact]) -> list[DeleteFile]:
    return [
        DeleteFile(fact.copy_id, fact.file_id, f"{fact.acq}/{fact.name}", fact.size_b, fact.has_file)
        for fact in facts
    ]


def fences(rows: Rows, run: Run, facts: Sequence[DeletionFact]) -> dict[int, int]:
    """The claims of the run that no other run has."""
    given = dict(rows.all("SELECT file_id, fence FROM sync_claim WHERE run_id = ?", run.id))
    return {fact.file_id: given.get(fact.file_id, 1) for fact in facts}


def ended(
    rows: Rows,
    run: Run,
    facts: list[DeletionFact],
    verdict: Verdict,
    error: str = "",
    node: str = "field",
    blame: str = "unknown",
) -> None:
    results = [DeleteResult(file, verdict, error=error) for file in files_of(facts)]
    why = {fact.copy_id: "released" for fact in facts}
    settle(rows.index, run, rows.fact(node), results, [], why, blame, fences(rows, run, facts))


def test_a_claimed_copy_is_suspect_and_its_claim_reserves_nothing(rows: Rows, run: Run) -> None:
    file_id = spread(rows)
    (fact,) = claimed(rows, run)
    assert fact.has_file == "Y"
    assert rows.state(file_id, "field") == "MN"
    row = rows.all(
        "SELECT kind, file_id, target_id, node_id, reserved_b, host, run_id, fence FROM sync_claim"
    )
    field = rows.node["field"]
    assert row == [("delete", file_id, field, field, 0, "here", run.id, 1)]
    assert reserved_by_others(rows.index, [field], 0, rows.index.now()) in ({}, {field: 0})


def test_copies_are_granted_or_refused_with_the_reason(rows: Rows, run: Run) -> None:
    fine, poor = spread(rows, "fine"), rows.file("poor")
    rows.copy(poor, "field", "YN")
    rows.copy(poor, "one", "YY")
    node = rows.fact("field")
    decided = claim(rows.index, run, node, scanned(rows.index, node, run), EVIDENCE, NOW)
    assert [(fact.file_id, why) for fact, why in decided.granted] == [
        (fine, "released; good archive copies are on one, two")
    ]
    ((refused, why_not),) = decided.refused
    assert refused.file_id == poor and "has 1" in why_not
    assert rows.state(poor, "field") == "YN"
    assert rows.claims() == [(fine, rows.node["field"], run.id)]


def test_no_more_are_claimed_than_are_asked_for(rows: Rows, run: Run) -> None:
    poor = rows.file("poor")
    rows.copy(poor, "field", "YN")
    ids = [spread(rows, str(number)) for number in range(4)]
    node = rows.fact("field")
    decided = claim(rows.index, run, node, scanned(rows.index, node, run), EVIDENCE, NOW, most=2)
    assert [fact.file_id for fact, _ in decided.granted] == ids[:2]
    assert [fact.file_id for fact, _ in decided.refused] == [poor]
    assert [rows.state(file_id, "field") for file_id in ids] == ["MN", "MN", "YN", "YN"]


def test_copies_are_claimed_unlooked_at_as_they_are_now(rows: Rows, run: Run) -> None:
    file_id, poor = spread(rows), rows.file("poor")
    rows.copy(poor, "field", "YN")
    node = rows.fact("field")
    (copies,) = pages(rows.index, node.id, "Y", "N", 100)
    decided = claim(rows.index, run, node, copies, EVIDENCE, NOW)
    assert [(fact.file_id, why) for fact, why in decided.granted] == [
        (file_id, "released; good archive copies are on one, two")
    ]
    assert [fact.file_id for fact, _ in decided.refused] == [poor]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE archivefilecopy SET wants_file = 'Y' WHERE node_id = {field}",
        "UPDATE archivefilecopy SET wants_file = 'M' WHERE node_id = {field}",
        "UPDATE archivefilecopy SET has_file = 'N' WHERE node_id = {field}",
        "UPDATE archivefilecopy SET has_file = 'M' WHERE node_id = {field}",
        "UPDATE archivefilecopy SET has_file = 'X' WHERE node_id = {one}",
        "UPDATE archivefilecopy SET wants_file = 'N' WHERE node_id = {one}",
        "UPDATE storagenode SET active = 0 WHERE id = {one}",
        "UPDATE storagenode SET archive = 0 WHERE id = {one}",
        "UPDATE storagenode SET active = 0 WHERE id = {field}",
        "DELETE FROM archivefilecopy WHERE node_id = {one}",
        "DELETE FROM archivefilecopy WHERE node_id = {field}",
        "INSERT INTO sync_pin (file_id, node_id, pinned) VALUES ({file}, 0, '2026-01-01 00:00:00')",
        "INSERT INTO archivefilecopyrequest (file_id, group_to_id, node_from_id, completed, cancelled)"
        " VALUES ({file}, {group}, {field}, 0, 0)",
    ],
)
def test_claim_for_deletion_is_refused_for_a_change_since_the_scan(rows: Rows, run: Run, change: str) -> None:
    file_id = spread(rows)
    node = rows.fact("field")
    copies = scanned(rows.index, node, run)
    assert len(copies) == 1
    rows.do(change.format(**rows.node, file=file_id, group=rows.group["one"]))
    before = rows.state(file_id, "field")
    assert claim(rows.index, run, node, copies, EVIDENCE, NOW).granted == []
    assert rows.state(file_id, "field") == before
    assert rows.claims() == []


def test_a_changed_state_is_reported(rows: Rows, run: Run) -> None:
    file_id = spread(rows)
    node = rows.fact("field")
    copies = scanned(rows.index, node, run)
    rows.do("UPDATE archivefilecopy SET wants_file = 'Y' WHERE file_id = ?", file_id)
    ((_, why),) = claim(rows.index, run, node, copies, EVIDENCE, NOW).refused
    assert why == CHANGED


def test_a_claim_that_is_made_again_since_the_answer_got_lost_is_the_same(rows: Rows, run: Run) -> None:
    file_id = spread(rows)
    node = rows.fact("field")
    copies = scanned(rows.index, node, run)
    first = claim(rows.index, run, node, copies, EVIDENCE, NOW)
    claims = rows.all("SELECT file_id, fence FROM sync_claim")
    again = claim(rows.index, run, node, copies, EVIDENCE, NOW)
    assert [fact.has_file for fact, _ in again.granted] == ["Y"]
    assert [why for _, why in again.granted] == [why for _, why in first.granted]
    assert rows.state(file_id, "field") == "MN"
    assert len(claims) == len(rows.claims()) == 1


def test_copy_claimed_by_another_run_is_refused_until_the_lease_has_expired(rows: Rows, run: Run) -> None:
    file_id = spread(rows)
    dead = rows.begin(THERE)
    claimed(rows, dead)
    assert claimed(rows, run) == []
    rows.do("UPDATE sync_claim SET expires = ?", rows.index.now() - datetime.timedelta(seconds=1))
    (fact,) = claimed(rows, run)
    assert fact.has_file == "M"
    assert rows.all("SELECT run_id, fence FROM sync_claim") == [(run.id, 2)]
    assert rows.state(file_id, "field") == "MN"


def test_claims_of_a_dead_run_go_with_the_next_one_on_the_node(rows: Rows, run: Run) -> None:
    spread(rows)
    claimed(rows, rows.begin())
    assert drop_dead(rows.index, run, [rows.node["one"]]) == 0
    assert drop_dead(rows.index, run, [rows.node["field"]]) == 1
    assert rows.claims() == []


def test_a_deleted_copy_is_removed(rows: Rows, run: Run) -> None:
    file_id = spread(rows)
    facts = claimed(rows, run)
    failed(rows.index, run, "delete", [Failure(facts[0].copy_id, "unknown", "read-only")])
    ended(rows, run, facts, Verdict.DELETED)
    assert rows.state(file_id, "field") == "NN"
    assert rows.claims() == [] and rows.attempts("delete") == []
    assert rows.events("deleted") == [(file_id, rows.node["field"])]
    assert rows.all("SELECT why FROM sync_event") == [("released",)]


def test_a_removable_copy_that_was_deleted_is_removed(rows: Rows, run: Run) -> None:
    file_id = spread(rows, state="YM")
    ended(rows, run, claimed(rows, run), Verdict.DELETED)
    assert rows.state(file_id, "field") == "NN"


def test_a_copy_that_was_not_there_is_removed(rows: Rows, run: Run) -> None:
    file_id = spread(rows, state="MN")
    facts = claimed(rows, run)
    failed(rows.index, run, "check", [Failure(facts[0].copy_id, "unknown", "no answer")])
    ended(rows, run, facts, Verdict.MISSING)
    assert rows.state(file_id, "field") == "NN"
    assert rows.events("missing") == [(file_id, rows.node["field"])]
    assert rows.attempts("check") == []


@pytest.mark.parametrize("verdict", [Verdict.DELETED, Verdict.MISSING])
def test_a_copy_wanted_again_after_the_claim_is_missing(rows: Rows, run: Run, verdict: Verdict) -> None:
    file_id = spread(rows)
    facts = claimed(rows, run)
    rows.do("UPDATE archivefilecopy SET wants_file = 'Y' WHERE node_id = ?", rows.node["field"])
    ended(rows, run, facts, verdict)
    assert rows.state(file_id, "field") == "NY"


@pytest.mark.parametrize("state", ["YN", "YM", "MN", "XN"])
def test_a_copy_that_could_not_be_removed_is_what_it_was_and_waits(rows: Rows, run: Run, state: str) -> None:
    file_id = spread(rows, state=state)
    facts = claimed(rows, run)
    assert rows.state(file_id, "field") == "M" + state[1]
    ended(rows, run, facts, Verdict.FAILED, "read-only")
    assert rows.state(file_id, "field") == state
    assert rows.attempts("delete") == [(facts[0].copy_id, 1, "unknown", "read-only")]
    assert rows.claims() == []
    assert claimed(rows, run) == []


def test_a_cancellation_meanwhile_stands_when_the_copy_could_not_be_removed(rows: Rows, run: Run) -> None:
    file_id = spread(rows)
    facts = claimed(rows, run)
    rows.do("UPDATE archivefilecopy SET wants_file = 'Y' WHERE node_id = ?", rows.node["field"])
    ended(rows, run, facts, Verdict.FAILED, "read-only")
    assert rows.state(file_id, "field") == "YY"


def test_untouched_copies_are_restored_without_an_attempt(rows: Rows, run: Run) -> None:
    ids = [spread(rows, name) for name in "ab"]
    facts = claimed(rows, run)
    settle(rows.index, run, rows.fact("field"), [], files_of(facts), {}, "unknown", fences(rows, run, facts))
    assert [rows.state(file_id, "field") for file_id in ids] == ["YN", "YN"]
    assert rows.claims() == [] and rows.attempts("delete") == []
    assert len(claimed(rows, run)) == 2


@pytest.mark.parametrize(("wants", "after"), [("N", "XM"), ("Y", "XY")])
def test_deletion_that_finds_another_file_makes_the_copy_corrupt_and_drops_its_release(
    rows: Rows, run: Run, wants: str, after: str
) -> None:
    file_id = spread(rows)
    facts = claimed(rows, run)
    rows.do("UPDATE archivefilecopy SET wants_file = ? WHERE node_id = ?", wants, rows.node["field"])
    ended(rows, run, facts, Verdict.CORRUPT, "its length is 5 bytes, the index says 10")
    assert rows.state(file_id, "field") == after
    assert rows.events("corrupt") == [(file_id, rows.node["field"])]
    assert rows.claims() == []
    assert claimed(rows, run) == []


@pytest.mark.parametrize("verdict", [Verdict.FAILED, Verdict.CORRUPT])
def test_copies_claimed_by_another_run_are_left_to_it(rows: Rows, run: Run, verdict: Verdict) -> None:
    file_id = spread(rows)
    facts = claimed(rows, run)
    rows.do("UPDATE sync_claim SET run_id = 99")
    ended(rows, run, facts, verdict, "some trouble")
    assert rows.state(file_id, "field") == "MN"
    assert rows.claims() == [(file_id, rows.node["field"], 99)]
    assert rows.attempts("delete") == []


@pytest.mark.parametrize("verdict", [Verdict.FAILED, Verdict.CORRUPT, Verdict.KEPT, None])
def test_a_claim_that_was_taken_over_and_came_back_is_not_settled_by_the_old_fence(
    rows: Rows, run: Run, verdict: Verdict | None
) -> None:
    """The run was suspended beyond its lease, another run took the copy over, and then this run claimed it again."""
    file_id = spread(rows)
    facts = claimed(rows, run)
    old = fences(rows, run, facts)
    rows.do("UPDATE sync_claim SET fence = fence + 2")
    results = [DeleteResult(file, verdict, error="e") for file in files_of(facts) if verdict is not None]
    untouched = files_of(facts) if verdict is None else []
    settle(rows.index, run, rows.fact("field"), results, untouched, {}, "unknown", old)
    assert rows.state(file_id, "field") == "MN"
    assert rows.claims() == [(file_id, rows.node["field"], run.id)]
    assert rows.attempts("delete") == [] and rows.all("SELECT * FROM sync_event") == []


def test_a_copy_that_was_kept_is_as_it_was_and_waits_and_the_wrong_keepers_are_suspect(
    rows: Rows, run: Run
) -> None:
    file_id, other = spread(rows, "a"), spread(rows, "b")
    facts = claimed(rows, run)
    one, two = rows.node["one"], rows.node["two"]
    rows.do("UPDATE archivefilecopy SET has_file = 'X' WHERE node_id = ? AND file_id = ?", two, file_id)
    result = DeleteResult(
        files_of(facts)[0],
        Verdict.KEPT,
        error="one lacks it",
        wrong=((one, "it is not there"), (two, "short")),
    )
    deleted = DeleteResult(files_of(facts)[1], Verdict.DELETED, wrong=((two, "short as well"),))
    for _ in range(2):  # the answer to the commit may get lost
        settle(
            rows.index,
            run,
            rows.fact("field"),
            [result, deleted],
            [],
            {},
            "unknown",
            fences(rows, run, facts),
        )
        assert [rows.state(file_id, node) for node in ("field", "one", "two")] == ["YN", "MY", "XY"]
        assert [rows.state(other, node) for node in ("field", "one", "two")] == ["NN", "YY", "MY"]
        assert rows.all("SELECT file_id, node_id, why FROM sync_event WHERE what = 'suspect'") == [
            (file_id, one, "it is not there"),
            (other, two, "short as well"),
        ]
        assert rows.events("kept") == []
        assert rows.attempts("delete") == [(facts[0].copy_id, 1, "unknown", "one lacks it")]
        assert rows.claims() == []
    assert claimed(rows, run) == []


@pytest.mark.parametrize("moved", ["root = '/elsewhere'", "host_id = NULL"])
def test_a_keeper_that_was_looked_at_at_another_place_is_not_suspect(
    rows: Rows, run: Run, moved: str
) -> None:
    file_id = spread(rows)
    facts = claimed(rows, run)
    keepers = [rows.fact("one"), rows.fact("two")]
    wrong = tuple((keeper.id, "it is not there") for keeper in keepers)
    results = [DeleteResult(files_of(facts)[0], Verdict.KEPT, error="too few", wrong=wrong)]
    rows.do(f"UPDATE storagenode SET {moved} WHERE id = ?", keepers[0].id)
    held = fences(rows, run, facts)
    settle(rows.index, run, rows.fact("field"), results, [], {}, "unknown", held, keepers)
    assert [rows.state(file_id, node) for node in ("field", "one", "two")] == ["YN", "YY", "MY"]


def test_results_from_another_place_leave_the_copies_suspect(rows: Rows, run: Run) -> None:
    """The node got another disk in the meantime, whose contents are unknown."""
    ids = [spread(rows, name) for name in "abcd"]
    node = rows.fact("field")
    facts = claimed(rows, run)
    verdicts = (Verdict.DELETED, Verdict.FAILED, Verdict.CORRUPT)
    results = [
        DeleteResult(file, verdict) for file, verdict in zip(files_of(facts)[:3], verdicts, strict=True)
    ]
    rows.do("UPDATE storagenode SET root = '/elsewhere' WHERE id = ?", node.id)
    settle(rows.index, run, node, results, files_of(facts)[3:], {}, "unknown", fences(rows, run, facts))
    assert [rows.state(file_id, "field") for file_id in ids] == ["MN"] * 4
    assert rows.claims() == []


def test_nothing_is_claimed_where_the_node_is_at_another_place(rows: Rows, run: Run) -> None:
    file_id = spread(rows)
    node = rows.fact("field")
    copies = scanned(rows.index, node, run)
    rows.do("UPDATE storagenode SET root = '/elsewhere' WHERE id = ?", node.id)
    decided = claim(rows.index, run, node, copies, EVIDENCE, NOW)
    assert (decided.granted, decided.refused) == ([], [])
    assert rows.state(file_id, "field") == "YN"


def test_a_claim_whose_answer_got_lost_is_undone_when_it_is_not_safe_any_more(rows: Rows, run: Run) -> None:
    file_id = spread(rows)
    node = rows.fact("field")
    copies = scanned(rows.index, node, run)
    claim(rows.index, run, node, copies, EVIDENCE, NOW)
    assert rows.state(file_id, "field") == "MN"
    rows.do("UPDATE sync_medium SET wrong = ?, why = 'no marker' WHERE node_id = ?", WHEN, rows.node["one"])
    decided = claim(rows.index, run, node, copies, EVIDENCE, NOW)
    assert decided.granted == [] and "one: left out since" in decided.refused[0][1]
    assert rows.state(file_id, "field") == "YN" and rows.claims() == []


def test_granted_deletion_names_the_current_keepers(rows: Rows, run: Run) -> None:
    file_id = spread(rows)
    node = rows.fact("field")
    (copies,) = pages(rows.index, node.id, "Y", "N", 100)
    rows.copy(file_id, "one_too", "YM")
    ((fact, _),) = claim(rows.index, run, node, copies, EVIDENCE, NOW).granted
    assert fact.other_ids == tuple(rows.node[name] for name in ("one", "one_too", "two"))


def test_a_file_that_is_gone_is_recorded_as_gone_whatever_anybody_says(rows: Rows, run: Run) -> None:
    ids = [spread(rows, name) for name in "ab"]
    facts = claimed(rows, run)
    rows.do("UPDATE sync_claim SET run_id = 99 WHERE file_id = ?", ids[0])
    rows.do(
        "UPDATE archivefilecopy SET has_file = 'Y', wants_file = 'Y' WHERE node_id = ?", rows.node["field"]
    )
    ended(rows, run, facts, Verdict.DELETED)
    assert [rows.state(file_id, "field") for file_id in ids] == ["NY", "NY"]
    assert rows.claims() == [(ids[0], rows.node["field"], 99)]


def test_settling_again_since_the_answer_got_lost_changes_nothing(rows: Rows, run: Run) -> None:
    ids = [spread(rows, name) for name in "abc"]
    facts = claimed(rows, run)
    results = [
        DeleteResult(file, verdict, error="e")
        for file, verdict in zip(
            files_of(facts), (Verdict.DELETED, Verdict.FAILED, Verdict.CORRUPT), strict=True
        )
    ]
    before: Any = None
    for _ in range(2):
        settle(rows.index, run, rows.fact("field"), results, [], {}, "unknown", fences(rows, run, facts))
        now = (
            [rows.state(file_id, "field") for file_id in ids],
            rows.attempts("delete"),
            rows.all("SELECT file_id, what, why FROM sync_event"),
        )
        assert before in (None, now)
        before = now
    assert before[0] == ["NN", "YN", "XM"]


def test_a_deleted_copy_of_a_batch_of_many_costs_a_share_of_a_few_statements(rows: Rows, run: Run) -> None:
    from tests.scan.statements import counted

    with rows.index.transaction():
        for number in range(450):
            spread(rows, str(number))
    node = rows.fact("field")
    copies = scanned(rows.index, node, run)
    with counted() as statements:
        claim(rows.index, run, node, copies, EVIDENCE, NOW)
    assert statements.count <= 16
    with counted() as statements:
        ended(rows, run, copies, Verdict.DELETED)
    assert statements.count <= 16


# --- several hosts at once -----------------------------------------------------------------------------

ROUNDS = 25
FILES = 12

Claiming = Callable[[Index, Run, NodeFact, list[DeletionFact], Barrier], None]


def as_it_is(index: Index, run: Run, node: NodeFact, copies: list[DeletionFact], start: Barrier) -> None:
    start.wait()
    claim(index, run, node, copies, EVIDENCE, NOW)


def decided_before(
    index: Index, run: Run, node: NodeFact, copies: list[DeletionFact], start: Barrier
) -> None:
    """The mutant: the decision is made outside of the transaction of the claim."""
    reading = read(index, node.id, copies, run.id, EVIDENCE)
    decided = decide_all(copies, reading, 2, NOW)
    start.wait()
    index.retry(lambda: write_claims(index, run, node, decided, reading))


def without_lock(index: Index, run: Run, node: NodeFact, copies: list[DeletionFact], start: Barrier) -> None:
    """The mutant: everything in one transaction, but without locks on the copies of other nodes."""
    start.wait()

    def work() -> None:
        reading = read(index, node.id, copies, run.id, EVIDENCE, lock=False)
        decided = decide_all(copies, reading, 2, NOW)
        write_claims(index, run, node, decided, reading)

    index.retry(work)


def host(url: str, run: Run, node: NodeFact, claiming: Claiming, start: Barrier, rounds: int) -> None:
    index = Index.open(url)
    for _ in range(rounds):
        start.wait()
        copies = scanned(index, node, run)
        start.wait()
        claiming(index, run, node, copies, start)
        start.wait()
    index.close()


def race(rows: Rows, url: str, claiming: Claiming, rounds: int = ROUNDS) -> list[int]:
    """Return the numbers of copies left after three hosts have claimed their released copies."""
    fork = multiprocessing.get_context("fork")
    start = fork.Barrier(len(ARCHIVES) + 1)
    with rows.index.transaction():
        ids = [rows.file(str(number)) for number in range(FILES)]
        for file_id, node in itertools.product(ids, ARCHIVES):
            rows.copy(file_id, node, "YN")
    runs = [rows.begin(name)._replace(clock=clock) for name in ARCHIVES]
    nodes = [rows.fact(node) for node in ARCHIVES]
    rows.index.disconnect()
    hosts = [
        fork.Process(target=host, args=(url, run, node, claiming, start, rounds))
        for run, node in zip(runs, nodes, strict=True)
    ]
    left: list[int] = []
    with racing(hosts):
        for _ in range(rounds):
            rows.do("DELETE FROM sync_claim")
            rows.do("UPDATE archivefilecopy SET has_file = 'Y'")
            start.wait(60)
            start.wait(60)
            start.wait(60)
            start.wait(60)
            left += [
                count
                for (count,) in rows.all("SELECT SUM(has_file = 'Y') FROM archivefilecopy GROUP BY file_id")
            ]
    return [int(count) for count in left]


def clock() -> datetime.datetime:
    return WHEN


def test_of_copies_released_on_three_hosts_at_once_the_minimum_stays(rows: Rows, index_url: str) -> None:
    assert race(rows, index_url, as_it_is) == [2] * ROUNDS * FILES


def test_the_same_race_decided_outside_of_the_transaction_loses_copies(rows: Rows, index_url: str) -> None:
    assert min(race(rows, index_url, decided_before, 1)) < 2


def test_the_same_race_without_the_row_lock_loses_copies(mariadb_rows: Rows, mariadb_index_url: str) -> None:
    assert min(race(mariadb_rows, mariadb_index_url, without_lock)) < 2
