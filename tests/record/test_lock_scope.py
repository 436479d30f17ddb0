"""Transactions of a host wait for no rows of other hosts on MariaDB, whatever the server believes about the tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from alpenhorn.index.connection import Index
from alpenhorn.model.tasks import Blame
from alpenhorn.record import claims
from alpenhorn.record import run as runs
from alpenhorn.record.attempts import Failure, failed, succeeded
from alpenhorn.record.imports import Imported
from alpenhorn.record.run import Run
from alpenhorn.scan.deletions import claims_on
from alpenhorn.scan.good_since import good_since
from tests.fixtures.claims import claim, wanted
from tests.fixtures.index import MariaDBServer, open_empty
from tests.fixtures.rows import THERE, WHEN, Rows
from tests.record.test_imports import imported, result

FILES = 40


@pytest.fixture
def index(mariadb_index_url: str) -> Iterator[Index]:
    """An index that does not wait for locks: IndexUnusable is raised at once."""
    opened = open_empty(mariadb_index_url)
    try:
        with opened.impatient():
            opened.execute("SET SESSION innodb_lock_wait_timeout = 0")
            yield opened
    finally:
        opened.close()


@pytest.fixture
def theirs(mariadb: MariaDBServer, index: Index) -> Iterator[Any]:
    """A cursor in a transaction of another host."""
    connection = mariadb.connect()
    connection.select_db(index.db.database)
    connection.query("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
    connection.begin()
    try:
        yield connection.cursor()
    finally:
        connection.close()


def claim_files(rows: Rows, run: Run, node: str) -> dict[int, int]:
    """Claim files to be pulled onto a node; return their fences."""
    files = [rows.file(f"{run.id}-{node}-{number}") for number in range(FILES)]
    pulls = [wanted(rows, rows.request(file_id), file_id, node) for file_id in files]
    assert len(claim(rows.index, run, pulls)) == FILES
    return dict.fromkeys(files, 1)


def test_claims_are_recorded_while_another_host_records_its_own(rows: Rows, run: Run, theirs: Any) -> None:
    index, group = rows.index, rows.group["one"]
    other = rows.begin(THERE)
    held, fences = claim_files(rows, other, "one_too"), claim_files(rows, run, "one")
    kept, let_go = list(fences)[::2], list(fences)[1::2]
    theirs.execute(
        "SELECT * FROM sync_claim FORCE INDEX (sync_claim_run_id) WHERE run_id = %s FOR UPDATE", [other.id]
    )
    assert theirs.rowcount == len(held)
    with index.transaction():
        assert claims.held_claims(index, run, "pull", group, fences) == set(fences)
        claims.release(index, run, group, let_go)
    assert claims.renew(index, run) == 0
    assert claims.drop_dead(index, run._replace(id=run.id + 100), [rows.node["one"]]) == len(kept)
    claim_files(rows, run, "two")
    runs.end(index, run, 0, {}, {})
    assert {run_id for _, _, run_id in rows.claims()} == {other.id}


def test_failed_attempts_are_cleared_while_another_host_records_its_own(
    rows: Rows, run: Run, theirs: Any
) -> None:
    failures = [Failure(number, Blame.NETWORK, "why") for number in range(FILES)]
    rows.index.retry(lambda: failed(rows.index, run, "pull", failures))
    mine = list(range(0, FILES, 2))
    theirs.execute(
        "SELECT * FROM sync_attempt FORCE INDEX (sync_attempt_kind_subject_id)"
        " WHERE kind = 'pull' AND subject_id IN %s FOR UPDATE",
        [list(range(1, FILES, 2))],
    )
    assert theirs.rowcount == FILES - len(mine)
    rows.index.retry(lambda: succeeded(rows.index, "pull", mine))
    assert len(rows.attempts("pull")) == FILES - len(mine)


def test_files_are_imported_while_another_host_adds_some_to_the_acquisition(
    rows: Rows, run: Run, theirs: Any
) -> None:
    theirs.execute(
        "INSERT INTO archivefile (acq_id, name, registered) VALUES (%s, 'theirs', %s)", [rows.acq, WHEN]
    )
    assert imported(rows, run, result("ours", acq="acq")) == Imported(1, 0, [], [])


def rows_read(rows: Rows) -> int:
    """Return the number of rows and index entries that this session has read since FLUSH STATUS."""
    return sum(int(value) for _, value in rows.all("SHOW SESSION STATUS LIKE 'Handler_read_%'"))


def test_the_rows_of_other_files_are_not_read_for_each_file(rows: Rows) -> None:
    files = [rows.file(str(number)) for number in range(FILES)]
    for file_id in files:
        rows.insert("sync_verification", file_id=file_id, node_id=rows.node["one"], verified=WHEN)
    rows.do("FLUSH STATUS")
    assert len(good_since(rows.index, rows.node["one"], files)) == FILES
    assert rows_read(rows) < 5 * FILES


def test_the_claims_of_other_hosts_are_not_read_for_each_batch(rows: Rows) -> None:
    for _ in range(10):
        claim_files(rows, rows.begin(THERE), "one_too")
    files = [rows.file(f"ours{number}") for number in range(FILES)]
    rows.do("FLUSH STATUS")
    assert claims_on(rows.index, files) == []
    assert rows_read(rows) < 5 * FILES
