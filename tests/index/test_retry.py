"""`Index.retry` against sessions that are killed, servers that restart, deadlocks and locks."""

from __future__ import annotations

import logging
import multiprocessing
import threading
from contextlib import nullcontext
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from typing import Any

import pytest

from alpenhorn.errors import IndexUnusable, Refused
from alpenhorn.index import schema
from alpenhorn.index.connection import Index
from alpenhorn.index.engines import IndexInterrupted
from alpenhorn.index.tables import ArchiveAcq
from tests.fixtures.index import MariaDBServer

fork = multiprocessing.get_context("fork")


@pytest.fixture
def maria(mariadb_index_url: str) -> Any:
    index = Index.open(mariadb_index_url)
    schema.create(index)
    yield index
    index.close()


@pytest.fixture
def sqlite(sqlite_index_url: str) -> Any:
    index = Index.open(sqlite_index_url, create=True)
    schema.create(index)
    yield index
    index.close()


def kill_session(mariadb: MariaDBServer, index: Index) -> None:
    (number,) = index.db.execute_sql("SELECT CONNECTION_ID()").fetchone()
    mariadb.run(f"KILL CONNECTION {number}")


def names(index: Index) -> list[str]:
    return [row[0] for row in index.execute("SELECT name FROM archiveacq ORDER BY name").fetchall()]


@pytest.mark.parametrize("moment", ["before the first statement", "between two", "before the commit"])
def test_work_is_done_once_though_the_server_killed_the_session(
    mariadb: MariaDBServer, maria: Index, moment: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "alpenhorn")
    attempts: list[int] = []

    def work() -> str:
        attempts.append(1)
        if len(attempts) == 1 and moment == "before the first statement":
            kill_session(mariadb, maria)
        maria.execute(maria.insert_ignore("archiveacq", ("name",)), ("a",))
        if len(attempts) == 1 and moment == "between two":
            kill_session(mariadb, maria)
        ArchiveAcq.create(name="b")
        if len(attempts) == 1 and moment == "before the commit":
            kill_session(mariadb, maria)
        return "done"

    assert maria.retry(work) == "done"
    assert len(attempts) == 2
    (said,) = [record.getMessage() for record in caplog.records if record.name.startswith("alpenhorn")]
    assert "lost the connection" in said and said.endswith("; trying again")
    assert names(maria) == ["a", "b"]


def test_an_error_of_the_work_is_raised_although_the_session_is_lost(
    mariadb: MariaDBServer, maria: Index
) -> None:
    def work() -> None:
        kill_session(mariadb, maria)
        raise Refused("no")

    with pytest.raises(Refused):
        maria.retry(work)
    assert names(maria) == []


def test_a_lost_session_is_noticed_by_a_plain_select_and_replaced(
    mariadb: MariaDBServer, maria: Index
) -> None:
    kill_session(mariadb, maria)
    assert maria.execute("SELECT 1").fetchone() == (1,)


def test_a_plain_write_is_not_repeated(mariadb: MariaDBServer, maria: Index) -> None:
    kill_session(mariadb, maria)
    with pytest.raises(IndexInterrupted, match="lost the connection to the server"):
        maria.execute("INSERT INTO archiveacq (name) VALUES ('a')")


def test_a_server_that_restarts_is_waited_for(mariadb: MariaDBServer, maria: Index) -> None:
    attempts: list[int] = []

    def work() -> None:
        attempts.append(1)
        ArchiveAcq.create(name="a")
        if len(attempts) == 1:
            mariadb.stop()
            mariadb.launch()

    maria.retry(work)
    assert len(attempts) == 2
    assert names(maria) == ["a"]


def test_a_long_wait_is_reported_while_it_lasts(mariadb: MariaDBServer, maria: Index) -> None:
    """The server is started again only once the wait was reported."""
    reports: list[int] = []

    def on_wait() -> None:
        if not reports:
            mariadb.start()
        reports.append(1)

    maria.on_wait = on_wait
    mariadb.stop()
    try:
        maria.retry(lambda: ArchiveAcq.create(name="a"))
    finally:
        if not reports:
            mariadb.start()
    assert reports
    assert names(maria) == ["a"]


def test_a_lost_server_is_reported(mariadb: MariaDBServer, maria: Index) -> None:
    mariadb.stop()
    try:
        maria.patience = 0.3
        with pytest.raises(IndexUnusable, match=r"cannot be reached.*gave up after 0.3 s"):
            maria.retry(lambda: ArchiveAcq.create(name="a"))
    finally:
        mariadb.start()
    assert maria.retry(lambda: names(maria)) == []


