from __future__ import annotations

import pytest

from alpenhorn.model import CheckFile, CheckResult, Verdict
from alpenhorn.record.checks import settle
from alpenhorn.record.run import Run
from tests.record.rows import MD5, Rows


def result(copy_id: int, file_id: int, verdict: Verdict) -> CheckResult:
    file = CheckFile(copy_id, file_id, f"acq/{file_id}", 10, MD5)
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
    rows.edge("field", "one", autoclean=1)
    rows.edge("one", "two", autosync=1)
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
    rows.edge("field", "one", autoclean=1)
    rows.edge("one", "two", autosync=1)
    file_id = rows.file("a")
    copy_id = rows.copy(file_id, "one", "MY")
    rows.copy(file_id, "field", "YY")
    for _ in range(2):
        checked(rows, run, result(copy_id, file_id, Verdict.GOOD))
    assert rows.state(file_id, "field") == "YN"
    assert rows.pending("two") == [(file_id, rows.node["one"])]
    assert len(rows.events("good")) == 1


def test_bad_verdicts_bring_none(rows: Rows, run: Run) -> None:
    rows.edge("field", "one", autoclean=1)
    rows.edge("one", "two", autosync=1)
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
