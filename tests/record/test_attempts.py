from __future__ import annotations

import datetime

import pytest

from alpenhorn.index.times import posix
from alpenhorn.listings.requests import requests
from alpenhorn.model.tasks import Blame
from alpenhorn.reasons import Code
from alpenhorn.record.attempts import ERROR_LENGTH, Failure, failed, succeeded
from alpenhorn.record.run import Run
from tests.fixtures.rows import WHEN, Rows


def fail(rows: Rows, run: Run, *failures: Failure, kind: str = "pull") -> None:
    rows.index.retry(lambda: failed(rows.index, run, kind, failures))


def test_the_next_attempt_is_a_minute_to_a_day_away(rows: Rows, run: Run) -> None:
    for count in range(1, 20):
        fail(rows, run, Failure(1, Blame.NETWORK, "why"))
        ((found, last, next_),) = rows.all("SELECT count, last, next FROM sync_attempt")
        wait = posix(next_) - posix(last)
        assert found == count
        assert 60 <= wait <= 86_400
    assert wait >= 43_200


def test_subjects_and_kinds_are_counted_apart(rows: Rows, run: Run) -> None:
    fail(rows, run, Failure(1, Blame.NETWORK, "a"), Failure(2, Blame.NETWORK, "b"))
    fail(rows, run, Failure(1, Blame.NETWORK, "c"))
    fail(rows, run, Failure(1, Blame.DESTINATION, "d"), kind="check")
    assert rows.attempts("pull") == [(1, 2, "network", "c"), (2, 1, "network", "b")]
    assert rows.attempts("check") == [(1, 1, "destination", "d")]
    succeeded(rows.index, "pull", [1])
    assert [row[0] for row in rows.attempts("pull")] == [2]
    assert len(rows.attempts("check")) == 1


@pytest.mark.parametrize(
    "error", ["x" * 10_000, "\N{SATELLITE ANTENNA}" * 3000, "", "a\nb", "'; DROP TABLE x"]
)
def test_any_error_text_is_kept_as_far_as_it_fits(rows: Rows, run: Run, error: str) -> None:
    fail(rows, run, Failure(1, Blame.WORKER, error))
    kept = error if len(error) <= ERROR_LENGTH else f"{error[: ERROR_LENGTH - 1]}…"
    assert rows.attempts("pull")[0][3] == kept


def test_many_failures_are_counted_together(rows: Rows, run: Run) -> None:
    some = [Failure(number, Blame.NETWORK, "why") for number in range(1200)]
    fail(rows, run, *some)
    fail(rows, run, *some)
    assert rows.all("SELECT COUNT(*), MIN(count), MAX(count) FROM sync_attempt") == [(1200, 2, 2)]
    succeeded(rows.index, "pull", range(1200))
    assert rows.attempts("pull") == []


def test_the_time_of_an_attempt_is_that_of_the_run(rows: Rows, run: Run) -> None:
    fail(rows, run, Failure(1, Blame.NETWORK, ""))
    ((last,),) = rows.all("SELECT last FROM sync_attempt")
    assert datetime.datetime.fromisoformat(str(last)) == WHEN


def test_an_attempt_keeps_the_code_of_its_last_reason(rows: Rows, run: Run) -> None:
    file_id = rows.file("a")
    request_id = rows.request(file_id)
    for reason in (Code.HOST_SILENT(error="no route"), Code.SOURCE_MISSING(why="gone")):
        fail(rows, run, Failure(request_id, Blame.NETWORK, reason))
        assert rows.all("SELECT error, code FROM sync_attempt") == [(str(reason), str(reason.code))]
        (read,) = requests(rows.index)
        assert read.error == reason and read.error.code is reason.code


def test_an_attempt_of_an_earlier_or_later_version_has_no_known_code(rows: Rows, run: Run) -> None:
    request_id = rows.request(rows.file("a"))
    fail(rows, run, Failure(request_id, Blame.NETWORK, Code.HOST_SILENT(error="no route")))
    for code in (None, "", "from-the-future"):
        rows.do("UPDATE sync_attempt SET code = ?", code)
        (read,) = requests(rows.index)
        assert read.error == "no route" and read.error.code is Code.UNKNOWN