def _cross(url: str, nested: bool, mine: str, other: str, barrier: Barrier, answers: Any) -> None:
    """Lock two rows in a given order."""
    index = Index.open(url)
    attempts = 0

    def work() -> None:
        nonlocal attempts
        attempts += 1
        # A deadlock takes a savepoint with it, which then cannot be rolled back to.
        with index.transaction() if nested else nullcontext():
            index.execute("UPDATE archiveacq SET comment = CONCAT(comment, ?) WHERE name = ?", ("+", mine))
            if attempts == 1:
                barrier.wait(30)
            index.execute("UPDATE archiveacq SET comment = CONCAT(comment, ?) WHERE name = ?", ("+", other))

    try:
        index.retry(work)
        answers.put(attempts)
    except Exception as error:
        answers.put(error)
    finally:
        index.close()


@pytest.mark.parametrize("nested", [False, True])
def test_a_deadlock_of_two_processes_is_resolved(maria: Index, mariadb_index_url: str, nested: bool) -> None:
    for name in ("a", "b"):
        ArchiveAcq.create(name=name, comment="")
    barrier, answers = fork.Barrier(2), fork.Queue()
    processes = [
        fork.Process(target=_cross, args=(mariadb_index_url, nested, mine, other, barrier, answers))
        for mine, other in (("a", "b"), ("b", "a"))
    ]
    for process in processes:
        process.start()
    attempts = [answers.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert sorted(attempts) == [1, 2]
    rows = maria.execute("SELECT name, comment FROM archiveacq ORDER BY name").fetchall()
    assert rows == (("a", "++"), ("b", "++"))


def _hold(url: str, pipe: Connection) -> None:
    """Hold the write lock between the first two lines of input."""
    index = Index.open(url)
    with index.transaction():
        index.execute("INSERT INTO archiveacq (name) VALUES ('theirs')")
        pipe.send("locked")
        pipe.recv()
    index.close()


def test_a_write_lock_of_another_process_is_waited_for(sqlite: Index, sqlite_index_url: str) -> None:
    ours, theirs = fork.Pipe()
    holder = fork.Process(target=_hold, args=(sqlite_index_url, theirs))
    holder.start()
    assert ours.recv() == "locked"
    sqlite.db.timeout = 0.05
    sqlite.patience = 0.3
    with pytest.raises(IndexUnusable, match=r": locked by another program.*gave up after 0.3 s"):
        sqlite.retry(lambda: ArchiveAcq.create(name="ours"))
    assert names(sqlite) == []  # reading goes on meanwhile
    sqlite.patience = 60.0
    release = threading.Timer(0.3, ours.send, ("go on",))
    release.start()
    sqlite.retry(lambda: ArchiveAcq.create(name="ours"))
    release.join()
    holder.join()
    assert names(sqlite) == ["ours", "theirs"]


def test_reading_before_writing_is_safe_only_because_the_lock_is_taken_at_once(
    sqlite: Index, sqlite_index_url: str
) -> None:
    other = Index.open(sqlite_index_url)
    other.db.timeout = 0.05
    write = "INSERT INTO archiveacq (name) VALUES (?)"
    with sqlite.transaction():
        sqlite.execute("SELECT * FROM archiveacq").fetchall()
        with pytest.raises(IndexInterrupted):
            other.execute(write, ("theirs",))
        sqlite.execute(write, ("ours",))
    # The mutant: an ordinary BEGIN.
    with pytest.raises(IndexInterrupted), sqlite.db.atomic():
        sqlite.execute("SELECT * FROM archiveacq").fetchall()
        other.execute(write, ("theirs",))
        sqlite.execute(write, ("lost",))
    other.close()
    assert names(sqlite) == ["ours", "theirs"]


def _count(url: str, times: int) -> None:
    index = Index.open(url)
    lock = "" if index.dialect.in_a_file else " FOR UPDATE"

    def work() -> None:
        (comment,) = index.execute(f"SELECT comment FROM archiveacq WHERE name = 'n'{lock}").fetchone()
        index.execute("UPDATE archiveacq SET comment = ? WHERE name = 'n'", (str(int(comment) + 1),))

    for _ in range(times):
        index.retry(work)
    index.close()


def test_no_update_is_lost_among_four_processes(index: Index, index_url: str) -> None:
    ArchiveAcq.create(name="n", comment="0")
    processes = [fork.Process(target=_count, args=(index_url, 50)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert index.execute("SELECT comment FROM archiveacq").fetchone() == ("200",)


def test_within_a_transaction_it_is_a_part_of_that(index: Index) -> None:
    with pytest.raises(KeyError), index.transaction():
        index.retry(lambda: ArchiveAcq.create(name="a"))
        raise KeyError
    assert names(index) == []
