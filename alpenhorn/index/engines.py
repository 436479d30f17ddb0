"""The two database engines of the index, opened by URL, with their troubles put into words for the user."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import peewee as pw

from alpenhorn.errors import IndexUnusable, Refused
from alpenhorn.outside import encodable, text

# What the models of `alpenhorn.index.tables` use; here, since runs do without those.
database = pw.DatabaseProxy()

SQLITE_BUSY_TIMEOUT = 30.0
CONNECT_TIMEOUT = 10
MARIADB_LOCK_WAIT = 20

# Codes of MariaDB and MySQL, client and server.
_LOST = {1053, 1077, 1079, 1080, 1152, 1158, 1159, 1160, 1161, 1927, 2002, 2003, 2006, 2013, 2055}
# The last: a savepoint is gone because a deadlock rolled back its whole transaction.
_PASSING = _LOST | {1020, 1040, 1203, 1205, 1213, 1305}
_MISTAKEN = {1054, 1091}  # OperationalErrors that a wrong statement causes


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


class _Explained:
    """Mixed into peewee's databases: their troubles become IndexUnusable, wherever a query was made."""

    where: str

    def explain(self, error: Exception) -> IndexUnusable | None:
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


class _Sqlite(_Explained, pw.SqliteDatabase):
    """A file in WAL mode, every commit flushed.

    Foreign keys are not enforced: the alpenhorn daemon does not enforce them either, and an index that it
    left with dangling rows must stay editable.
    """

    def __init__(self, path: Path, create: bool) -> None:
        self.path = path
        self.where = f"the index {path}"
        self.odd: dict[str, None] = {}  # rows with values that fit no column, each named once
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


class _MariaDB(_Explained, pw.MySQLDatabase):
    """A session through mysqlclient, also where PyMySQL, which peewee prefers, is installed.

    READ COMMITTED: a scan of many pages sees what others have settled meanwhile, and the rows that an UPDATE
    looks at without changing them are not left locked.  What must not change is read with FOR UPDATE.
    """

    def __init__(self, name: str, where: str, parameters: dict[str, Any]) -> None:
        self.where = f"the index {where}"
        super().__init__(
            name,
            connect_timeout=CONNECT_TIMEOUT,
            init_command="SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
            **parameters,
        )

    def _connect(self) -> Any:
        try:
            import MySQLdb  # an extra, and of no use with SQLite
        except ImportError as error:
            raise IndexUnusable(
                f"{self.where} needs the Python package mysqlclient ({error}): "
                "run `pip install 'alpenhorn[mysql]'`"
            ) from error
        try:
            connection = MySQLdb.connect(database=self.database, autocommit=True, **self.connect_params)
            try:
                # Our own, whatever the server's settings are: a name that is too long must be refused and
                # not cut off, and a lock that another session keeps must not hold this one for a day.
                connection.query(
                    f"SET SESSION sql_mode = 'TRADITIONAL', lock_wait_timeout = {MARIADB_LOCK_WAIT}, "
                    f"innodb_lock_wait_timeout = {MARIADB_LOCK_WAIT}"
                )
                self._notice_dead_peer(connection)
            except BaseException:
                connection.close()
                raise
        except MySQLdb.Error as error:
            explanation = self.explain(error)
            if explanation is None:
                explanation = IndexUnusable(f"{self.where} cannot be opened: {error}")
            raise explanation from error
        return connection

    def _notice_dead_peer(self, connection: Any) -> None:
        """Let a session whose server lost power end within about two minutes, and not never."""
        if "unix_socket" in self.connect_params:
            return
        import socket

        with socket.socket(fileno=os.dup(connection.fileno())) as peer:
            if peer.family in (socket.AF_INET, socket.AF_INET6):
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
                peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
                peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 6)

    def explain(self, error: Exception) -> IndexUnusable | None:
        code = error.args[0] if error.args else None
        text = error.args[1] if len(error.args) > 1 else str(error)
        kind = type(error).__name__
        if code in (1045, 1698):
            return IndexUnusable(
                f"{self.where}: access denied; check the user name in [database] url and the password in "
                f"[database] password_file ({text})"
            )
        if code in (1044, 1142, 1143, 1227, 1370):
            return IndexUnusable(f"{self.where}: this user lacks a right there; GRANT it ({text})")
        if code == 1049:
            return IndexUnusable(
                f"{self.where}: there is no such database; its administrator creates it with "
                f"CREATE DATABASE {self.database} CHARACTER SET utf8mb4"
            )
        if code in (2002, 2003, 2005):
            wrong = (
                f"{self.where} cannot be reached: is the server running, and is the address right? ({text})"
            )
            return IndexUnusable(wrong) if code == 2005 else IndexInterrupted(wrong)
        if code in _LOST or (kind == "InterfaceError" and code in (0, None)):
            return IndexInterrupted(f"{self.where} was lost: the server ended the session ({text or code})")
        if code in _PASSING:
            return IndexInterrupted(f"{self.where} is busy ({text})")
        if code in (1290, 1836):
            return IndexUnusable(f"{self.where} cannot be written: the server is read-only ({text})")
        if kind in ("OperationalError", "InternalError") and code not in _MISTAKEN:
            return IndexUnusable(f"{self.where} does not work: {text} (error {code})")
        return None


