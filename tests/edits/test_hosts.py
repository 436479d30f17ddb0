from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from alpenhorn.edits import hosts as edit_host
from alpenhorn.edits import nodes as edit_node
from alpenhorn.errors import AlpenhornError, NotFound, Refused
from alpenhorn.index.connection import Index
from alpenhorn.index.schema import create
from alpenhorn.scan import names
from tests.fixtures.index import MariaDBServer
from tests.fixtures.rows import HERE, THERE, WHEN, Rows
from tests.record.waiting import await_a_waiter

HOST_OF_FIELD = "SELECT host_id FROM storagenode WHERE name = 'field'"


def test_nodes_that_were_not_seen_keep_the_host(rows: Rows) -> None:
    host = names.host(rows.index, THERE)
    with pytest.raises(Refused, match="host there: node one_too was added to it in the meantime"):
        edit_host.delete(rows.index, host, [])
    edit_host.delete(rows.index, host, [rows.node["one_too"], rows.node["two"]])
    assert rows.all("SELECT name FROM storagehost") == [(HERE,)]
    assert rows.all("SELECT name FROM storagenode WHERE host_id IS NULL") == [("one_too",)]
    # The answer to the commit may have got lost.
    edit_host.delete(rows.index, host, [rows.node["one_too"]])


def test_no_node_is_put_on_a_host_that_is_gone(rows: Rows) -> None:
    host = names.host(rows.index, THERE)
    edit_host.delete(rows.index, host, [rows.node["one_too"]])
    values = {"name": "new", "host_id": host.id, "active": False, "archive": False, "auto_import": False}
    with pytest.raises(NotFound):
        edit_node.modify(rows.index, rows.node["field"], {"host_id": host.id}, {}, WHEN)
    with pytest.raises(NotFound):
        edit_node.create(rows.index, {**values, "auto_verify": 0, "min_avail_gb": 0}, WHEN, group_id=None)
    assert rows.all("SELECT id FROM storagegroup WHERE name = 'new'") == []
    assert rows.all("SELECT id FROM storagenode WHERE host_id = ?", host.id) == []


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


def test_a_node_that_is_put_on_the_host_at_the_same_moment_keeps_it(beside: Beside) -> None:
    rows = beside.rows
    host_id = rows.insert("storagehost", name="old")
    host = names.host(rows.index, "old")
    # As `edit_node` does it: the host is looked at, and then the node put on it.
    beside.do("SELECT id FROM storagehost WHERE id = %s LOCK IN SHARE MODE", host_id)
    deleted = beside.waits(
        lambda: edit_host.delete(rows.index, host, []),
        "UPDATE storagenode SET host_id = %s WHERE name = 'field'",
        host_id,
    )
    assert isinstance(deleted, Refused)
    assert rows.all(HOST_OF_FIELD) == [(host_id,)]
    assert names.host(rows.index, "old") == host


def test_a_node_is_not_put_on_a_host_that_is_just_being_deleted(beside: Beside) -> None:
    rows = beside.rows
    host_id = rows.insert("storagehost", name="old")
    before = rows.all(HOST_OF_FIELD)
    beside.do("SELECT id FROM storagehost WHERE id = %s FOR UPDATE", host_id)
    moved = beside.waits(
        lambda: edit_node.modify(rows.index, rows.node["field"], {"host_id": host_id}, {}, WHEN),
        "DELETE FROM storagehost WHERE id = %s",
        host_id,
    )
    assert isinstance(moved, NotFound)
    assert rows.all(HOST_OF_FIELD) == before
