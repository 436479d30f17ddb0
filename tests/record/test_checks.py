from __future__ import annotations

import pytest

from alpenhorn.model.checks import CheckFile, CheckResult
from alpenhorn.model.tasks import Verdict
from alpenhorn.record.checks import STATE, forget, settle
from alpenhorn.record.copies import NEVER_READ
from alpenhorn.record.run import Run
from tests.fixtures.rows import MD5, Rows


def result(copy_id: int, file_id: int, verdict: Verdict, had: str = "M", wants: str = "Y") -> CheckResult:
    file = CheckFile(copy_id, file_id, f"acq/{file_id}", 10, MD5, had, wants)
    return CheckResult(file, verdict, 512, "" if verdict is Verdict.GOOD else "why")


def checked(rows: Rows, run: Run, *results: CheckResult) -> None:
    settle(rows.index, run, rows.fact("one"), results)


@pytest.mark.parametrize(
    ("verdict", "state"),
    [(Verdict.GOOD, "Y"), (Verdict.MISSING, "N"), (Verdict.CORRUPT, "X"), (Verdict.UNREADABLE, "M")],
)
@pytest.mark.parametrize("wants", ["Y", "M"])
def test_a_verdict_settles_a_suspect_copy(
    rows: Rows, run: Run, verdict: Verdict, state: str, wants: str
) -> None:
    file_id = rows.file("a")
    copy_id = rows.copy(file_id, "one", f"M{wants}")
    rows.copy(file_id, "two", "MY")
    checked(rows, run, result(copy_id, file_id, verdict))
    assert rows.state(file_id, "one") == state + wants
    assert rows.state(file_id, "two") == "MY"
    assert bool(rows.attempts("check")) is (verdict is Verdict.UNREADABLE)
    assert bool(rows.all("SELECT * FROM sync_verification")) is (verdict is Verdict.GOOD)


@pytest.mark.parametrize("verdict", [Verdict.GOOD, Verdict.MISSING, Verdict.CORRUPT, Verdict.UNREADABLE])
@pytest.mark.parametrize("now", ["YY", "NN", "XY", "NY"])
def test_a_copy_that_is_no_longer_suspect_is_left_with_all_that_would_follow(
    rows: Rows, run: Run, verdict: Verdict, now: str
) -> None:
    rows.rule("field", "one", autoclean=1)
    rows.rule("one", "two", autosync=1)
    file_id = rows.file("a")
    copy_id = rows.copy(file_id, "one", now)
    rows.copy(file_id, "field", "YY")
    checked(rows, run, result(copy_id, file_id, verdict))
    assert rows.state(file_id, "one") == now
    assert rows.state(file_id, "field") == "YY"
    assert rows.pending("two") == []
    assert rows.attempts("check") == []
    assert rows.events(str(verdict)) == []


def test_a_copy_that_is_gone_is_nothing_to_settle(rows: Rows, run: Run) -> None:
    checked(rows, run, result(999, 999, Verdict.GOOD))
    assert rows.all("SELECT * FROM archivefilecopy") == []


def test_a_good_copy_brings_its_automatic_actions_once(rows: Rows, run: Run) -> None:
    rows.rule("field", "one", autoclean=1)
    rows.rule("one", "two", autosync=1)
    file_id = rows.file("a")
    copy_id = rows.copy(file_id, "one", "MY")
    rows.copy(file_id, "field", "YY")
    for _ in range(2):
        checked(rows, run, result(copy_id, file_id, Verdict.GOOD))
    assert rows.state(file_id, "field") == "YN"
    assert rows.pending("two") == [(file_id, rows.node["one"])]
    assert len(rows.events("good")) == 1


def test_bad_verdicts_cause_no_automatic_actions(rows: Rows, run: Run) -> None:
    rows.rule("field", "one", autoclean=1)
    rows.rule("one", "two", autosync=1)
    for verdict in (Verdict.MISSING, Verdict.CORRUPT, Verdict.UNREADABLE):
        file_id = rows.file(str(verdict))
        rows.copy(file_id, "field", "YY")
        checked(rows, run, result(rows.copy(file_id, "one", "MY"), file_id, verdict))
        assert rows.state(file_id, "field") == "YY"
    assert rows.pending("two") == []


def test_attempts_are_counted_until_the_copy_is_read(rows: Rows, run: Run) -> None:
    file_id = rows.file("a")
    copy_id = rows.copy(file_id, "one", "MY")
    for count in (1, 2):
        checked(rows, run, result(copy_id, file_id, Verdict.UNREADABLE))
        assert [row[:2] for row in rows.attempts("check")] == [(copy_id, count)]
    checked(rows, run, result(copy_id, file_id, Verdict.CORRUPT))
    assert rows.attempts("check") == []


