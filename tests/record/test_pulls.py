from __future__ import annotations

from typing import Any

import pytest

from alpenhorn.index.connection import Index
from alpenhorn.model.pulls import Method, PullFact, PullFile, PullResult
from alpenhorn.model.tasks import Blame, Verdict
from alpenhorn.plan.pulls import Choice, PullDecision
from alpenhorn.record.copies import once_good
from alpenhorn.record.pulls import cancel, settle
from alpenhorn.record.run import Run
from tests.fixtures.claims import claim, wanted
from tests.fixtures.rows import MD5, WHEN, Rows

pytestmark = pytest.mark.cluster

START, END = 1_800_000_000.7, 1_800_000_060.2


def result(request_id: int, file_id: int, verdict: Verdict = Verdict.PULLED, **changes: Any) -> PullResult:
    file = PullFile(request_id, file_id, f"acq/{file_id}", 10, MD5)
    plain = PullResult(file, verdict, START, END, method=Method.COPY)
    return plain._replace(**changes)


def pulled(rows: Rows, run: Run, *results: PullResult, node: str = "one") -> bool:
    """Settle results of files that the run has claimed."""
    hold(rows, run, *(one.file.file_id for one in results))
    return settle(rows.index, run, rows.fact("field"), rows.fact(node), results)


def hold(rows: Rows, run: Run, *file_ids: int) -> None:
    columns = ("kind", "file_id", "target_id", "node_id", "reserved_b", "host", "run_id", "expires", "fence")
    there = {row[0] for row in rows.claims()}
    rows.index.executemany(
        f"INSERT INTO sync_claim ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})",
        [
            ("pull", file_id, rows.group["one"], rows.node["one"], 0, run.host, run.id, WHEN, 1)
            for file_id in file_ids
            if file_id not in there
        ],
    )


def good(request_id: int, file_id: int) -> PullResult:
    return result(request_id, file_id, space_b=8192)


def has_evidence(rows: Rows, file_id: int, node: str = "one") -> bool:
    sql = "SELECT 1 FROM sync_verification WHERE file_id = ? AND node_id = ?"
    return bool(rows.all(sql, file_id, rows.node[node]))


def blamed(request_id: int, file_id: int, blame: Blame) -> PullResult:
    return result(request_id, file_id, Verdict.FAILED, blame=blame, error="why")


def claimed(rows: Rows, run: Run, request_id: int, file_id: int) -> None:
    assert claim(rows.index, run, [wanted(rows, request_id, file_id)]) == {request_id: 1}


def test_a_pulled_file_is_recorded_with_everything_that_follows(rows: Rows, run: Run) -> None:
    file_id = rows.file("a")
    rows.copy(file_id, "field", "YY")
    request_id = rows.request(file_id)
    claimed(rows, run, request_id, file_id)
    pulled(rows, run, good(request_id, file_id))
    assert rows.state(file_id, "one") == "YY"
    assert rows.state(file_id, "field") == "YY"
    ((size_b, ready),) = rows.all(
        "SELECT size_b, ready FROM archivefilecopy WHERE node_id = ?", rows.node["one"]
    )
    assert (size_b, ready) == (8192, 1)
    ((completed, cancelled, started, ended),) = rows.all(
        "SELECT completed, cancelled, transfer_started, transfer_completed FROM archivefilecopyrequest"
    )
    assert (completed, cancelled) == (1, 0)
    assert str(started) == "2027-01-15 08:00:00"
    assert str(ended) == "2027-01-15 08:01:00"
    assert rows.claims() == []
    assert rows.events("pulled") == [(file_id, rows.node["one"])]
    assert rows.all("SELECT file_id, node_id FROM sync_verification") == [(file_id, rows.node["one"])]


def test_a_corrupt_released_or_missing_copy_becomes_good(rows: Rows, run: Run) -> None:
    for state in ("XY", "XN", "NN", "NY", "MY"):
        file_id = rows.file(state)
        rows.copy(file_id, "one", state)
        pulled(rows, run, good(rows.request(file_id), file_id))
        assert rows.state(file_id, "one") == "YY"


