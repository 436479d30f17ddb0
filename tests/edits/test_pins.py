from __future__ import annotations

import datetime
import threading

import pytest

from alpenhorn.edits import pins as edit_pins
from alpenhorn.errors import NotFound
from alpenhorn.index.connection import Index
from alpenhorn.index.schema import create
from alpenhorn.scan import pins
from tests.fixtures.index import MariaDBServer
from tests.fixtures.rows import Rows
from tests.record.waiting import await_a_waiter

pytestmark = pytest.mark.cluster

HOUR = datetime.timedelta(hours=1)


def test_a_second_pin_of_the_same_replaces_the_first(rows: Rows) -> None:
    file_id = rows.file("a")
    now = rows.index.now().replace(microsecond=0)
    edit_pins.pin(rows.index, rows.named(file_id), 0, "why", now + HOUR, now)
    edit_pins.pin(rows.index, rows.named(file_id), rows.node["one"], None, None, now)
    edit_pins.pin(rows.index, rows.named(file_id), 0, "because", None, now + HOUR)
    everywhere, one = pins.of_file(rows.index, file_id)
    assert everywhere == (None, "because", now + HOUR, None)
    assert one == ("one", None, now, None)


def test_unpin_takes_only_the_pin_that_is_named(rows: Rows) -> None:
    file_id, other = rows.file("a"), rows.file("b")
    now = rows.index.now()
    for pinned in (file_id, other):
        edit_pins.pin(rows.index, rows.named(pinned), 0, None, None, now)
    edit_pins.pin(rows.index, rows.named(file_id), rows.node["one"], None, None, now)
    assert edit_pins.unpin(rows.index, file_id, 0)
    assert not edit_pins.unpin(rows.index, file_id, 0)
    assert [row.node for row in pins.of_file(rows.index, file_id)] == ["one"]
    assert len(pins.of_file(rows.index, other)) == 1


def test_a_pin_that_has_run_out_is_no_pin_to_take_away_but_its_row_goes(rows: Rows) -> None:
    file_id = rows.file("a")
    now = rows.index.now()
    edit_pins.pin(rows.index, rows.named(file_id), 0, None, now - HOUR, now - 2 * HOUR)
    assert not edit_pins.unpin(rows.index, file_id, 0)
    assert rows.all("SELECT * FROM sync_pin") == []


def test_a_file_that_was_deleted_meanwhile_is_not_pinned(rows: Rows) -> None:
    file_id, now = rows.file("a"), rows.index.now()
    named = rows.named(file_id)
    rows.do("DELETE FROM archivefile WHERE id = ?", file_id)
    with pytest.raises(NotFound, match="'acq/a': deleted from the index in the meantime"):
        edit_pins.pin(rows.index, named, 0, None, None, now)
    assert rows.all("SELECT * FROM sync_pin") == []


def test_a_pin_waits_for_a_claim_that_is_being_decided(
    mariadb: MariaDBServer, mariadb_index_url: str
) -> None:
    """A claim locks the file's copies before it reads the pins: neither may miss the other."""
    index = Index.open(mariadb_index_url)
    create(index)
    rows = Rows(index)
    file_id = rows.file("a")
    rows.copy(file_id, "one", "YN")
    named, now = rows.named(file_id), index.now()
    other, watch = mariadb.connect(), mariadb.connect()

    def pin() -> None:
        edit_pins.pin(index, named, 0, None, None, now)
        index.disconnect()  # the connection is this thread's

    thread = threading.Thread(target=pin)
    try:
        for session in (other, watch):
            session.select_db(index.db.database)
        other.begin()
        locked = other.cursor()
        locked.execute("SELECT id FROM archivefilecopy FOR UPDATE")
        thread.start()
        await_a_waiter(watch, thread)
        cursor = watch.cursor()
        cursor.execute("SELECT COUNT(*) FROM sync_pin")
        assert cursor.fetchone() == (0,)
        other.commit()
        thread.join()
        assert len(pins.of_file(index, file_id)) == 1
    finally:
        other.close()
        watch.close()
    index.close()
