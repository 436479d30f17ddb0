"""The database engines of the index, opened by URL: SQLite here, MariaDB and MySQL in `mariadb`.

Errors of the drivers are converted to messages for the user.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from sqlite3 import Error, OperationalError
from typing import Any
from urllib.parse import quote

import peewee as pw

from alpenhorn import address
from alpenhorn.config import Database
from alpenhorn.errors import AlpenhornError, IndexUnusable, Refused
from alpenhorn.index.dialect import SQLITE, Dialect
from alpenhorn.outside import encodable, text
from alpenhorn.reasons import Reason

# The database of the models of `alpenhorn.index.tables`; it is here because runs do not import the models.
database = pw.DatabaseProxy()

SQLITE_BUSY_TIMEOUT = 30.0
# Every commit is flushed.  Foreign keys are not enforced, as in the alpenhorn daemon: an index with dangling rows must
# stay editable.
SQLITE_SAFE = (("synchronous", "FULL"), ("foreign_keys", "OFF"))


class IndexInterrupted(IndexUnusable):
    """The index was lost or locked temporarily; `Index.retry` runs the work again."""


def _storable(sql: str, params: Any) -> tuple[Any, ...]:
    """Return `params` with escapes for text that is not UTF-8, so that messages with such text can be stored.

    Only for the `sync_` tables, which hold messages.  In the daemon's tables a name would become another name.
    """
    if " sync_" not in sql:
        shown = ", ".join(ascii(value) for value in params if isinstance(value, str) and not encodable(value))
        raise Refused(f"{shown}: not UTF-8 text; the index cannot store it")
    return tuple(text(value, len(value) * 4) if isinstance(value, str) else value for value in params)


class Explained:
    """Mixin for peewee's databases that converts their errors to alpenhorn's, mostly IndexUnusable."""

    where: str
    dialect: Dialect
    # Used by sessions with a server only; see `alpenhorn.index.mariadb.MariaDB`.
    answer_within: float | None = None
    hurry: Callable[[], bool]
    stalled = False
    galera = False

    def cannot_hold(self, texts: Iterable[str]) -> frozenset[str]:
        """Return the texts with a character that the tables cannot store."""
        return frozenset()

    def explain(self, error: Exception) -> AlpenhornError | None:
        raise NotImplementedError

    @contextmanager
    def explained(self) -> Iterator[None]:
        try:
            yield
        except OverflowError as error:
            raise Refused(f"number too large for the index ({error})") from None
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
            # Checked first, since SQLite would write the rows before the one that cannot be stored.
            # Together: a call for each value would take as long as writing the rows.
            if not encodable("".join([value for row in rows for value in row if isinstance(value, str)])):
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
            # The server rolls back a lost session; the earlier error is the one to report.
            self.drop()

    def drop(self) -> None:
        """Close the connection, whatever its state."""
        try:
            self.close()  # type: ignore[attr-defined]
        except pw.PeeweeException:
            self.dispose()  # type: ignore[attr-defined]

    def finish(self) -> None:
        """Close the connection for good."""
        self.drop()


class SqliteErrors(Explained):
    """Mixin that explains errors of an SQLite file.  `setting`: where the path of the file is configured."""

    dialect = SQLITE
    path: Path
    setting = "[database] url"
    odd: dict[Reason, None]  # rows with values of the wrong type, each once

    def explain_fetching(self, error: Exception) -> IndexUnusable:
        return self.explain(error) or IndexUnusable(
            f"{self.where}: cannot be read: {error}; run `alpenhorn db check`"
        )

    def explain(self, error: Exception) -> IndexUnusable | None:
        name = getattr(error, "sqlite_errorname", None) or ""
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            return IndexInterrupted(f"{self.where}: locked by another program that is writing to it")
        if name.startswith("SQLITE_READONLY"):
            return IndexUnusable(
                f"{self.where}: read-only; make the file and its directory writable for this user"
            )
        if name.startswith("SQLITE_CANTOPEN"):
            return IndexUnusable(f"{self.where}: cannot be opened: {self._obstacle()}")
        if name == "SQLITE_NOTADB":
            return IndexUnusable(f"{self.where}: not an SQLite database; name another file in {self.setting}")
        if name.startswith("SQLITE_CORRUPT"):
            return IndexUnusable(f"{self.where}: damaged: {error}; restore it from a backup")
        if name.startswith(("SQLITE_FULL", "SQLITE_IOERR")):
            return IndexUnusable(f"{self.where}: cannot be read or written: {error}; check its disk")
        return None

    def _obstacle(self) -> str:
        if not self.path.parent.is_dir():
            return f"no such directory: {self.path.parent}; run `alpenhorn db init` to create the index"
        if self.path.is_dir():
            return f"is a directory; name a file in {self.setting}"
        if not self.path.exists():
            return "no such file; run `alpenhorn db init` to create the index"
        return "permission denied; make the file readable and its directory writable for this user"


class _Sqlite(SqliteErrors, pw.SqliteDatabase):
    """An SQLite file in WAL mode."""

    def __init__(self, path: Path, create: bool) -> None:
        self.path = path
        self.where = f"index {path}"
        self.odd = {}
        mode = "rwc" if create else "rw"
        super().__init__(
            f"file:{quote(os.fsencode(os.path.abspath(path)))}?mode={mode}",
            uri=True,
            timeout=SQLITE_BUSY_TIMEOUT,
            factory=self._opened,
            pragmas=(*SQLITE_SAFE, ("cache_size", -32000)),
        )

    def _opened(self, *args: Any, **options: Any) -> Any:
        from alpenhorn.index import rows  # not needed with MariaDB

        connection = rows.Connection(*args, **options)
        connection.checks = rows.RowChecks(self.explain_fetching, self.odd)
        connection.text_factory = rows.text
        return connection

    def _connect(self) -> Any:
        try:
            connection = super()._connect()  # type: ignore[misc]
            try:
                # The first statement that reads the file, so a file that is not a database fails here.
                (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
                if mode != "wal":
                    # Fails on a file that is read-only or in use, which works in its old mode.
                    with suppress(OperationalError):
                        connection.execute("PRAGMA journal_mode = wal").fetchone()
            except BaseException:
                connection.close()
                raise
        except Error as error:
            explanation = self.explain(error)
            if explanation is None:
                explanation = IndexUnusable(f"{self.where}: cannot be opened: {error}")
            raise explanation from error
        return connection


def database_for(wanted: Database, create: bool) -> tuple[Any, str]:
    """Return the configured database, not yet connected, and its URL without the password.
    Raises IndexUnusable.
    """
    try:
        path = address.sqlite_path(wanted.url)
        server = None if path is not None else address.server(wanted.url)
    except ValueError as error:
        raise IndexUnusable(
            f"[database] url {error}; use sqlite:////absolute/path or mysql://user@host:port/database"
        ) from None
    if path is not None:
        return _sqlite(Path(path), create), wanted.url
    from alpenhorn.index.mariadb import MariaDB  # not needed with SQLite

    assert server is not None
    shown = server.shown(wanted.credentials)
    return MariaDB(server, shown, wanted), shown


def _sqlite(path: Path, create: bool) -> _Sqlite:
    if create:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise IndexUnusable(f"index {path}: cannot create its directory: {error}") from error
    return _Sqlite(path, create)