def test_settling_twice_is_as_good_as_once(rows: Rows, run: Run) -> None:
    rows.rule("one", "two", autosync=1)
    fine, bad = rows.file("fine"), rows.file("bad")
    rows.copy(bad, "field", "YY")
    results = (
        good(rows.request(fine), fine),
        blamed(rows.request(bad), bad, Blame.SOURCE),
    )

    def found() -> list[Any]:
        return [
            rows.all("SELECT * FROM archivefilecopy ORDER BY id"),
            rows.all("SELECT * FROM archivefilecopyrequest ORDER BY id"),
        ]

    pulled(rows, run, *results)
    once = found()
    pulled(rows, run, *results)
    assert found() == once
    assert len(rows.pending("two")) == 1


def test_a_request_that_was_cancelled_meanwhile_stays_cancelled_and_the_copy_counts(
    rows: Rows, run: Run
) -> None:
    file_id = rows.file("a")
    request_id = rows.request(file_id, cancelled=1)
    pulled(rows, run, good(request_id, file_id))
    assert rows.request_state(request_id) == "cancelled"
    assert rows.state(file_id, "one") == "YY"


def test_times_of_a_request_completed_by_another_are_kept(rows: Rows, run: Run) -> None:
    file_id = rows.file("a")
    request_id = rows.request(file_id, completed=1)
    rows.do("UPDATE archivefilecopyrequest SET transfer_completed = ?", WHEN)
    pulled(rows, run, good(request_id, file_id))
    assert str(rows.all("SELECT transfer_completed FROM archivefilecopyrequest")[0][0]) == str(WHEN)


def test_the_sources_blame_makes_a_good_copy_suspect_and_touches_no_other(rows: Rows, run: Run) -> None:
    for state in ("YY", "YM", "YN", "NY", "XY", "MY"):
        file_id = rows.file(state)
        rows.copy(file_id, "field", state)
        rows.copy(file_id, "two", "YY")
        pulled(rows, run, blamed(rows.request(file_id), file_id, Blame.SOURCE))
        assert rows.state(file_id, "field") == state.replace("YY", "MY").replace("YM", "MM").replace(
            "YN", "MN"
        )
        assert rows.state(file_id, "two") == "YY"
        assert rows.state(file_id, "one") is None


def test_any_other_blame_touches_no_copy(rows: Rows, run: Run) -> None:
    for blame in Blame:
        if blame is Blame.SOURCE:
            continue
        file_id = rows.file(blame)
        rows.copy(file_id, "field", "YY")
        rows.copy(file_id, "one", "XY")
        request_id = rows.request(file_id)
        pulled(rows, run, blamed(request_id, file_id, blame))
        assert (rows.state(file_id, "field"), rows.state(file_id, "one")) == ("YY", "XY")
        assert rows.request_state(request_id) == "pending"
        assert (request_id, 1, str(blame), "why") in rows.attempts("pull")


def test_attempts_are_counted_and_forgotten_with_success(rows: Rows, run: Run) -> None:
    file_id = rows.file("a")
    request_id = rows.request(file_id)
    for count in (1, 2, 3):
        pulled(rows, run, blamed(request_id, file_id, Blame.NETWORK))
        assert rows.attempts("pull") == [(request_id, count, "network", "why")]
    pulled(rows, run, good(request_id, file_id))
    assert rows.attempts("pull") == []


def test_something_unknown_at_the_path_is_to_be_checked_and_the_request_stays(rows: Rows, run: Run) -> None:
    expected = {None: "MY", "NY": "MY", "NN": "MY", "NM": "MY", "XY": "XY", "YY": "YY", "MN": "MN"}
    for state, after in expected.items():
        file_id = rows.file(f"is {state}")
        request_id = rows.request(file_id)
        claimed(rows, run, request_id, file_id)
        if state:
            rows.copy(file_id, "one", state)
        pulled(rows, run, result(request_id, file_id, Verdict.OCCUPIED, error="there"))
        assert rows.state(file_id, "one") == after
        assert rows.request_state(request_id) == "pending"
        # What is known to be something else is not looked at again in each run.
        attempts = [(request_id, 1, "unknown", "there")] if state == "XY" else []
        assert [row for row in rows.attempts("pull") if row[0] == request_id] == attempts
    assert rows.claims() == []


