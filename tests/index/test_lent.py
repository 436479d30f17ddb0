"""The database of a package as the database of the index: one connection, in whose transactions both take part."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

import peewee as pw
import pytest
from playhouse.pool import PooledSqliteDatabase

from alpenhorn import address
from alpenhorn.errors import IndexUnusable
from alpenhorn.index.check import Level, check
from alpenhorn.index.connection import Index
from alpenhorn.index.connector import Connector, Lender, fault
from alpenhorn.index.current import require_current
from alpenhorn.index.engines import IndexInterrupted
from alpenhorn.index.lent import lent
from alpenhorn.index.schema import create
from alpenhorn.index.tables import ArchiveAcq
from tests.fixtures.index import MariaDBServer, open_empty
from tests.fixtures.interrupting import require_interruption


def parameters(url: str) -> tuple[str, dict[str, Any]]:
    """Return the database and the parameters with which peewee connects to the index at a URL."""
    path = address.sqlite_path(url)
    if path is not None:
        return path, {}
    server = address.server(url)
    return server.name, {"user": server.user, "unix_socket": server.socket}


class Package:
    """A package with a database.  `asked`, `closed`: how often it was asked to connect, and to close."""

    def __init__(self, url: str, **more: Any) -> None:
        name, given = parameters(url)
        kind = pw.MySQLDatabase if given else pw.SqliteDatabase
        self.db: Any = kind(name, **given, **more)
        self.asked = self.closed = 0
        self.error: BaseException | None = None

    def connect(self) -> Any:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return self.db

    def close(self) -> None:
        self.closed += 1

    @property
    def lender(self) -> Lender:
        return Lender(Connector(self.connect, self.close), "site", "site-package")

    def open(self) -> Index:
        return Index.over(lent(self.lender), self.lender.shown)


@pytest.fixture
def opened(index_url: str) -> Iterator[tuple[Package, Index]]:
    open_empty(index_url).close()
    package = Package(index_url)
    index = package.open()
    yield package, index
    index.close()


def acqs(index: Index) -> list[str]:
    return index.values("SELECT name FROM archiveacq ORDER BY name")


def theirs(package: Package) -> type[pw.Model]:
    """Return a model of the package for a table of alpenhorn."""

    class Acq(pw.Model):
        name = pw.CharField()

        class Meta:
            database = package.db
            table_name = "archiveacq"

    return Acq


def test_models_of_both_take_part_in_one_transaction(opened: tuple[Package, Index]) -> None:
    package, index = opened
    acq = theirs(package)
    with pytest.raises(RuntimeError), index.transaction():
        acq.create(name="theirs")
        ArchiveAcq.create(name="ours")
        assert acqs(index) == ["ours", "theirs"]
        raise RuntimeError
    assert not acqs(index)
    with index.transaction(), package.db.atomic():
        acq.create(name="theirs")
        ArchiveAcq.create(name="ours")
    package.db.close()
    assert acqs(index) == ["ours", "theirs"] and package.asked == 2


def settings(index: Index) -> tuple[Any, ...]:
    if index.dialect.in_a_file:
        return tuple(index.db.pragma(name) for name in ("synchronous", "foreign_keys", "busy_timeout"))
    return tuple(
        index.execute(
            "SELECT @@autocommit, @@tx_isolation, @@innodb_lock_wait_timeout, @@sql_mode LIKE '%STRICT_ALL%',"
            " @@optimizer_switch LIKE '%exists_to_in=off%'"
        ).fetchone()
    )


def test_each_session_has_the_settings_on_which_alpenhorn_relies(opened: tuple[Package, Index]) -> None:
    package, index = opened
    wanted = (2, 0, 30000) if index.dialect.in_a_file else (1, "READ-COMMITTED", 20, 1, 1)
    assert settings(index) == wanted
    index.disconnect()
    assert settings(index) == wanted
    # Also one that code of the package has opened, in which these are the defaults.
    package.db.close()
    package.db.connect()
    assert settings(index) == wanted


def test_tables_are_created_in_a_database_of_a_package(index_url: str) -> None:
    package = Package(index_url)
    index = package.open()
    with pytest.raises(
        IndexUnusable, match="index of the extension site: no tables; run `alpenhorn db init`"
    ):
        require_current(index)
    create(index)
    require_current(index)
    assert not create(index) and all(one.level != Level.FAIL for one in check(index))
    index.close()


def test_a_statement_is_interrupted_through_a_second_connection_of_the_package(
    opened: tuple[Package, Index],
) -> None:
    package, index = opened
    before = index.db.connection()
    require_interruption(index, index.db.execute_sql)
    assert index.db.connection() is before and acqs(index) == [] and package.asked == 1


def test_statements_in_a_session_that_the_driver_replaced_are_not_committed(
    mariadb: MariaDBServer, mariadb_index_url: str
) -> None:
    open_empty(mariadb_index_url).close()
    package = Package(mariadb_index_url)
    index = package.open()
    attempts: list[int] = []

    def replace() -> None:
        mariadb.run(f"KILL CONNECTION {index.db.connection().thread_id()}")
        # As a driver does that connects again automatically.
        package.db._state.conn.__init__(
            autocommit=True, database=package.db.database, **package.db.connect_params
        )

    def work() -> None:
        attempts.append(1)
        ArchiveAcq.create(name="first")
        if len(attempts) == 1:
            replace()
        ArchiveAcq.create(name="second")

    with (
        pytest.raises(IndexInterrupted, match="the session was replaced within a transaction"),
        index.transaction(),
    ):
        work()
    assert not acqs(index)
    attempts.clear()
    index.retry(work)
    assert len(attempts) == 2 and acqs(index) == ["first", "second"]
    replace()
    assert settings(index) == (1, "READ-COMMITTED", 20, 1, 1)
    index.close()


def test_a_lost_session_is_restored_by_the_package(mariadb: MariaDBServer, mariadb_index_url: str) -> None:
    open_empty(mariadb_index_url).close()
    package = Package(mariadb_index_url)
    index = package.open()
    mariadb.run(f"KILL CONNECTION {index.db.connection().thread_id()}")
    # It has found another way to the same database.
    package.db = Package(mariadb_index_url).db
    ArchiveAcq.create(name="a") if acqs(index) else index.retry(lambda: ArchiveAcq.create(name="a"))
    assert acqs(index) == ["a"] and package.asked == 2
    assert package.db._state.conn is index.db.connection()
    package.error = ConnectionError("the tunnel is closed")
    index.disconnect()
    with index.impatient(), pytest.raises(IndexUnusable, match="cannot connect: ConnectionError: the tunnel"):
        acqs(index)
    package.error = None
    assert acqs(index) == ["a"]
    package.db = Package(mariadb.url("mysql")).db
    index.disconnect()
    with pytest.raises(IndexUnusable, match="now returns another database"):
        acqs(index)
    index.close()


def test_another_index_of_the_same_name_is_refused(opened: tuple[Package, Index]) -> None:
    _, index = opened
    index.execute("INSERT INTO sync_index (name, value) VALUES ('identity', 'one')")
    for _ in range(2):
        index.disconnect()
        assert acqs(index) == []
    # As if the package had reached another server.
    index.execute("UPDATE sync_index SET value = 'other' WHERE name = 'identity'")
    index.disconnect()
    with pytest.raises(IndexUnusable, match="the package now returns another index"):
        acqs(index)


def test_whether_there_is_a_cluster_is_asked_in_the_same_session(opened: tuple[Package, Index]) -> None:
    package, index = opened
    with index.transaction():
        before = index.db.connection()
        assert not index.galera
        assert index.db.connection() is before
    index.disconnect()
    assert not index.galera and package.asked == 2


def test_a_package_is_asked_to_close_once_at_the_end(opened: tuple[Package, Index]) -> None:
    package, index = opened
    index.disconnect()
    acqs(index)
    assert package.closed == 0
    index.close()
    assert package.closed == 1 and package.db.is_closed()


def test_a_disconnect_also_closes_the_connections_of_a_pool(sqlite_index_url: str) -> None:
    open_empty(sqlite_index_url).close()
    package = Package(sqlite_index_url)
    package.db = PooledSqliteDatabase(package.db.database, max_connections=2)
    index = package.open()
    for _ in range(5):
        connection = index.db.connection()
        index.disconnect()
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            connection.execute("SELECT 1")
    assert acqs(index) == []
    index.close()


def test_rows_are_tuples_and_checked_whatever_the_package_prefers(sqlite_index_url: str) -> None:
    open_empty(sqlite_index_url).close()
    package = Package(sqlite_index_url)
    package.db.connect()
    package.db.connection().row_factory = sqlite3.Row
    index = package.open()
    index.execute("INSERT INTO archivefile (acq_id, name, size_b, registered) VALUES (3, 'f', 'much', 5)")
    row = index.execute("SELECT id, name, size_b FROM archivefile").fetchone()
    assert tuple(row) == (1, "f", None) and isinstance(row, tuple)
    assert "row 1 of archivefile: size_b" in next(iter(index.odd))
    index.close()


def test_rows_of_a_server_are_tuples(mariadb_index_url: str) -> None:
    from MySQLdb.cursors import DictCursor

    open_empty(mariadb_index_url).close()
    index = Package(mariadb_index_url, cursorclass=DictCursor).open()
    assert index.execute("SELECT 1, 2").fetchone() == (1, 2)
    index.close()


def refused(package: Package) -> str:
    with pytest.raises(IndexUnusable) as raised:
        index = package.open()
        index.value("SELECT 1")
    said = str(raised.value)
    assert said.startswith("index of the extension site: ") and raised.value.exit_status == 3
    return said


@pytest.mark.parametrize(
    ("returned", "why"),
    [
        (lambda path: None, "returned NoneType; expected a SqliteDatabase or MySQLDatabase"),
        (lambda path: pw.Database(path), "returned Database; expected"),
        (lambda path: pw.DatabaseProxy(), "returned DatabaseProxy; expected"),
        (lambda path: pw.SqliteDatabase(None), "a database without a name"),
        (lambda path: pw.SqliteDatabase(":memory:"), "the database is only in memory"),
        (lambda path: pw.SqliteDatabase(path, thread_safe=False), "was made with thread_safe=False"),
        (lambda path: pw.SqliteDatabase(path, detect_types=sqlite3.PARSE_DECLTYPES), "converts dates"),
        (lambda path: in_transaction(pw.SqliteDatabase(path)), "has an open transaction"),
        (
            lambda path: pw.SqliteDatabase(f"{path}/nothing"),
            "cannot connect: OperationalError: unable to open",
        ),
    ],
)
def test_a_database_that_cannot_be_used_is_refused(
    sqlite_index_url: str, returned: Callable[[str], Any], why: str
) -> None:
    open_empty(sqlite_index_url).close()
    package = Package(sqlite_index_url)
    package.db = returned(str(package.db.database))
    assert why in refused(package)


def in_transaction(db: pw.SqliteDatabase) -> pw.SqliteDatabase:
    db.connect()
    db.atomic().__enter__()
    return db


@pytest.mark.parametrize("charset", ["latin1", "utf8mb3"])
def test_a_connection_that_changes_names_is_refused(mariadb_index_url: str, charset: str) -> None:
    assert "use the character set utf8mb4" in refused(Package(mariadb_index_url, charset=charset))


def test_a_server_that_refuses_the_package_is_reported_without_the_password(mariadb: MariaDBServer) -> None:
    package = Package(mariadb.url("mysql", user="nobody"), password="s3cret")
    said = refused(package)
    assert "Access denied for user 'nobody'@'localhost'" in said and "check how site-package" in said
    assert "s3cret" not in said


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("the tunnel is closed"), "RuntimeError: the tunnel is closed"),
        (SystemExit(3), "SystemExit: 3"),
        (KeyError("db"), "KeyError: 'db'"),
        (OSError("failed: (1045, \"denied for 'a'@'b' (using password: YES)\")"), "OSError: failed: (1045"),
        (OSError("mysql://user:s3cret@host/db: no route"), "OSError: (not shown"),
        (TypeError("got {'user': 'a', 'passwd': 's3cret'}"), "TypeError: (not shown"),
        (pw.OperationalError("token=s3cret"), "OperationalError: (not shown"),
    ],
)
def test_what_the_package_raises_is_one_message_without_secrets(
    sqlite_index_url: str, error: BaseException, said: str
) -> None:
    package = Package(sqlite_index_url)
    package.error = error
    found = refused(package)
    assert f"the package cannot connect: {said}" in found and "s3cret" not in found


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(128 + 15)])
def test_a_signal_ends_the_wait_for_a_package(sqlite_index_url: str, error: BaseException) -> None:
    package = Package(sqlite_index_url)
    package.error = error
    with pytest.raises(type(error)):
        package.open()


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (Connector(dict), ""),
        (dict, "is not an alpenhorn.index.connector.Connector"),
        (Connector("connect"), "its connect cannot be called"),  # type: ignore[arg-type]
        (Connector(dict, "close"), "its close cannot be called"),  # type: ignore[arg-type]
    ],
)
def test_an_entry_point_names_a_connector(found: Any, why: str) -> None:
    assert why in fault(found) and bool(why) is bool(fault(found))
