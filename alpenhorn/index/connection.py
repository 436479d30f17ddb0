"""The connection to the data index: SQLite by a file, MariaDB or MySQL by mysqlclient.

One process owns an `Index`; a connection never crosses a fork.  Whatever goes wrong with the database itself
(lost, locked, full, refused) is raised as IndexUnusable with a message for the user, from the models as from
`Index.execute`; what is a mistake in a statement stays a peewee error.
"""

from __future__ import annotations

import datetime
import functools
import os
import re
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import peewee as pw

from alpenhorn.errors import IndexUnusable
from alpenhorn.index.engines import IndexInterrupted, database, database_for

T = TypeVar("T")

PATIENCE = 60.0

# What may stand in SQL text and holds or is a mark: a quoted string, a mark, a per cent sign.
_MARKS = re.compile(r"'(?:[^'\\]|''|\\.)*'|\?|%")


class Index:
    """The open index.  `url` is that of the configuration, without its password."""

    def __init__(self, db: Any, url: str) -> None:
        self.db = db
        self.url = url
        self.patience = PATIENCE
        self._galera: bool | None = None
        _open.add(self)

    @classmethod
    def open(cls, url: str, password_file: Path | None = None, *, create: bool = False) -> Index:
        """Connect to the index at `url`, and let the models of `alpenhorn.index.tables` use it.

        `url` is `sqlite:///PATH` (all that follows is the path as it stands; four slashes make it absolute)
        or `mysql://USER[:PASSWORD]@[HOST[:PORT]]/DATABASE[?unix_socket=PATH]`, each part percent-encoded.
        `create` makes a missing SQLite file and its directory; a MariaDB database must be there.
        Raises IndexUnusable.
        """
        db, shown = database_for(url, password_file, create)
        with db.explained():
            db.connect()
        database.initialize(db)
        return cls(db, shown)

    @property
    def sqlite(self) -> bool:
        return isinstance(self.db, pw.SqliteDatabase)

    @property
    def galera(self) -> bool:
        """Whether the server is one of a Galera cluster, where a lock is known to no server but its own; asked once
        for each session."""
        if self._galera is None:
            # Not @@wsrep_on, which MySQL does not know.
            row = None if self.sqlite else self.execute("SHOW VARIABLES LIKE 'wsrep_on'").fetchone()
            self._galera = row is not None and row[1] == "ON"
        return self._galera

    @property
    def odd(self) -> dict[str, None]:
        """Rows that were read and have a value of the wrong type, each named once; see `alpenhorn.index.rows`."""
        found: dict[str, None] = getattr(self.db, "odd", {})
        return found

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing.  Within another one: a savepoint.

        On SQLite it takes the write lock at once: one that reads first and writes later fails as soon as
        another writer came in between, whatever the time-out.
        """
        with self.db.atomic("IMMEDIATE") if self.sqlite else self.db.atomic():
            yield

    def retry(self, work: Callable[[], T]) -> T:
        """Run `work` in one transaction; begin again with a new session when that was lost or in the way.

        `work` may run several times, the last time after a commit whose answer got lost: it must be
        idempotent, and must not hand out anything but by its return value.  No cursor may be open that is
        still to be read.  Within a transaction `work` simply runs, as a part of that.
        Raises IndexUnusable after about `self.patience` seconds.
        """

        def attempt() -> T:
            with self.transaction():
                return work()

        return work() if self.db.in_transaction() else self._persist(attempt)

    @contextmanager
    def impatient(self) -> Iterator[None]:
        """Within it nothing is waited for that is gone: IndexUnusable is raised at once."""
        before, self.patience = self.patience, 0.0
        try:
            yield
        finally:
            self.patience = before

    def _persist(self, attempt: Callable[[], T]) -> T:
        give_up = time.monotonic() + self.patience
        pause = 0.05
        while True:
            try:
                return attempt()
            except IndexInterrupted as error:
                self.disconnect()
                if time.monotonic() + pause > give_up:
                    raise IndexUnusable(f"{error}; gave up after {self.patience:g} s") from error
            time.sleep(pause)
            pause = min(2 * pause, 5.0)

    def execute(self, sql: str, params: Sequence[Any] = ()) -> Any:
        """Run one statement and return its cursor.  `sql` has a ? for each of `params` on both engines.

        A SELECT outside a transaction is asked again, as by `retry`, when its session was lost; it may have
        been idle for hours.
        """
        marked = self._marked(sql)

        def attempt() -> Any:
            return self.db.execute_sql(marked, tuple(params))

        if sql.lstrip().startswith("SELECT") and not self.db.in_transaction():
            return self._persist(attempt)
        return attempt()

    def executemany(self, sql: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Run one statement for each row.

        INSERT … VALUES goes to MariaDB in packets of up to 64 KiB; anything else is a round trip a row.
        """
        if rows:
            self.db.executemany_sql(self._marked(sql), rows)

    def _marked(self, sql: str) -> str:
        # SQLite's SUM fails on lengths near 2^63, of which one row is enough; its TOTAL adds up anything.
        return sql.replace("SUM(", "TOTAL(") if self.sqlite else _percent_marks(sql)

    def insert_ignore(self, table: str, columns: Sequence[str]) -> str:
        """Return an INSERT with a ? a column that leaves a row alone which is there already.

        Not INSERT IGNORE, which on MariaDB would also cut off names that are too long.
        """
        insert = _insert(table, columns)
        if self.sqlite:
            return f"{insert} ON CONFLICT DO NOTHING"
        return f"{insert} ON DUPLICATE KEY UPDATE {columns[0]} = {columns[0]}"

    def upsert(self, table: str, columns: Sequence[str], key: Sequence[str], update: Sequence[str]) -> str:
        """Return an INSERT with a ? a column that, where a row with this unique `key` is there already,
        sets its columns `update` to the values given."""
        return self.upsert_from(table, columns, f"VALUES ({', '.join('?' * len(columns))})", key, update)

    def upsert_from(
        self, table: str, columns: Sequence[str], rows: str, key: Sequence[str], update: Sequence[str]
    ) -> str:
        """As `upsert`, of `rows`: VALUES, or a SELECT that ends in a WHERE."""
        insert = f"INSERT INTO {table} ({', '.join(columns)}) {rows}"
        if self.sqlite:
            settings = ", ".join(f"{column} = excluded.{column}" for column in update)
            return f"{insert} ON CONFLICT ({', '.join(key)}) DO UPDATE SET {settings}"
        settings = ", ".join(f"{column} = VALUES({column})" for column in update)
        return f"{insert} ON DUPLICATE KEY UPDATE {settings}"

    def now(self) -> datetime.datetime:
        """Return the naive UTC time of the index's server (SQLite: of this machine)."""
        if self.sqlite:
            return datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
        (now,) = self.execute("SELECT UTC_TIMESTAMP(6)").fetchone()
        assert isinstance(now, datetime.datetime)
        return now

    def disconnect(self) -> None:
        """Close the connection; the next use opens it again."""
        self._galera = None
        self.db.drop()

    def close(self) -> None:
        """Close the connection for good."""
        _open.discard(self)
        self.db.drop()


_open: weakref.WeakSet[Index] = weakref.WeakSet()


def _before_fork() -> None:
    """A connection that two processes share gives wrong answers, and the first of them to end closes it."""
    for index in list(_open):
        if not index.db.in_transaction():
            index.disconnect()


os.register_at_fork(before=_before_fork)


def _insert(table: str, columns: Sequence[str]) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"


@functools.lru_cache(maxsize=256)
def _percent_marks(sql: str) -> str:
    """Write the marks of `sql` as MySQLdb wants them: ? as %s outside of strings, % doubled everywhere."""

    def mark(match: re.Match[str]) -> str:
        text = match.group()
        return "%s" if text == "?" else text.replace("%", "%%")

    return _MARKS.sub(mark, sql)
