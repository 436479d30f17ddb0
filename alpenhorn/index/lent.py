"""The database of a package as the database of the index.

Each class here shares the state of the package's peewee database, which has the connection and the open transactions.
So there is one connection, opened by the package's code; models of the package and of alpenhorn take part in the same
transactions; and errors are explained as those of alpenhorn's own connections.
"""

from __future__ import annotations

import sqlite3
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import peewee as pw

from alpenhorn.errors import AlpenhornError, IndexUnusable
from alpenhorn.index import rows
from alpenhorn.index.connector import Lender, harmless
from alpenhorn.index.engines import (
    SQLITE_BUSY_TIMEOUT,
    SQLITE_SAFE,
    Explained,
    IndexInterrupted,
    SqliteErrors,
)
from alpenhorn.index.mariadb import SESSION, ServerErrors, wait_for_cluster

DRIVERS = ("MySQLdb", "pymysql")
_ECHO = "ü𝄞"  # two bytes and four in UTF-8


class Lent(Explained):
    """Mixin for a peewee database that shares the connection of a package's database.

    A session is recognised by its connection and, with a server, by its number: the settings on which alpenhorn relies
    are made once in each, also in one that the package's code has opened.
    """

    kind: type[pw.Database]
    database: Any
    theirs: Any

    def __init__(self, lender: Lender, theirs: Any) -> None:
        self.lender = lender
        self.where = f"index {lender.shown}"
        self._owner = threading.get_ident()
        self._here = threading.local()
        self._identity: str | None = None  # of the index, once a run has given it one
        super().__init__(theirs.database)  # type: ignore[call-arg]
        self._take(theirs)
        self._asked = True  # the package, for the first connection

    def _take(self, theirs: Any) -> None:
        """Share the state of the package's database.  Raises IndexUnusable if it is not usable, or another one."""
        if not isinstance(theirs, self.kind) or theirs.database != self.database:
            raise self.lender.unusable(f"the package now returns another database; {self.lender.remedy}")
        if not theirs.thread_safe:
            # An interrupted statement is ended from another thread, with a connection of that thread.
            raise self.lender.unusable("the package's database was made with thread_safe=False; make it True")
        if theirs.in_transaction():
            raise self.lender.unusable("the package's database has an open transaction; commit it in connect")
        self.theirs = theirs
        self.database = theirs.database
        self._state = self.theirs._state

    @property
    def password(self) -> str:
        parameters = self.theirs.connect_params
        return str(parameters.get("password") or parameters.get("passwd") or "")

    @property
    def waits_for_ever(self) -> bool:
        """Whether a server that does not answer would block a run."""
        return not (self.dialect.in_a_file or self.theirs.connect_params.get("read_timeout"))

    # --- sessions ------------------------------------------------------------------------------------------

    def connect(self, reuse_if_open: bool = False) -> bool:
        """Have the package connect.  Raises IndexInterrupted, IndexUnusable."""
        if reuse_if_open and not self.is_closed():  # type: ignore[attr-defined]
            self.connection()
            return False
        # Only this thread may be in a transaction, whose state must not be replaced.
        if threading.get_ident() == self._owner and not self._asked:
            self._take(self.lender.database())
        self._asked = False
        if self.is_closed():  # type: ignore[attr-defined]
            super().connect()  # type: ignore[misc]
        self.connection()
        return True

    def _connect(self) -> Any:
        with self.lender.called("cannot connect", self.password):
            return self.theirs._connect()

    def _close(self, connection: Any) -> None:
        with suppress(Exception):
            self.theirs._close(connection)
        # A pool keeps it open, and it must not be shared across a fork.
        with suppress(Exception):
            connection.close()

    def connection(self) -> Any:
        """Return the connection of this thread, with the settings on which alpenhorn relies."""
        if self.is_closed():  # type: ignore[attr-defined]
            self.connect()
        connection = self._state.conn
        session = (connection, self._number(connection))
        if session != getattr(self._here, "session", None):
            if self.in_transaction():  # type: ignore[attr-defined]
                raise IndexInterrupted(f"{self.where}: the session was replaced within a transaction")
            with self.explained(), pw.__exception_wrapper__:  # type: ignore[attr-defined]
                self._prepare(connection)
                self._compare_identity(connection)
            self._here.session = session
        return connection

    def _compare_identity(self, connection: Any) -> None:
        """Raise IndexUnusable if this is another index than before.

        A package may try several servers in turn, and what a run has read from one must not be written to another.  A
        copy of the same index is not noticed.
        """
        cursor = self._cursor(connection)
        try:
            cursor.execute("SELECT value FROM sync_index WHERE name = 'identity'")
            row = cursor.fetchone()
        except Exception:
            if self._identity is not None:
                raise
            return  # the tables may not be there yet
        found = None if row is None else row[0]
        if self._identity not in (None, found):
            raise self.lender.unusable(f"the package now returns another index; {self.lender.remedy}")
        self._identity = found

    def cursor(self, named_cursor: Any = None) -> Any:
        return self._cursor(self.connection())

    def drop(self) -> None:
        self._here.session = None
        super().drop()

    def finish(self) -> None:
        super().finish()
        with suppress(IndexInterrupted):  # the work is done
            self.lender.close()

    # --- differences between the engines -------------------------------------------------------------------

    def _number(self, connection: Any) -> int:
        """Return the number of a session, which changes if the driver replaces it in the same connection."""
        raise NotImplementedError

    def _prepare(self, connection: Any) -> None:
        """Make the settings of a new session.  Raises IndexUnusable for a connection that cannot be used."""
        raise NotImplementedError

    def _cursor(self, connection: Any) -> Any:
        """Return a cursor whose rows are tuples."""
        raise NotImplementedError


