"""The connection to the data index: SQLite by a file, MariaDB or MySQL by mysqlclient.

One process owns an `Index`; a connection never crosses a fork.  Whatever goes wrong with the database itself
(lost, locked, full, refused) is raised as IndexUnusable with a message for the user, from the models as from
`Index.execute`; what is a mistake in a statement stays a peewee error.
"""

from __future__ import annotations

import datetime
import os
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from alpenhorn.config import Database
from alpenhorn.errors import IndexUnusable
from alpenhorn.index import facts
from alpenhorn.index.dialect import Dialect
from alpenhorn.index.engines import IndexInterrupted, database, database_for
from alpenhorn.reasons import Reason

T = TypeVar("T")
Fact = TypeVar("Fact")

PATIENCE = 60.0
# Seconds for a statement that reads or writes a few rows, while other work waits for this process.
QUICK_ANSWER = 10.0
# Seconds for which a lost index is waited for once the run is to stop.
STOP_PATIENCE = 5.0
# Seconds between two looks at whether the run is to stop, while a lost index is waited for.
LOOK_EVERY = 0.2


class Index:
    """The open index.  `url` is that of the configuration, without its password.

    `patience`: seconds for which a lost index is waited for, and longer while `hold_on` says that something would be
    lost by giving up.  `stopping`: once true, it is waited for a few seconds at most.
    """

    def __init__(self, db: Any, url: str) -> None:
        self.db = db
        self.url = url
        self.patience = PATIENCE
        self.hold_on: Callable[[], bool] = lambda: False
        self._stopping: Callable[[], bool] = lambda: False
        self._abandoned: IndexUnusable | None = None
        self._given_up = False
        self._galera: bool | None = None
        _open.add(self)

    @classmethod
    def configured(cls, wanted: Database, *, create: bool = False) -> Index:
        """Connect to the index that is `wanted`, and let the models of `alpenhorn.index.tables` use it.

        `create` makes a missing SQLite file and its directory; a MariaDB database must be there.
        Raises IndexUnusable.
        """
        db, shown = database_for(wanted, create)
        with db.explained():
            db.connect()
        database.initialize(db)
        return cls(db, shown)

    @classmethod
    def open(cls, url: str, password_file: Path | None = None, *, create: bool = False) -> Index:
        """As `configured`, with no more than a URL and where the password is.

        `url` is `sqlite:///PATH` (all that follows is the path as it stands; four slashes make it absolute)
        or `mysql://USER[:PASSWORD]@[HOST[:PORT]]/DATABASE[?unix_socket=PATH]`, each part percent-encoded.
        A port means TCP to that port, also on localhost.
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
        """The SQL that the engine has in its own way."""
        dialect: Dialect = self.db.dialect
        return dialect

    @property
    def galera(self) -> bool:
        """Whether the server is one of a Galera cluster, where a lock is known to no server but its own; asked once
        for each session."""
        if self._galera is None:
            # Not @@wsrep_on, which MySQL does not know.
            asked = (
                [] if self.dialect.in_a_file else self.execute("SHOW VARIABLES LIKE 'wsrep_on'").fetchall()
            )
            self._galera = any(value == "ON" for _, value in asked)
        return self._galera

    @property
    def odd(self) -> dict[Reason, None]:
        """Rows that were read and have a value of the wrong type, each named once; see `alpenhorn.index.rows`."""
        found: dict[Reason, None] = getattr(self.db, "odd", {})
        return found

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing.  Within another one: a savepoint.  On SQLite it takes the write lock at once."""
        begin = self.dialect.begin
        with self.db.atomic() if begin is None else self.db.atomic(begin):
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
        hold_on, self.hold_on = self.hold_on, lambda: False
        try:
            yield
        finally:
            self.patience, self.hold_on = before, hold_on

    @contextmanager
    def glancing(self) -> Iterator[None]:
        """As `impatient`, for a few rows, and also where the server stands still: other work waits meanwhile."""
        before = self.answer_within(QUICK_ANSWER)
        try:
            with self.impatient():
                yield
        finally:
            self.answer_within(before)

    def answer_within(self, seconds: float | None) -> float | None:
        """Let a server's answer to one statement take that long, and return how long it could take before; None: as
        long as it takes, for what works through whole tables."""
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
                # Asked to end at once: what follows must not wait for a server that stands still once more.
                if self.db.stalled:
                    self._abandoned = IndexUnusable(f"the index {self.url} did not answer")
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
                        # What follows, such as the record of the run's end, must not wait once more.
                        self._abandoned = gone
                    raise gone from error
            pause = min(2 * pause, 5.0)

    def _gives_up(self, started: float, pause: float) -> bool:
        """Wait for the next attempt, unless it is not worth it."""
        end = time.monotonic() + pause
        # Who has waited in vain, and still has something to record, tries it once more and does not wait once more.
        patience = 0.0 if self._given_up else self.patience
        while True:
            if self._stopping():
                # Long enough for another session's lock, and for a deadlock: what was finished is to be recorded.
                if end > started + min(patience, STOP_PATIENCE):
                    return True
            elif end > started + patience and not self.hold_on():
                return True
            left = end - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(left, LOOK_EVERY))

    def execute(self, sql: str, params: Sequence[Any] = ()) -> Any:
        """Run one statement and return its cursor.  `sql` has a ? for each of `params` on both engines.

        A SELECT outside a transaction is asked again, as by `retry`, when its session was lost; it may have
        been idle for hours.
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

        `convert`: how the values of some fields are changed.
        """
        return facts.every(self.execute(sql, params), fact, convert)

    def fact(
        self, fact: type[Fact], sql: str, params: Sequence[Any] = (), /, **convert: Callable[[Any], Any]
    ) -> Fact | None:
        """As `facts`, of the first row; None when there is none."""
        return facts.first(self.execute(sql, params), fact, convert)

    def stream(
        self, fact: type[Fact], sql: str, params: Sequence[Any] = (), /, **convert: Callable[[Any], Any]
    ) -> Iterator[Fact]:
        """As `facts`, of a result with millions of rows: each as it comes."""
        return facts.stream(self.execute(sql, params), fact, convert)

    def values(self, sql: str, params: Sequence[Any] = ()) -> list[Any]:
        """Run a SELECT of one column and return its values."""
        return [value for (value,) in self.execute(sql, params).fetchall()]

    def value(self, sql: str, params: Sequence[Any] = ()) -> Any:
        """Run a SELECT of one column and return the value of the first row; None when there is none."""
        row = self.execute(sql, params).fetchone()
        if row is None:
            return None
        (value,) = row
        return value

    def executemany(self, sql: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Run one statement for each row.

        INSERT … VALUES goes to MariaDB in packets of up to 64 KiB; anything else is a round trip a row.
        """
        if rows:
            self.db.executemany_sql(self.dialect.statement(sql), rows)

    def insert_ignore(self, table: str, columns: Sequence[str]) -> str:
        """Return an INSERT with a ? a column that leaves a row alone which is there already."""
        insert = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
        return f"{insert} {self.dialect.otherwise_nothing(columns[0])}"

    def upsert(self, table: str, columns: Sequence[str], key: Sequence[str], update: Sequence[str]) -> str:
        """Return an INSERT with a ? a column that, where a row with this unique `key` is there already,
        sets its columns `update` to the values given."""
        return self.upsert_from(table, columns, f"VALUES ({', '.join('?' * len(columns))})", key, update)

    def upsert_from(
        self, table: str, columns: Sequence[str], rows: str, key: Sequence[str], update: Sequence[str]
    ) -> str:
        """As `upsert`, of `rows`: VALUES, or a SELECT that ends in a WHERE."""
        insert = f"INSERT INTO {table} ({', '.join(columns)}) {rows}"
        return f"{insert} {self.dialect.on_conflict(key, update)}"

    def cannot_hold(self, texts: Iterable[str]) -> frozenset[str]:
        """Those of some names that have a character which the tables of the index cannot hold."""
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
