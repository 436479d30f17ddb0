from __future__ import annotations

import pytest

from alpenhorn.edits import hosts as edit_host
from alpenhorn.edits import nodes as edit_node
from alpenhorn.errors import NotFound, Refused
from alpenhorn.scan import names
from tests.edits.conftest import Beside
from tests.fixtures.rows import HERE, THERE, WHEN, Rows

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
