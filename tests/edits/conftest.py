"""A second session on MariaDB, which holds locks while an edit runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from alpenhorn.errors import AlpenhornError
from alpenhorn.index.connection import Index
from alpenhorn.index.schema import create
from tests.fixtures.index import MariaDBServer
from tests.fixtures.rows import Rows
from tests.record.waiting import await_a_waiter


class Beside:
    """An index on MariaDB, and a second session of it that holds a transaction open."""

    def __init__(self, rows: Rows, other: Any, watch: Any) -> None:
        self.rows = rows
        self.other = other
        self.watch = watch

    def do(self, sql: str, *values: Any) -> None:
        self.other.cursor().execute(sql, values)

    def waits(self, work: Callable[[], object], then: str, *values: Any) -> AlpenhornError | None:
        """Begin `work`, which has to wait for what the second session has locked; have that do `then` and commit;
        return what `work` raised."""
        raised: list[AlpenhornError] = []

        def attempt() -> None:
            try:
                work()
            except AlpenhornError as error:
                raised.append(error)
            finally:
                self.rows.index.disconnect()  # the connection is this thread's

        thread = threading.Thread(target=attempt)
        thread.start()
        await_a_waiter(self.watch, thread)
        self.do(then, *values)
        self.other.commit()
        thread.join()
        return raised[0] if raised else None


@pytest.fixture
def beside(mariadb: MariaDBServer, mariadb_index_url: str) -> Iterator[Beside]:
    index = Index.open(mariadb_index_url)
    create(index)
    other, watch = mariadb.connect(), mariadb.connect()
    for session in (other, watch):
        session.select_db(index.db.database)
    other.begin()
    yield Beside(Rows(index), other, watch)
    other.close()
    watch.close()
    index.close()