class LentSqlite(Lent, SqliteErrors, pw.SqliteDatabase):
    """An SQLite database of a package, reached through the module sqlite3 of Python."""

    kind = pw.SqliteDatabase

    def __init__(self, lender: Lender, theirs: Any) -> None:
        self.odd = {}
        self.setting = f"the configuration of {lender.package}"
        self.path = Path(str(theirs.database))
        self._checks = rows.RowChecks(self.explain_fetching, self.odd)
        super().__init__(lender, theirs)

    def _number(self, connection: Any) -> int:
        return 0

    def _prepare(self, connection: Any) -> None:
        if not isinstance(connection, sqlite3.Connection):
            kind = type(connection).__module__.partition(".")[0]
            raise self.lender.unusable(
                f"the driver {kind} is not supported; use the module sqlite3 of Python"
            )
        if self.theirs.connect_params.get("detect_types"):
            raise self.lender.unusable("the package's database converts dates (detect_types); leave that out")
        plain = sqlite3.Connection.cursor(connection, sqlite3.Cursor)
        plain.row_factory = None
        path = next(path for _, name, path in plain.execute("PRAGMA database_list") if name == "main")
        if not path:
            raise self.lender.unusable("the database is only in memory; use a file")
        self.path = Path(path)
        for pragma, value in (*SQLITE_SAFE, ("busy_timeout", int(1000 * SQLITE_BUSY_TIMEOUT))):
            plain.execute(f"PRAGMA {pragma} = {value}")
        connection.text_factory = rows.text

    def _cursor(self, connection: Any) -> Any:
        return rows.checked(connection, self._checks)


class LentServer(Lent, ServerErrors, pw.MySQLDatabase):
    """A database of a package on a MariaDB or MySQL server, reached through mysqlclient or PyMySQL.

    These wait for answers in the driver, so the limits of `answer_within` do not apply; that of the package does.
    """

    kind = pw.MySQLDatabase

    def _number(self, connection: Any) -> int:
        return int(connection.thread_id()) if hasattr(connection, "thread_id") else 0

    def _prepare(self, connection: Any) -> None:
        self.driver(connection)
        if self.server_version is None:
            self._set_server_version(connection)  # type: ignore[attr-defined]
        cursor = self._cursor(connection)
        # Otherwise a package that commits by hand would keep what alpenhorn writes from being committed.
        cursor.execute(SESSION)
        cursor.execute("SET SESSION autocommit = 1")
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        self.galera = wait_for_cluster(cursor)
        try:
            cursor.execute("SELECT %s, HEX(CONVERT(%s USING utf8mb4)), 1", (_ECHO, _ECHO))
            echo = tuple(cursor.fetchone())
        except UnicodeError:
            echo = ()
        if echo != (_ECHO, _ECHO.encode().hex().upper(), 1):
            raise self.lender.unusable(
                "the connection changes text or numbers; use the character set utf8mb4"
            )

    def _cursor(self, connection: Any) -> Any:
        return connection.cursor(self.driver(connection).cursors.Cursor)

    def driver(self, connection: Any) -> Any:
        for kind in type(connection).__mro__:
            name = kind.__module__.partition(".")[0]
            if name in DRIVERS:
                return sys.modules[name]
        name = type(connection).__module__.partition(".")[0]
        raise self.lender.unusable(f"the driver {name} is not supported; use mysqlclient or PyMySQL")

    def readable(self, error: Exception) -> str:
        return harmless(str(error.args[1] if len(error.args) > 1 else error), self.password)

    def unbuffered(self) -> Any:
        connection = self.connection()
        return connection.cursor(self.driver(connection).cursors.SSCursor)

    def explain_refusal(self, code: object, said: str) -> AlpenhornError | None:
        if code in (1044, 1045, 1049, 1698, 2026, 2059, 2061, 3159):
            return IndexUnusable(f"{self.where}: connection refused; {self.lender.remedy} ({said})")
        return None


def lent(lender: Lender) -> Lent:
    """Return the package's database for use as the index.  Raises IndexInterrupted, IndexUnusable."""
    theirs = lender.database()
    if isinstance(theirs, pw.Database) and theirs.deferred:
        raise lender.unusable("the package returned a database without a name; call its init in connect")
    for kind in (LentSqlite, LentServer):
        if isinstance(theirs, kind.kind):
            return kind(lender, theirs)
    raise lender.unusable(
        f"the package returned {type(theirs).__name__}; expected a SqliteDatabase or MySQLDatabase of peewee"
    )
