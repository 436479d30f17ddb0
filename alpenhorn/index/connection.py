"""Connection to the data index: an SQLite file, or MariaDB or MySQL through mysqlclient.

One process owns an `Index`; a connection is never shared across a fork.  Failures of the database itself (lost,
locked, full, refused) are raised as IndexUnusable with a message for the user, by the models and by `Index.execute`.
An invalid statement raises a peewee error.
"""

from __future__ import annotations

import datetime
import logging
import os
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from alpenhorn.config import Database
from alpenhorn.errors import IndexUnusable
from alpenhorn.index import facts
from alpenhorn.index.dialect import Dialect
from alpenhorn.index.engines import IndexInterrupted, database, database_for
from alpenhorn.reasons import Reason

_log = logging.getLogger(__name__)

T = TypeVar("T")
Fact = TypeVar("Fact")

PATIENCE = 60.0
# Seconds to wait for a statement about a few rows while other work waits for this process.
QUICK_ANSWER = 10.0
# Seconds to wait for a lost index after the run was asked to stop.
STOP_PATIENCE = 5.0
# Seconds between checks for a request to stop, while waiting for a lost index.
LOOK_EVERY = 0.2
LONG_PAUSE = 0.4  # seconds between attempts; shorter ones are due to other sessions, and not worth a message


class _Undone(Exception):
    """Ends a transaction without a commit."""


