"""An index that is unavailable or does not answer during a long copy; and signals meanwhile."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import peewee as pw
import pytest

from alpenhorn.errors import IndexUnusable
from alpenhorn.index.connection import Index
from tests.fixtures.archive import Archive, Running, ended_within, stand_in, wait_for
from tests.fixtures.index import MariaDBServer

PATIENCE = 0.3


@contextmanager
def shut_down(server: MariaDBServer) -> Iterator[None]:
    server.stop()
    try:
        yield
    finally:
        server.start()


class Slow:
    """A pull that waits until `gate` exists; each start writes a line to `begun`."""

    def __init__(self, archive: Archive) -> None:
        self.archive = archive
        self.begun, self.gate = archive.base / "begun", archive.base / "gate"
        script = (
            f"echo >>{self.begun}; while [ ! -e {self.gate} ]; do read -t 0.05 </dev/zero; sleep 0.05; done\n"
            'exec rsync "$@"'
        )
        program = stand_in(archive.base / "bin", "slow", script)
        self.conf = archive.configure(transfer={"rsync": str(program)})
        archive.node("field")
        archive.node("safe", archive=1, io_config='{"method": "rsync"}')
        self.file_id = archive.file("acq/long", b"bytes" * 1000, "field")
        self.request = archive.request(self.file_id, "field", "safe")
        self.place = archive.root("safe") / "acq" / "long"

    def begins(self) -> int:
        return len(self.begun.read_text().splitlines()) if self.begun.exists() else 0

    def open(self) -> None:
        self.gate.touch()

    def started(self) -> Running:
        """Start a run in its own process, and wait until it is in the middle of the pull."""
        run = self.archive.start("sync")
        wait_for(self.begins, "the pull")
        return run


@pytest.fixture
def slow(mariadb_archive: Archive) -> Slow:
    return Slow(mariadb_archive)


# A run whose patience is short.
IMPATIENT = f"""
import sys
from pathlib import Path
from alpenhorn.cli.app import App
from alpenhorn.coordinator.report import Asked, Unwatched
from alpenhorn.coordinator.sync import sync
from alpenhorn.workers.pool import Pool
from alpenhorn.workers.worker import Worker
app = App(sys.argv[2])
worker = Worker(app.config.transfer)
with Pool(2, worker, before_fork=app.disconnect) as pool:
    app.index.patience = {PATIENCE}
    report = sync(app.index, pool, app.config, Asked(), Unwatched(), app.now, lambda: False)
    print(*report.failures.lines())