def test_a_failure_gives_its_claim_back_and_no_other(rows: Rows, run: Run) -> None:
    one, other = rows.file("a"), rows.file("b")
    requests = rows.request(one), rows.request(other)
    claimed(rows, run, requests[0], one)
    claimed(rows, run, requests[1], other)
    pulled(rows, run, blamed(requests[0], one, Blame.NETWORK))
    assert rows.claims() == [(other, rows.group["one"], run.id)]


def test_many_files_are_settled_together(rows: Rows, run: Run) -> None:
    with rows.index.transaction():
        file_ids = [rows.file(str(number)) for number in range(1200)]
        requests = [rows.request(file_id) for file_id in file_ids]
    pulled(rows, run, *map(good, requests, file_ids))
    assert rows.pending("one") == []
    assert rows.all("SELECT COUNT(*) FROM archivefilecopy WHERE has_file = 'Y'") == [(1200,)]


# --- cancelling ----------------------------------------------------------------------------------------


def test_only_pending_requests_are_cancelled(rows: Rows, run: Run) -> None:
    file_id = rows.file("a")
    pending, completed = rows.request(file_id), rows.request(file_id, completed=1)
    decisions = [
        PullDecision(
            PullFact(
                request_id, file_id, "acq", "a", 10, MD5, rows.node["field"], "Y", True, rows.group["one"]
            ),
            Choice.CANCEL,
            "the group already has the file",
        )
        for request_id in (pending, completed)
    ]
    cancel(rows.index, run, decisions)
    assert rows.request_state(pending) == "cancelled"
    ((cancelled,),) = rows.all("SELECT cancelled FROM archivefilecopyrequest WHERE id = ?", completed)
    assert cancelled == 0


# --- automatic actions ---------------------------------------------------------------------------------


def test_autosync_asks_for_what_the_group_lacks_once(rows: Rows, run: Run) -> None:
    rows.rule("one", "two", autosync=1)
    lacking, there, asked, corrupt, done = (rows.file(name) for name in "abcde")
    rows.copy(there, "two", "YY")
    rows.copy(corrupt, "two", "XY")
    rows.request(asked, group="two")
    rows.request(done, group="two", completed=1)
    before = set(rows.pending("two"))
    some = [good(rows.request(file_id), file_id) for file_id in (lacking, there, asked, corrupt, done)]
    pulled(rows, run, *some)
    pulled(rows, run, *some)
    assert sorted(set(rows.pending("two")) - before) == sorted(
        (file_id, rows.node["one"]) for file_id in (lacking, corrupt, done)
    )
    assert len(rows.pending("two")) == 4


def test_autosync_follows_a_copy_on_its_own_node_only(rows: Rows, run: Run) -> None:
    rows.rule("field", "two", autosync=1)
    rows.rule("one_too", "two", autosync=1)
    rows.rule("one", "two", autosync=0)
    file_id = rows.file("a")
    pulled(rows, run, good(rows.request(file_id), file_id))
    assert rows.pending("two") == []


def test_autoclean_releases_the_copy_at_the_other_end_only(rows: Rows, run: Run) -> None:
    rows.rule("field", "one", autoclean=1)
    rows.rule("two", "one", autoclean=0)
    file_id, other = rows.file("a"), rows.file("b")
    for node in ("field", "two"):
        rows.copy(file_id, node, "YY")
        rows.copy(other, node, "YY")
    pulled(rows, run, good(rows.request(file_id), file_id))
    assert rows.state(file_id, "field") == "YN"
    assert rows.state(file_id, "one") == "YY"
    assert (rows.state(file_id, "two"), rows.state(other, "field")) == ("YY", "YY")


