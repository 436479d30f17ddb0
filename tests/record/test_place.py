from __future__ import annotations

import threading

import pytest

from alpenhorn.index.connection import Index
from alpenhorn.index.schema import create
from alpenhorn.record.place import node_unmoved
from tests.fixtures.index import MariaDBServer
from tests.fixtures.rows import Rows
from tests.record.waiting import await_a_waiter

pytestmark = pytest.mark.cluster

A, B = "a" * 32, "b" * 32


def medium(rows: Rows, medium: str | None) -> None:
    rows.do("DELETE FROM sync_medium")
    rows.insert(
        "sync_medium", node_id=rows.node["one"], medium=medium, generation=0, separate=0, looked=0, lost=0
    )


def test_an_unchanged_node_is_unmoved(rows: Rows) -> None:
    assert node_unmoved(rows.index, rows.fact("one"))
    medium(rows, A)
    assert node_unmoved(rows.index, rows.fact("one"))


@pytest.mark.parametrize(
    "change",
    ["root = '/elsewhere'", "root = NULL", "host_id = NULL", "host_id = (SELECT MAX(id) FROM storagehost)"],
)
def test_node_with_another_host_or_root_is_not_unmoved(rows: Rows, change: str) -> None:
    node = rows.fact("one")
    rows.do(f"UPDATE storagenode SET {change} WHERE id = ?", node.id)
    assert not node_unmoved(rows.index, node)


@pytest.mark.parametrize("change", ["name = 'renamed'", "active = 0", "archive = 0", "io_config = '{}'"])
def test_other_edits_move_no_node(rows: Rows, change: str) -> None:
    node = rows.fact("one")
    rows.do(f"UPDATE storagenode SET {change} WHERE id = ?", node.id)
    assert node_unmoved(rows.index, node)


@pytest.mark.parametrize(
    ("then", "now", "same"),
    [(A, A, True), (A, B, False), (A, None, False), (None, A, True), (None, None, True)],
)
def test_the_medium_is_compared_once_it_is_known(
    rows: Rows, then: str | None, now: str | None, same: bool
) -> None:
    medium(rows, then)
    node = rows.fact("one")
    medium(rows, now)
    assert node_unmoved(rows.index, node) is same


def test_node_removed_from_the_index_is_not_unmoved(rows: Rows) -> None:
    assert not node_unmoved(rows.index, rows.fact("one")._replace(id=4711))


def test_the_row_is_locked_until_the_result_is_recorded(
    mariadb: MariaDBServer, mariadb_index_url: str
) -> None:
    """An edit waits for the transaction that has read the rows; otherwise it would interfere."""
    index, other = Index.open(mariadb_index_url), Index.open(mariadb_index_url)
    create(index)
    rows = Rows(index)
    node = rows.fact("one")
    watch = mariadb.connect()

    def move() -> None:
        other.retry(
            lambda: other.execute("UPDATE storagenode SET root = '/elsewhere' WHERE id = ?", (node.id,))
        )
        other.disconnect()  # the connection is this thread's

    thread = threading.Thread(target=move)
    try:
        with index.transaction():
            assert node_unmoved(index, node)
            thread.start()
            await_a_waiter(watch, thread)
            assert node_unmoved(index, node)
        thread.join()
    finally:
        watch.close()
    assert not node_unmoved(index, node)
    index.close()
    other.close()