BAD = (Verdict.MISSING, Verdict.CORRUPT)


def verifications(rows: Rows) -> list[tuple[int, str]]:
    return [(file_id, str(at)) for file_id, at in rows.all("SELECT file_id, verified FROM sync_verification")]


def good_copy(rows: Rows, state: str = "YY") -> tuple[int, int]:
    """(copy id, file id) of a copy that was verified long ago, with edges that what becomes good would bring
    to act."""
    rows.rule("field", "one", autoclean=1)
    rows.rule("one", "two", autosync=1)
    file_id = rows.file("a")
    rows.copy(file_id, "field", "YY")
    rows.insert(
        "sync_verification", file_id=file_id, node_id=rows.node["one"], verified="2020-01-01 00:00:00"
    )
    return rows.copy(file_id, "one", state), file_id


@pytest.mark.parametrize("state", ["YY", "YM"])
def test_a_good_copy_that_is_still_good_gets_only_its_time(rows: Rows, run: Run, state: str) -> None:
    copy_id, file_id = good_copy(rows, state)
    before = rows.all("SELECT * FROM archivefilecopy")
    checked(rows, run, result(copy_id, file_id, Verdict.GOOD, "Y"))
    assert rows.all("SELECT has_file, wants_file, last_update FROM archivefilecopy") == [
        (*row[3:5], row[7]) for row in before
    ]
    assert verifications(rows) == [(file_id, run.now())]
    assert rows.all("SELECT * FROM sync_event") == []
    assert rows.pending("two") == []


@pytest.mark.parametrize(
    ("verdict", "state", "what"),
    [
        (Verdict.CORRUPT, "XY", "corrupt"),
        (Verdict.MISSING, "NY", "missing"),
        (Verdict.UNREADABLE, "MY", "suspect"),
    ],
)
def test_a_good_copy_that_became_bad_gets_an_event(
    rows: Rows, run: Run, verdict: Verdict, state: str, what: str
) -> None:
    copy_id, file_id = good_copy(rows)
    for _ in range(2):
        checked(rows, run, result(copy_id, file_id, verdict, "Y"))
    assert rows.state(file_id, "one") == state
    assert rows.events(what) == [(file_id, rows.node["one"])]
    assert rows.all("SELECT why FROM sync_event") == [("why",)]
    # A corrupt copy keeps the evidence that it was good, without which no pull would replace it.
    assert (verifications(rows) == []) is (verdict is Verdict.MISSING)
    assert [row[:2] for row in rows.attempts("check")] == ([] if verdict in BAD else [(copy_id, 1)])


@pytest.mark.parametrize("verdict", [Verdict.CORRUPT, Verdict.UNREADABLE])
def test_a_copy_that_another_program_called_good_gets_evidence_when_it_is_bad(
    rows: Rows, run: Run, verdict: Verdict
) -> None:
    good, suspect = rows.file("good"), rows.file("suspect")
    some = (
        result(rows.copy(good, "one", "YY"), good, verdict, "Y"),
        result(rows.copy(suspect, "one", "MY"), suspect, verdict, "M"),
    )
    settled = settle(rows.index, run, rows.fact("one"), some)
    assert verifications(rows) == [(good, NEVER_READ)]
    assert settled.never_good == (frozenset({suspect}) if verdict is Verdict.CORRUPT else frozenset())


def test_evidence_of_a_bad_copy_is_not_forgotten_with_those_that_are_read_no_more(
    rows: Rows, run: Run
) -> None:
    for state in ("XY", "MY", "NY", "YN"):
        file_id = rows.file(state)
        rows.copy(file_id, "one", state)
        rows.insert(
            "sync_verification", file_id=file_id, node_id=rows.node["one"], verified="2020-01-01 00:00:00"
        )
    forget(rows.index, rows.node["one"], [row[0] for row in verifications(rows)])
    assert [file_id for file_id, _ in verifications(rows)] == [1, 2]


@pytest.mark.parametrize("change", ["root = '/elsewhere'", "host_id = NULL"])
def test_nothing_is_recorded_of_a_node_that_was_moved_meanwhile(rows: Rows, run: Run, change: str) -> None:
    copy_id, file_id = good_copy(rows, "MY")
    node = rows.fact("one")
    rows.do(f"UPDATE storagenode SET {change} WHERE id = ?", node.id)
    for verdict in (*STATE, Verdict.FAILED):
        assert settle(rows.index, run, node, [result(copy_id, file_id, verdict)]).moved
    assert rows.state(file_id, "one") == "MY"
    assert rows.attempts("check") == [] and rows.all("SELECT * FROM sync_event") == []