def test_an_edge_from_a_node_to_its_own_group_is_ignored(rows: Rows, run: Run) -> None:
    rows.rule("one", "one", autosync=1, autoclean=1)
    file_id = rows.file("a")
    pulled(rows, run, good(rows.request(file_id), file_id))
    assert rows.state(file_id, "one") == "YY"
    assert rows.pending("one") == []


def test_the_automatic_actions_are_lost_with_the_copy_or_kept_with_it(rows: Rows, index: Index) -> None:
    rows.rule("one", "two", autosync=1)
    file_id = rows.file("a")
    request_id = rows.request(file_id)
    run = rows.begin()
    rows.index.execute("DROP TABLE sync_attempt")
    try:
        pulled(rows, run, good(request_id, file_id))
    except Exception as error:
        assert "sync_attempt" in str(error)
    assert rows.state(file_id, "one") is None
    assert rows.pending("two") == []
    assert rows.request_state(request_id) == "pending"


@pytest.mark.parametrize("change", ["size_b = 11", f"md5sum = '{'0' * 32}'"])
@pytest.mark.parametrize("before", [None, "NN", "XY"])
def test_what_was_pulled_by_an_outdated_length_or_sum_is_suspect_and_nothing_follows_from_it(
    rows: Rows, run: Run, change: str, before: str | None
) -> None:
    rows.rule("one", "two", autosync=1)
    changed, same = rows.file("changed"), rows.file("same")
    if before is not None:
        rows.copy(changed, "one", before)
    requests = rows.request(changed), rows.request(same)
    results = good(requests[0], changed), good(requests[1], same)
    rows.do(f"UPDATE archivefile SET {change} WHERE id = ?", changed)
    pulled(rows, run, *results)
    assert rows.state(changed, "one") == "MY"
    assert has_evidence(rows, changed)  # we have put it there, so that the next pull may replace it
    assert (rows.state(same, "one"), rows.request_state(requests[1])) == ("YY", "completed")
    assert rows.request_state(requests[0]) == "pending"
    assert len(rows.pending("two")) == 1
    assert ("suspect", changed) in {
        (what, file_id) for what, file_id in rows.all("SELECT what, file_id FROM sync_event")
    }


# --- evidence, place and claim -------------------------------------------------------------------------


@pytest.mark.parametrize("change", ["root = '/elsewhere'", "host_id = NULL"])
def test_of_a_node_that_was_moved_nothing_is_recorded_and_the_claims_are_given_back(
    rows: Rows, run: Run, change: str
) -> None:
    files = [rows.file(name) for name in "abc"]
    requests = [rows.request(file_id) for file_id in files]
    rows.copy(files[2], "field", "YY")
    source, node = rows.fact("field"), rows.fact("one")
    results = (
        good(requests[0], files[0]),
        result(requests[1], files[1], Verdict.OCCUPIED, error="there"),
        blamed(requests[2], files[2], Blame.SOURCE),
    )
    hold(rows, run, *files)
    rows.do(f"UPDATE storagenode SET {change} WHERE id = ?", node.id)
    assert settle(rows.index, run, source, node, results) is False
    assert [rows.state(file_id, "one") for file_id in files] == [None, None, None]
    assert rows.state(files[2], "field") == "YY"
    assert {rows.request_state(request) for request in requests} == {"pending"}
    assert rows.attempts("pull") == [] and rows.claims() == []
    assert rows.all("SELECT * FROM sync_event") == []


def test_a_source_that_was_moved_is_not_blamed(rows: Rows, run: Run) -> None:
    file_id = rows.file("a")
    rows.copy(file_id, "field", "YY")
    request_id = rows.request(file_id)
    source, node = rows.fact("field"), rows.fact("one")
    hold(rows, run, file_id)
    rows.do("UPDATE storagenode SET root = '/elsewhere' WHERE id = ?", source.id)
    assert settle(rows.index, run, source, node, [blamed(request_id, file_id, Blame.SOURCE)])
    assert rows.state(file_id, "field") == "YY" and rows.events("suspect") == []
    assert [row[0] for row in rows.attempts("pull")] == [request_id]


