"""The database engines of the index, opened by URL: SQLite here, MariaDB and MySQL in `mariadb`; their troubles are put
into words for the user."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import peewee as pw

from alpenhorn import address
from alpenhorn.config import Database
from alpenhorn.errors import AlpenhornError, IndexUnusable, Refused
from alpenhorn.index.dialect import SQLITE, Dialect
from alpenhorn.outside import encodable, text
from alpenhorn.reasons import Reason

# What the models of `alpenhorn.index.tables` use; here, since runs do without those.
database = pw.DatabaseProxy()

SQLITE_BUSY_TIMEOUT = 30.0


class IndexInterrupted(IndexUnusable):
    """The index was lost or locked for a moment; `Index.retry` runs the work again."""


def _storable(sql: str, params: Any) -> tuple[Any, ...]:
    """`params` with what is not UTF-8 in texts shown as escapes, so that a message is stored whatever it quotes.

    Only in our own tables, which hold messages: a name in those of the daemon must not become another one.
    """
    if " sync_" not in sql:
        shown = ", ".join(ascii(value) for value in params if isinstance(value, str) and not encodable(value))
        raise Refused(f"the index cannot hold text that is not UTF-8: {shown}")
    return tuple(text(value, len(value) * 4) if isinstance(value, str) else value for value in params)


class Explained:
    """Mixed into peewee's databases: their troubles become errors of ours, mostly IndexUnusable, wherever a query was
    made."""

    where: str
    dialect: Dialect
    # What only a session with a server heeds; see `alpenhorn.index.mariadb.MariaDB`.
    answer_within: float | None = None
    hurry: Callable[[], bool]
    stalled = False

    def cannot_hold(self, texts: Iterable[str]) -> frozenset[str]:
        """Return the texts with a character which the tables cannot hold."""
        return frozenset()

    def explain(self, error: Exception) -> AlpenhornError | None:
        raise NotImplementedError

    @contextmanager
    def explained(self) -> Iterator[None]:
        try:
            yield
        except OverflowError as error:
            raise Refused(f"a number is larger than the index can hold ({error})") from None
        except pw.PeeweeException as error:
            explanation = self.explain(getattr(error, "orig", None) or error)
            if explanation is None:
                raise
            raise explanation from error

    def execute_sql(self, sql: str, params: Any = None) -> Any:
        with self.explained():
            try:
                return super().execute_sql(sql, params)  # type: ignore[misc]
            except UnicodeEncodeError:
                return super().execute_sql(sql, _storable(sql, params))  # type: ignore[misc]

    def executemany_sql(self, sql: str, rows: Sequence[tuple[Any, ...]]) -> None:
        with self.explained(), pw.__exception_wrapper__:  # type: ignore[attr-defined]
            # Asked before, since SQLite would have written the rows before one that cannot be stored.
            if any(not encodable(value) for row in rows for value in row if isinstance(value, str)):
                rows = [_storable(sql, row) for row in rows]
            self.cursor().executemany(sql, rows)  # type: ignore[attr-defined]

    def begin(self, *args: Any) -> None:
        with self.explained():
            super().begin(*args)  # type: ignore[misc]

    def commit(self) -> None:
        with self.explained():
            super().commit()  # type: ignore[misc]

    def rollback(self) -> None:
        try:
            super().rollback()  # type: ignore[misc]
        except pw.PeeweeException:
            # A session that is gone rolled back by itself; the error that led here is the one to tell.
            self.drop()

    def drop(self) -> None:
        """Close the connection whatever state it is in."""
        try:
            self.close()  # type: ignore[attr-defined]
        except pw.PeeweeException:
            self.dispose()  # type: ignore[attr-defined]


class _Sqlite(Explained, pw.SqliteDatabase):
    """A file in WAL mode, every commit flushed.

    Foreign keys are not enforced: the alpenhorn daemon does not enforce them either, and an index that it
    left with dangling rows must stay editable.
    """

    dialect = SQLITE

    def __init__(self, path: Path, create: bool) -> None:
        self.path = path
        self.where = f"the index {path}"
        self.odd: dict[Reason, None] = {}  # rows with values that fit no column, each named once
        mode = "rwc" if create else "rw"
        super().__init__(
            f"file:{quote(os.fsencode(os.path.abspath(path)))}?mode={mode}",
            uri=True,
            timeout=SQLITE_BUSY_TIMEOUT,
            factory=_connection,
            pragmas=(("synchronous", "FULL"), ("foreign_keys", "OFF"), ("cache_size", -32000)),
        )

    def _connect(self) -> Any:
        from sqlite3 import Error, OperationalError

        try:
            connection = super()._connect()  # type: ignore[misc]
            connection.explain, connection.odd = self._explain_fetching, self.odd
            try:
                # Reads the file, so that one which is no database is found out here.
                (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
                if mode != "wal":
                    # Read-only or in use: it can still be read, and written by one at a time.
                    with suppress(OperationalError):
                        connection.execute("PRAGMA journal_mode = wal").fetchone()
            except BaseException:
                connection.close()
                raise
        except Error as error:
            explanation = self.explain(error)
            if explanation is None:
                explanation = IndexUnusable(f"{self.where} cannot be opened: {error}")
            raise explanation from error
        return connection

    def _explain_fetching(self, error: Exception) -> IndexUnusable:
        return self.explain(error) or IndexUnusable(
            f"{self.where} cannot be read ({error}): run `alpenhorn db check`"
        )

    def explain(self, error: Exception) -> IndexUnusable | None:
        name = getattr(error, "sqlite_errorname", None) or ""
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            return IndexInterrupted(f"{self.where} is locked by another program that is writing to it")
        if name.startswith("SQLITE_READONLY"):
            return IndexUnusable(
                f"{self.where} cannot be written: make the file and its directory writable for this user"
            )
        if name.startswith("SQLITE_CANTOPEN"):
            return IndexUnusable(f"{self.where} cannot be opened: {self._obstacle()}")
        if name == "SQLITE_NOTADB":
            return IndexUnusable(
                f"{self.where} is not an SQLite database: name another file in [database] url"
            )
        if name.startswith("SQLITE_CORRUPT"):
            return IndexUnusable(f"{self.where} is damaged ({error}): restore it from a backup")
        if name.startswith(("SQLITE_FULL", "SQLITE_IOERR")):
            return IndexUnusable(f"{self.where} cannot be read or written ({error}): look at its disk")
        return None

    def _obstacle(self) -> str:
        if not self.path.parent.is_dir():
            return f"there is no directory {self.path.parent}; run `alpenhorn db init` to create the index"
        if self.path.is_dir():
            return "it is a directory; name a file in [database] url"
        if not self.path.exists():
            return "there is no such file; run `alpenhorn db init` to create the index"
        return "this user must be able to read the file and to write to its directory"


def _connection(*args: Any, **options: Any) -> Any:
    from alpenhorn.index import rows  # of no use with MariaDB

    connection = rows.Connection(*args, **options)
    connection.text_factory = rows.text
    return connection


def database_for(wanted: Database, create: bool) -> tuple[Any, str]:
    """Return the database that is `wanted`, not yet connected, and its URL without its password.

    Raises IndexUnusable.
    """
    try:
        path = address.sqlite_path(wanted.url)
        server = None if path is not None else address.server(wanted.url)
    except ValueError as error:
        raise IndexUnusable(
            f"the index URL {error}: use sqlite:////absolute/path or mysql://user@host:port/database"
        ) from None
    if path is not None:
        return _sqlite(Path(path), create), wanted.url
    from alpenhorn.index.mariadb import MariaDB  # of no use with SQLite

    assert server is not None
    shown = server.shown(wanted.credentials)
    return MariaDB(server, shown, wanted), shown


def _sqlite(path: Path, create: bool) -> _Sqlite:
    if create:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise IndexUnusable(f"the directory of the index {path} cannot be created: {error}") from error
    return _Sqlite(path, create)
