"""SHA-256 sums in the index: the first one of the contents counts, and rows about other contents count for nothing."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from alpenhorn.index.connection import Index
from alpenhorn.index.schema import create
from alpenhorn.model.checks import CheckFile, CheckResult
from alpenhorn.model.imports import ImportFile, ImportResult
from alpenhorn.model.pulls import Method, PullFile, PullResult
from alpenhorn.model.tasks import Verdict
from alpenhorn.reasons import Code
from alpenhorn.record import checks, imports, pulls
from alpenhorn.record.copies import once_good, with_evidence
from alpenhorn.record.digests import Content, keep_first
from alpenhorn.record.run import Run
from alpenhorn.scan.digests import known_sha256
from tests.fixtures.index import MariaDBServer
from tests.fixtures.rows import MD5, Rows
from tests.index.daemon import make_daemon_index
from tests.record.waiting import await_a_waiter

ONE, TWO = "1a" * 32, "2b" * 32


def keep(rows: Rows, *read: Content) -> dict[int, str]:
    with rows.index.transaction():
        return keep_first(rows.index, read)


def known(rows: Rows, *file_ids: int) -> dict[int, str]:
    return known_sha256(rows.index, file_ids)


def test_the_first_sum_of_a_file_stays_and_another_one_is_reported(rows: Rows) -> None:
    first, second = rows.file("a"), rows.file("b")
    assert keep(rows, Content(first, 10, MD5, ONE)) == {}
    assert keep(rows, Content(first, 10, MD5, ONE), Content(second, 10, MD5, TWO)) == {}
    assert keep(rows, Content(first, 10, MD5, TWO), Content(second, 10, MD5, TWO)) == {first: ONE}
    assert known(rows, first, second, 999) == {first: ONE, second: TWO}
    assert keep(rows) == {} and keep(rows, Content(first, 10, MD5, "")) == {}  # it was not computed


@pytest.mark.parametrize(
    "row",
    [
        {"size_b": 11, "md5sum": MD5, "sha256": TWO},
        {"size_b": 10, "md5sum": "0" * 32, "sha256": TWO},
        {"size_b": 10, "md5sum": MD5, "sha256": "a" * 63},
        {"size_b": 10, "md5sum": MD5, "sha256": "not a sum"},
    ],
    ids=["length", "md5", "short", "text"],
)
def test_a_row_about_other_contents_is_not_believed_and_replaced(rows: Rows, row: dict[str, Any]) -> None:
    """The daemon changed the file, SQLite gave its id to another one, or the row is damaged."""
    file_id = rows.file("a")
    rows.insert("sync_digest", file_id=file_id, **row)
    assert known(rows, file_id) == {}
    assert keep(rows, Content(file_id, 10, MD5, ONE)) == {}
    assert known(rows, file_id) == {file_id: ONE}
    assert keep(rows, Content(file_id, 10, MD5, TWO)) == {file_id: ONE}


def test_upper_case_of_the_daemon_is_the_same_sum(rows: Rows) -> None:
    file_id = rows.file("a", md5sum=MD5.upper())
    keep(rows, Content(file_id, 10, MD5, ONE))
    assert known(rows, file_id) == {file_id: ONE}


def test_the_daemons_tables_may_have_another_collation(mariadb_index_url: str) -> None:
    index = Index.open(mariadb_index_url)
    make_daemon_index(index)
    create(index)
    rows = Rows(index)
    file_id = rows.file("a", md5sum=MD5.upper())
    assert keep(rows, Content(file_id, 10, MD5, ONE)) == {} and known(rows, file_id) == {file_id: ONE}
    index.close()


def test_many_are_kept_together(rows: Rows) -> None:
    file_ids = [rows.file(f"{number}") for number in range(1200)]
    assert keep(rows, *(Content(file_id, 10, MD5, ONE) for file_id in file_ids)) == {}
    assert known(rows, *file_ids) == dict.fromkeys(file_ids, ONE)
    other = {file_ids[0]: ONE, file_ids[1100]: ONE}
    assert keep(rows, *(Content(file_id, 10, MD5, TWO) for file_id in other)) == other


@pytest.mark.parametrize("stale", [False, True])
def test_of_two_at_the_same_moment_the_first_counts(
    mariadb: MariaDBServer, mariadb_index_url: str, stale: bool
) -> None:
    index = Index.open(mariadb_index_url)
    create(index)
    rows = Rows(index)
    file_id = rows.file("a")
    if stale:
        rows.insert("sync_digest", file_id=file_id, size_b=9, md5sum=MD5, sha256=TWO)
    second, watch = Index.open(mariadb_index_url), mariadb.connect()
    found: list[dict[int, str]] = []

    def another() -> None:
        found.append(second.retry(lambda: keep_first(second, [Content(file_id, 10, MD5, TWO)])))
        second.disconnect()  # the connection is this thread's

    thread = threading.Thread(target=another)
    with index.transaction():
        assert keep_first(index, [Content(file_id, 10, MD5, ONE)]) == {}
        thread.start()
        await_a_waiter(watch, thread)
    thread.join()
    assert found == [{file_id: ONE}] and known(rows, file_id) == {file_id: ONE}
    for one in (index, second, watch):
        one.close()


def checked(rows: Rows, run: Run, copy_id: int, file_id: int, sha256: str, **more: Any) -> None:
    file = CheckFile(copy_id, file_id, f"acq/{file_id}", 10, MD5, "M", sha256="")
    checks.settle(
        rows.index,
        run,
        rows.fact("one"),
        [CheckResult(file, **{"verdict": Verdict.GOOD} | more, sha256=sha256)],
    )


def test_a_check_that_lost_a_race_is_not_recorded_and_done_again(rows: Rows, run: Run) -> None:
    file_id = rows.file("a")
    copy_id = rows.copy(file_id, "one", "MY")
    keep(rows, Content(file_id, 10, MD5, ONE))  # since the check was started
    checked(rows, run, copy_id, file_id, TWO)
    assert rows.state(file_id, "one") == "MY" and known(rows, file_id) == {file_id: ONE}
    checked(rows, run, copy_id, file_id, ONE)
    assert rows.state(file_id, "one") == "YY"


def test_a_check_by_a_sum_that_a_user_has_replaced_since_is_not_recorded(rows: Rows, run: Run) -> None:
    file_id = rows.file("a")
    copy_id = rows.copy(file_id, "one", "MY")
    keep(rows, Content(file_id, 10, MD5, ONE))
    file = CheckFile(copy_id, file_id, "acq/a", 10, MD5, "M", sha256=TWO)
    why = Code.COPY_SHA256_WRONG(found=ONE, expected=TWO)
    result = CheckResult(file, Verdict.CORRUPT, error=why)
    checks.settle(rows.index, run, rows.fact("one"), [result])
    assert rows.state(file_id, "one") == "MY"
    why = Code.COPY_SHA256_WRONG(found=TWO, expected=ONE)
    result = CheckResult(file._replace(sha256=ONE), Verdict.CORRUPT, error=why)
    checks.settle(rows.index, run, rows.fact("one"), [result])
    assert rows.state(file_id, "one") == "XY"


def test_a_check_by_outdated_values_records_no_sum(rows: Rows, run: Run) -> None:
    file_id = rows.file("a", md5sum="0" * 32)
    copy_id = rows.copy(file_id, "one", "MY")
    checked(rows, run, copy_id, file_id, ONE)
    assert rows.all("SELECT * FROM sync_digest") == []


def test_a_pull_that_lost_a_race_is_suspect_and_its_request_stays(rows: Rows, run: Run) -> None:
    file_id = rows.file("a")
    rows.copy(file_id, "field", "YY")
    request = rows.request(file_id)
    rows.insert(
        "sync_claim",
        kind="pull",
        file_id=file_id,
        target_id=rows.group["one"],
        node_id=rows.node["one"],
        reserved_b=0,
        host="here",
        run_id=run.id,
        expires="2099-01-01 00:00:00",
        fence=1,
    )
    keep(rows, Content(file_id, 10, MD5, ONE))
    file = PullFile(request, file_id, "acq/a", 10, MD5, sha256="")
    result = PullResult(file, Verdict.PULLED, 1.0, 2.0, 4096, Method.COPY, sha256=TWO)
    pulls.settle(rows.index, run, rows.fact("field"), rows.fact("one"), [result])
    assert rows.state(file_id, "one") == "MY" and rows.request_state(request) == "pending"
    assert known(rows, file_id) == {file_id: ONE}


def test_no_pull_may_replace_a_copy_that_only_sha256_tells_from_the_file(rows: Rows, run: Run) -> None:
    """Whose sum came first is no proof of whose contents are right."""
    file_id = rows.file("a")
    keep(rows, Content(file_id, 10, MD5, ONE))
    node_id = rows.node["one"]
    rows.copy(file_id, "one", "YY")
    once_good(rows.index, node_id, [file_id])
    found = ImportResult(ImportFile("acq/a", "acq", "a"), Verdict.HASHED, 10, MD5, 4096, sha256=TWO)
    settled = imports.settle(rows.index, run, rows.fact("one"), [found])
    ((path, why),) = settled.differ
    assert path == "acq/a" and TWO in why and ONE in why
    assert rows.state(file_id, "one") == "XY" and not with_evidence(rows.index, node_id, [file_id])