class Index:
    """An open index.  `url`: the URL of the configuration, without its password; or how messages name it otherwise.

    `patience`: seconds to wait for a lost index; the wait continues while `hold_on` returns true, because giving up
    would lose results.  `stopping`: limits the wait to a few seconds once it returns true.  `on_wait`: called again and
    again during a wait of more than a moment, for a display.
    """

    def __init__(self, db: Any, url: str) -> None:
        self.db = db
        self.url = url
        self.patience = PATIENCE
        self.hold_on: Callable[[], bool] = lambda: False
        self.on_wait: Callable[[], None] = lambda: None
        self._stopping: Callable[[], bool] = lambda: False
        self._abandoned: IndexUnusable | None = None
        self._given_up = False
        _open.add(self)

    @classmethod
    def configured(cls, wanted: Database, *, create: bool = False) -> Index:
        """Connect to the configured index, and bind the models of `alpenhorn.index.tables` to it.

        `create`: create a missing SQLite file and its directory; a MariaDB database must exist.
        Raises IndexUnusable.
        """
        return cls.over(*database_for(wanted, create))

    @classmethod
    def over(cls, db: Any, shown: str) -> Index:
        """Connect a database, and bind the models of `alpenhorn.index.tables` to it.

        `shown`: what messages have after "index".  Raises IndexUnusable.
        """
        with db.explained():
            db.connect()
        database.initialize(db)
        return cls(db, shown)

    @classmethod
    def open(cls, url: str, password_file: Path | None = None, *, create: bool = False) -> Index:
        """Connect to the index at a URL, as `configured` does.

        `url` is `sqlite:///PATH` (the path is taken literally; four slashes make it absolute)
        or `mysql://USER[:PASSWORD]@[HOST[:PORT]]/DATABASE[?unix_socket=PATH]`, each part percent-encoded.
        A port means TCP to that port, even on localhost.
        """
        return cls.configured(Database(url, password_file), create=create)

    @property
    def stopping(self) -> Callable[[], bool]:
        return self._stopping

    @stopping.setter
    def stopping(self, asked: Callable[[], bool]) -> None:
        self._stopping = asked
        self.db.hurry = asked

    @property
    def dialect(self) -> Dialect:
        """The dialect of SQL of the engine."""
        dialect: Dialect = self.db.dialect
        return dialect

    @property
    def file(self) -> Path | None:
        """The SQLite file; None for an index on a server."""
        return Path(self.db.path) if self.dialect.in_a_file else None

    @property
    def galera(self) -> bool:
        """Whether the server belongs to a Galera cluster, in which locks are local to one server."""
        self.db.connect(reuse_if_open=True)
        found: bool = self.db.galera
        return found

    @property
    def odd(self) -> dict[Reason, None]:
        """Rows read so far that have a value of the wrong type, each once; see `alpenhorn.index.rows`."""
        found: dict[Reason, None] = getattr(self.db, "odd", {})
        return found

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run the block in a transaction, or in a savepoint within another one.  SQLite takes the write lock first."""
        begin = self.dialect.begin
        with self.db.atomic() if begin is None else self.db.atomic(begin):
            yield

    def look(self, work: Callable[[], T]) -> T:
        """Run `work` in a transaction that is undone: nothing that it writes is kept."""
        found: list[T] = []
        with suppress(_Undone), self.db.atomic():
            found.append(work())
            raise _Undone
        return found[0]

    def retry(self, work: Callable[[], T]) -> T:
        """Run `work` in one transaction; start again in a new session if the session was lost or met a lock.

        `work` may run several times, even after a commit whose answer was lost: it must be idempotent, and its return
        value must be its only result.  No other cursor may have unread rows.  Within a transaction, `work` runs as a
        part of that.  Raises IndexUnusable after about `self.patience` seconds.
        """

        def attempt() -> T:
            with self.transaction():
                return work()

        return work() if self.db.in_transaction() else self._persist(attempt)

    @contextmanager
    def impatient(self) -> Iterator[None]:
        """Within the block, do not wait for a lost index: raise IndexUnusable at once."""
        before, self.patience = self.patience, 0.0
        hold_on, self.hold_on = self.hold_on, lambda: False
        try:
            yield
        finally:
            self.patience, self.hold_on = before, hold_on

    @contextmanager
    def glancing(self) -> Iterator[None]:
        """Within the block, wait neither for a lost index nor long for an answer, since other work waits."""
        before = self.answer_within(QUICK_ANSWER)
        try:
            with self.impatient():
                yield
        finally:
            self.answer_within(before)

    def answer_within(self, seconds: float | None) -> float | None:
        """Set the limit in seconds for the answer to one statement, and return the old limit.

        None: no limit, for statements that process whole tables.
        """
        before: float | None = self.db.answer_within
        self.db.answer_within = seconds
        return before

    def _persist(self, attempt: Callable[[], T]) -> T:
        if self._abandoned is not None and self._stopping():
            raise self._abandoned
        started = time.monotonic()
        pause = 0.05
        while True:
            try:
                found = attempt()
                self._given_up = False
                return found
            except (KeyboardInterrupt, SystemExit):
                # The clean-up after a signal must not wait again for a server that does not answer.
                if self.db.stalled:
                    self._abandoned = IndexUnusable(f"index {self.url}: no answer from the server")
                raise
            except IndexInterrupted as error:
                self.disconnect()
                if self._gives_up(started, pause):
                    waited = time.monotonic() - started
                    as_usual = not (self._given_up or self._stopping()) and waited < self.patience + 60
                    seconds = self.patience if as_usual else waited
                    gone = IndexUnusable(f"{error}; gave up after {seconds:.3g} s")
                    self._given_up = self._given_up or self.patience > 0
                    if self._stopping():
                        # Later statements, such as the record of the run's end, must not wait again.
                        self._abandoned = gone
                    raise gone from error
                _log.debug("%s; trying again", error)
            pause = min(2 * pause, 5.0)

    def _gives_up(self, started: float, pause: float) -> bool:
        """Wait for the next attempt and return False; return True if the wait would exceed the limit."""
        end = time.monotonic() + pause
        # After one full wait in vain, each further call makes one attempt only.
        patience = 0.0 if self._given_up else self.patience
        while True:
            if self._stopping():
                # Long enough for another session's lock or a deadlock, so that finished work is recorded.
                if end > started + min(patience, STOP_PATIENCE):
                    return True
            elif end > started + patience and not self.hold_on():
                return True
            if pause >= LONG_PAUSE:
                self.on_wait()
            left = end - time.monotonic()
            if left <= 0:
                return False
            # It failed with EINVAL twice, on a busy machine with Linux 6.18 and Python 3.11, which ended the run.
            with suppress(OSError):
                time.sleep(min(left, LOOK_EVERY))

    def execute(self, sql: str, params: Sequence[Any] = ()) -> Any:
        """Run one statement and return its cursor.  `sql` has a ? for each of `params` on both engines.

        A SELECT outside a transaction is retried as in `retry`: the session may have been lost after hours without
        use.
        """
        marked = self.dialect.statement(sql)

        def attempt() -> Any:
            return self.db.execute_sql(marked, tuple(params))

        if sql.lstrip().startswith("SELECT") and not self.db.in_transaction():
            return self._persist(attempt)
        return attempt()

    def facts(
        self, fact: type[Fact], sql: str, params: Sequence[Any] = (), /, **convert: Callable[[Any], Any]
    ) -> list[Fact]:
        """Run a SELECT and return its rows as NamedTuples, by the names of the columns; see `alpenhorn.index.facts`.

        `convert`: functions that convert the values of fields.
        """
        return facts.every(self.execute(sql, params), fact, convert)

    def fact(
        self, fact: type[Fact], sql: str, params: Sequence[Any] = (), /, **convert: Callable[[Any], Any]
    ) -> Fact | None:
        """Run a SELECT and return its first row as a NamedTuple; None if there is none."""
        return facts.first(self.execute(sql, params), fact, convert)

    def stream(
        self, fact: type[Fact], sql: str, params: Sequence[Any] = (), /, **convert: Callable[[Any], Any]
    ) -> Iterator[Fact]:
        """Run a SELECT and yield its rows as NamedTuples while they arrive; for millions of rows."""
        return facts.stream(self.execute(sql, params), fact, convert)

    def values(self, sql: str, params: Sequence[Any] = ()) -> list[Any]:
        """Run a SELECT of one column and return its values."""
        return [value for (value,) in self.execute(sql, params).fetchall()]

    def value(self, sql: str, params: Sequence[Any] = ()) -> Any:
        """Run a SELECT of one column and return the value of the first row; None if there is none."""
        row = self.execute(sql, params).fetchone()
        if row is None:
            return None
        (value,) = row
        return value

    def executemany(self, sql: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Run one statement for each row.

        MariaDB takes INSERT … VALUES in packets of up to 64 KiB; any other statement costs a round trip for each row.
        """
        if rows:
            self.db.executemany_sql(self.dialect.statement(sql), rows)

    def insert_ignore(self, table: str, columns: Sequence[str]) -> str:
        """Return an INSERT with a ? for each column, which leaves an existing row unchanged."""
        insert = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
        return f"{insert} {self.dialect.otherwise_nothing(columns[0])}"

    def upsert(self, table: str, columns: Sequence[str], key: Sequence[str], update: Sequence[str]) -> str:
        """Return an INSERT with a ? for each column, which updates the columns `update` of an existing row.

        `key`: the columns of the unique index.
        """
        return self.upsert_from(table, columns, f"VALUES ({', '.join('?' * len(columns))})", key, update)

    def upsert_from(
        self, table: str, columns: Sequence[str], rows: str, key: Sequence[str], update: Sequence[str]
    ) -> str:
        """Return a statement as `upsert` does, for `rows`: VALUES, or a SELECT that ends in a WHERE."""
        insert = f"INSERT INTO {table} ({', '.join(columns)}) {rows}"
        return f"{insert} {self.dialect.on_conflict(key, update)}"

    def cannot_hold(self, texts: Iterable[str]) -> frozenset[str]:
        """Return the texts with a character that the tables of the index cannot store."""
        found: frozenset[str] = self.db.cannot_hold(texts)
        return found

    def now(self) -> datetime.datetime:
        """Return the naive UTC time of the index's server (SQLite: of this machine)."""
        if self.dialect.in_a_file:
            return datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
        (now,) = self.execute("SELECT UTC_TIMESTAMP(6)").fetchone()
        assert isinstance(now, datetime.datetime)
        return now

    def disconnect(self) -> None:
        """Close the connection; the next use opens a new one."""
        self.db.drop()

    def close(self) -> None:
        """Close the connection for good."""
        _open.discard(self)
        self.db.finish()


_open: weakref.WeakSet[Index] = weakref.WeakSet()


def _before_fork() -> None:
    """Close open connections: one shared by two processes gives wrong answers, and the first to exit closes it."""
    for index in list(_open):
        if not index.db.in_transaction():
            index.disconnect()


os.register_at_fork(before=_before_fork)