sys.exit(report.exit_status)
"""


@pytest.mark.parametrize("away", [MariaDBServer.stopped, shut_down])
def test_situation_16_a_copy_outlasts_an_index_that_is_away_for_longer_than_its_patience(
    slow: Slow, mariadb: MariaDBServer, away: object
) -> None:
    slow.archive.program = ("-c", IMPATIENT)
    run = slow.started()
    slow.archive.index.disconnect()
    with away(mariadb):  # type: ignore[operator]
        slow.open()
        wait_for(slow.place.exists, "the file at its place")
        assert not ended_within(run.process, 10 * PATIENCE)  # the outcome waits to be recorded
    result = run.result()
    assert result.status == 0 and not result.out.strip(), result
    archive = slow.archive
    assert archive.state(slow.request) == "done" and archive.copy(slow.file_id, "safe") == "YY"
    assert slow.begins() == 1 and archive.claims() == 0
    assert archive.one("SELECT exit_status FROM sync_run") == 0


def test_situation_16_what_was_placed_and_not_recorded_is_not_copied_again(
    slow: Slow, mariadb: MariaDBServer
) -> None:
    run = slow.started()
    with mariadb.stopped():
        slow.open()
        wait_for(slow.place.exists, "the file at its place")
        run.kill()
    run.wait_until_nothing_is_left()
    archive = slow.archive
    for _ in range(2):  # it is read as a suspect copy, and its request is settled by what was found
        archive.sync()
    assert archive.pending() == 0 and archive.copy(slow.file_id, "safe") == "YY"
    assert slow.begins() == 1 and archive.violations() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_situation_25_a_signal_ends_a_run_whose_server_stands_still(
    slow: Slow, mariadb: MariaDBServer, number: signal.Signals
) -> None:
    run = slow.started()
    with mariadb.stopped():
        slow.open()
        wait_for(slow.place.exists, "the file at its place")
        began = time.monotonic()
        run.process.send_signal(number)
        result = run.result(40)
        assert time.monotonic() - began < 30
        assert result.status == 3 and "index" in result.err, result
    run.wait_until_nothing_is_left()
    slow.archive.sync()


def test_situation_25_a_second_signal_ends_it_at_once(slow: Slow, mariadb: MariaDBServer) -> None:
    run = slow.started()
    log = slow.archive.base / "here.log"
    with mariadb.stopped():
        slow.open()
        wait_for(slow.place.exists, "the file at its place")
        run.process.send_signal(signal.SIGTERM)
        run.process.send_signal(signal.SIGINT)
        began = time.monotonic()
        assert run.result(40).status in (3, 130, 143), log.read_text()
        assert time.monotonic() - began < 15
    run.wait_until_nothing_is_left()


def test_situation_25_ctrl_c_ends_any_command(mariadb_archive: Archive, mariadb: MariaDBServer) -> None:
    archive = mariadb_archive
    archive.node("field")
    archive.index.disconnect()
    admin = mariadb.connect()
    # The command waits for an answer: a table that it needs is locked, and then the server stands still.
    admin.query(f"LOCK TABLES {archive.url.partition('?')[0].rpartition('/')[2]}.storagenode WRITE")
    try:
        run = archive.start("node", "list")
        wait_for(lambda: waiting(mariadb), "the statement")
        with mariadb.stopped():
            began = time.monotonic()
            run.process.send_signal(signal.SIGINT)
            assert run.result().status == 130
            assert time.monotonic() - began < 10
    finally:
        admin.close()


def waiting(server: MariaDBServer) -> bool:
    connection = server.connect()
    try:
        cursor = connection.cursor()
        cursor.execute(
            "SELECT COUNT(*) FROM information_schema.processlist WHERE state LIKE 'Waiting for table%'"
        )
        return bool(cursor.fetchone()[0])
    finally:
        connection.close()


def test_situation_25_an_answer_that_does_not_come_in_time_counts_as_a_lost_session(
    mariadb_archive: Archive, mariadb: MariaDBServer
) -> None:
    index = mariadb_archive.index
    index.patience = PATIENCE
    index.answer_within(0.2)
    assert index.execute("SELECT 1").fetchone() == (1,)
    with pytest.raises(IndexUnusable, match="did not answer in time"):
        index.execute("SELECT SLEEP(30)")
    index.answer_within(None)
    assert index.execute("SELECT SLEEP(0.5), 2").fetchone() == (0, 2)


def test_situation_25_slow_operations_are_allowed(mariadb_archive: Archive) -> None:
    index = mariadb_archive.index
    before = index.answer_within(None)
    assert before is not None and before >= 1800
    assert index.answer_within(before) is None


def test_a_lost_index_is_tried_once_and_not_waited_for_again(
    mariadb_index_url: str, mariadb: MariaDBServer
) -> None:
    index = Index.open(mariadb_index_url)
    index.patience = PATIENCE
    try:
        with shut_down(mariadb):
            with pytest.raises(IndexUnusable, match=f"gave up after {PATIENCE} s"):
                index.execute("SELECT 1")
            index.patience = 60.0
            began = time.monotonic()
            with pytest.raises(IndexUnusable):
                index.execute("SELECT 1")
            assert time.monotonic() - began < 10
        assert index.execute("SELECT 1").fetchone() == (1,)
    finally:
        index.close()


# A session that fetches a large result of which the second part does not come.
FETCHING = """
import sys
from alpenhorn.errors import IndexUnusable
from alpenhorn.index.connection import Index
from alpenhorn.workers.pool import Pool
from alpenhorn.workers.stopping import StopRequest
with Pool(1, print) as pool, StopRequest(pool.wakeup) as stopping:
    index = Index.open(sys.argv[1])
    index.stopping = stopping
    try:
        index.execute("SELECT REPEAT('x', 100000), SLEEP(n) FROM (SELECT 0 AS n UNION ALL SELECT 1000) AS two")
    except IndexUnusable as error:
        print(error)
"""


@pytest.mark.parametrize(
    ("numbers", "status", "seconds"),
    [((signal.SIGTERM,), 0, 20), ((signal.SIGINT, signal.SIGTERM), 143, 5), ((signal.SIGHUP,), 0, 20)],
)
def test_situation_25_a_signal_is_heard_in_the_middle_of_a_large_result(
    mariadb_archive: Archive,
    mariadb: MariaDBServer,
    numbers: tuple[signal.Signals, ...],
    status: int,
    seconds: float,
) -> None:
    archive = mariadb_archive
    argv = [sys.executable, "-c", FETCHING, archive.url]
    run = Running(argv, dict(os.environ), archive.base / "said")
    database = archive.url.partition("?")[0].rpartition("/")[2]
    wait_for(lambda: sleeping(mariadb, database), "the second part")
    with mariadb.stopped():
        began = time.monotonic()
        for number in numbers:
            run.process.send_signal(number)
        result = run.result(60)
        assert time.monotonic() - began < seconds
    assert result.status == status, result
    assert ("did not answer in time" in result.out) == (status == 0)


def test_a_large_statement_and_a_large_result_are_complete(mariadb_archive: Archive) -> None:
    index = mariadb_archive.index
    for size in (100, 10_000, 1_000_000):
        text = "ä" * size
        assert index.execute("SELECT ?, ?", (text, 5)).fetchall() == ((text, 5),)
    with pytest.raises(pw.ProgrammingError):
        index.execute("SELECT ? FROM nonesuch", ("x" * 100_000,))
    assert index.execute("SELECT 1").fetchone() == (1,)


def sleeping(server: MariaDBServer, database: str) -> bool:
    connection = server.connect()
    try:
        cursor = connection.cursor()
        cursor.execute(
            "SELECT COUNT(*) FROM information_schema.processlist WHERE state = 'User sleep' AND db = %s",
            (database,),
        )
        return bool(cursor.fetchone()[0])
    finally:
        connection.close()