@pytest.mark.parametrize("had", ["Y", "M"])
def test_a_failed_job_does_not_change_the_copy(rows: Rows, run: Run, had: str) -> None:
    copy_id, file_id = good_copy(rows, f"{had}Y")
    checked(rows, run, result(copy_id, file_id, Verdict.FAILED, had))
    assert rows.state(file_id, "one") == f"{had}Y"
    assert [row[:2] for row in rows.attempts("check")] == [(copy_id, 1)]
    assert rows.all("SELECT what, file_id, node_id FROM sync_event") == [
        ("failed", file_id, rows.node["one"])
    ]
    assert [at for _, at in verifications(rows)] == ["2020-01-01 00:00:00"]


@pytest.mark.parametrize("verdict", [Verdict.GOOD, Verdict.MISSING, Verdict.CORRUPT, Verdict.UNREADABLE])
@pytest.mark.parametrize("now", ["MY", "NY", "XY", "MN"])
def test_a_verdict_on_a_good_copy_does_not_count_for_what_it_became_meanwhile(
    rows: Rows, run: Run, verdict: Verdict, now: str
) -> None:
    copy_id, file_id = good_copy(rows, now)
    before = rows.all("SELECT * FROM archivefilecopy")
    checked(rows, run, result(copy_id, file_id, verdict, "Y"))
    assert rows.all("SELECT * FROM archivefilecopy") == before
    assert rows.attempts("check") == []
    assert rows.all("SELECT * FROM sync_event") == []


@pytest.mark.parametrize("column", ["md5sum = 'other'", "size_b = 11"])
@pytest.mark.parametrize("had", ["Y", "M"])
def test_a_verdict_does_not_count_for_a_file_that_was_changed_in_the_index_meanwhile(
    rows: Rows, run: Run, had: str, column: str
) -> None:
    copy_id, file_id = good_copy(rows, f"{had}Y")
    rows.do(f"UPDATE archivefile SET {column} WHERE id = ?", file_id)
    for verdict in (Verdict.GOOD, Verdict.CORRUPT):
        checked(rows, run, result(copy_id, file_id, verdict, had))
    assert rows.state(file_id, "one") == f"{had}Y"
    assert rows.all("SELECT * FROM sync_event") == []


def test_a_released_copy_that_proves_good_brings_nothing_about(rows: Rows, run: Run) -> None:
    copy_id, file_id = good_copy(rows, "MN")
    checked(rows, run, result(copy_id, file_id, Verdict.GOOD, wants="N"))
    assert rows.state(file_id, "one") == "YN"
    assert rows.state(file_id, "field") == "YY"
    assert rows.pending("two") == []


def test_a_released_copy_that_is_gone_is_not_said_to_be_lost(rows: Rows, run: Run) -> None:
    copy_id, file_id = good_copy(rows, "MN")
    checked(rows, run, result(copy_id, file_id, Verdict.MISSING, wants="N"))
    assert rows.state(file_id, "one") == "NN"
    assert rows.all("SELECT why FROM sync_event") == [("released, and no longer on the node",)]


def test_a_release_meanwhile_is_kept(rows: Rows, run: Run) -> None:
    copy_id, file_id = good_copy(rows, "MN")
    checked(rows, run, result(copy_id, file_id, Verdict.CORRUPT, wants="Y"))
    assert rows.state(file_id, "one") == "XN"


def test_space_is_written_down_for_each_copy(rows: Rows, run: Run) -> None:
    results = []
    for number, space_b in enumerate([512, 4096, 1024, 512, None]):
        file_id = rows.file(str(number))
        one = result(rows.copy(file_id, "one", "MY"), file_id, Verdict.GOOD)
        results.append(one._replace(space_b=space_b))
    checked(rows, run, *results)
    assert [row[0] for row in rows.all("SELECT size_b FROM archivefilecopy ORDER BY id")] == [
        512,
        4096,
        1024,
        512,
        None,
    ]


def test_verifications_are_forgotten_on_that_node_only(rows: Rows) -> None:
    for node in ("one", "two"):
        for file_id in (1, 2):
            rows.insert("sync_verification", file_id=file_id, node_id=rows.node[node], verified="2020-01-01")
    forget(rows.index, rows.node["one"], [2, 3])
    forget(rows.index, rows.node["one"], [])
    left = rows.all("SELECT node_id, file_id FROM sync_verification ORDER BY 1, 2")
    assert left == [(rows.node["one"], 1), (rows.node["two"], 1), (rows.node["two"], 2)]