def database_for(url: str, password_file: Path | None, create: bool) -> tuple[Any, str]:
    """Return the database that `url` means, not yet connected, and the URL without its password.

    Raises IndexUnusable.
    """
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite":
        return _sqlite(rest, create), url
    if scheme in ("mysql", "mariadb"):
        return _mariadb(url, password_file)
    fault = f"begins with {scheme}" if "://" in url else "has no scheme"
    raise IndexUnusable(f"the index URL {fault}: use sqlite:////absolute/path or mysql://user@host/database")


def _sqlite(rest: str, create: bool) -> _Sqlite:
    if not rest.startswith("/") or rest == "/":
        raise IndexUnusable(
            f"the index URL sqlite://{rest} names no file: "
            "use sqlite:////absolute/path (four slashes) or sqlite:///relative/path (three)"
        )
    path = Path(rest[1:])
    if create:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise IndexUnusable(f"the directory of the index {path} cannot be created: {error}") from error
    return _Sqlite(path, create)


def _mariadb(url: str, password_file: Path | None) -> tuple[_MariaDB, str]:
    """Return the database for `url`, and the URL without its password."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        # Neither the URL nor the error is shown: a password may be anywhere in them.
        raise IndexUnusable(
            "the index URL cannot be read: use mysql://user@host:port/database, "
            "with a number as port and special characters percent-encoded"
        ) from None
    shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    if parts.username:
        shown = shown.replace("://", f"://{parts.username}@", 1)
    if parts.query:
        shown += f"?{parts.query}"
    name = unquote(parts.path[1:])
    if not name or "/" in name:
        raise IndexUnusable(f"the index URL {shown} names no database: use mysql://user@host/database")
    query = dict(parse_qsl(parts.query))
    unknown = sorted(set(query) - {"unix_socket"})
    if unknown:
        raise IndexUnusable(
            f"the index URL {shown} has the unknown option {', '.join(unknown)}: only unix_socket is known"
        )
    parameters: dict[str, Any] = dict(query)
    if parts.hostname:
        parameters["host"] = unquote(parts.hostname)
    if port:
        parameters["port"] = port
    if parts.username:
        parameters["user"] = unquote(parts.username)
    if password_file is not None:
        try:
            parameters["password"] = password_file.read_text().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise IndexUnusable(f"the password file {password_file} cannot be read: {error}") from error
    elif parts.password:
        parameters["password"] = unquote(parts.password)
    return _MariaDB(name, shown, parameters), shown