@pytest.mark.parametrize("taken_over", [True, False])
@pytest.mark.parametrize("before", [None, "NY", "XY", "YY", "MY"])
def test_what_was_pulled_under_a_claim_that_was_lost_is_suspect_and_its_request_is_left(
    rows: Rows, run: Run, taken_over: bool, before: str | None
) -> None:
    rows.rule("one", "two", autosync=1)
    pull, failure = rows.file("pulled"), rows.file("failed")
    if before:
        rows.copy(pull, "one", before)
    requests = rows.request(pull), rows.request(failure)
    if taken_over:
        hold(rows, rows.begin("elsewhere"), pull, failure)
    claims = rows.claims()
    results = good(requests[0], pull), blamed(requests[1], failure, Blame.DESTINATION)
    assert settle(rows.index, run, rows.fact("field"), rows.fact("one"), results)
    assert rows.state(pull, "one") == ("YY" if before == "YY" else "MY")
    assert {rows.request_state(request) for request in requests} == {"pending"}
    assert rows.attempts("pull") == [] and rows.pending("two") == [] and rows.claims() == claims
    assert rows.events("pulled") == []
    assert rows.events("suspect") == ([] if before in ("YY", "MY") else [(pull, rows.node["one"])])


def test_an_answer_that_got_lost_undoes_nothing(rows: Rows, run: Run) -> None:
    """The results are settled twice, with the claims released the first time."""
    file_id = rows.file("a")
    request_id = rows.request(file_id)
    hold(rows, run, file_id)
    for _ in range(2):
        settle(rows.index, run, rows.fact("field"), rows.fact("one"), [good(request_id, file_id)])
        assert rows.state(file_id, "one") == "YY" and rows.request_state(request_id) == "completed"
        assert rows.events("suspect") == []


def test_a_source_that_is_blamed_keeps_the_evidence_that_it_was_good(rows: Rows, run: Run) -> None:
    good_before, suspect = rows.file("a"), rows.file("b")
    rows.copy(good_before, "field", "YY")
    rows.copy(suspect, "field", "MY")
    pulled(rows, run, *(blamed(rows.request(f), f, Blame.SOURCE) for f in (good_before, suspect)))
    assert has_evidence(rows, good_before, "field") and not has_evidence(rows, suspect, "field")


def test_file_found_at_the_path_of_a_pull_drops_the_evidence_of_a_good_copy(rows: Rows, run: Run) -> None:
    for state in (None, "NN", "NY"):
        file_id = rows.file(f"is {state}")
        if state:
            rows.copy(file_id, "one", state)
        once_good(rows.index, rows.node["one"], [file_id])
        pulled(rows, run, result(rows.request(file_id), file_id, Verdict.OCCUPIED, error="there"))
        assert rows.state(file_id, "one") == "MY" and not has_evidence(rows, file_id)


def test_situation_15_a_pull_that_brought_something_is_no_failure_and_ends_the_earlier_ones(
    rows: Rows, run: Run
) -> None:
    first, second = rows.file("a"), rows.file("b")
    ids = [rows.request(first), rows.request(second)]
    pulled(
        rows,
        run,
        *(
            blamed(request_id, file_id, Blame.NETWORK)
            for request_id, file_id in zip(ids, (first, second), strict=True)
        ),
    )
    assert rows.all("SELECT count FROM sync_attempt") == [(1,), (1,)]
    pulled(
        rows,
        run,
        blamed(ids[0], first, Blame.NETWORK)._replace(advanced=True),
        blamed(ids[1], second, Blame.NETWORK),
    )
    assert rows.all("SELECT subject_id, count FROM sync_attempt") == [(ids[1], 2)]
    assert rows.claims() == []
