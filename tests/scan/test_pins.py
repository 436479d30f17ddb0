from __future__ import annotations

import datetime

from alpenhorn.scan import pins
from tests.fixtures.rows import Rows
from tests.scan.statements import counted

DAY = datetime.timedelta(days=1)
SECOND = datetime.timedelta(seconds=1)


def pin(
    rows: Rows,
    file_id: int,
    node_id: int = 0,
    reason: str | None = None,
    until: datetime.datetime | None = None,
) -> None:
    rows.insert(
        "sync_pin", file_id=file_id, node_id=node_id, reason=reason, pinned=rows.index.now(), until=until
    )


def test_a_pin_holds_on_its_node_or_on_every_node(rows: Rows) -> None:
    everywhere, here, elsewhere, free = (rows.file(name) for name in "abcd")
    pin(rows, everywhere, reason="a reason")
    pin(rows, here, rows.node["one"])
    pin(rows, elsewhere, rows.node["two"])
    ids = (everywhere, here, elsewhere, free)
    assert pins.pinned(rows.index, rows.node["one"], ids) == {everywhere: "pinned: a reason", here: "pinned"}
    assert pins.pinned(rows.index, rows.node["one"], ()) == {}


def test_a_pin_ends_by_the_time_of_the_index(rows: Rows) -> None:
    over, lasting = rows.file("a"), rows.file("b")
    now = rows.index.now().replace(microsecond=0)
    pin(rows, over, until=now)
    pin(rows, lasting, until=now + DAY)
    words = f"pinned until {now + DAY} UTC"
    assert pins.pinned(rows.index, rows.node["one"], (over, lasting)) == {lasting: words}
    assert [row.until for row in pins.of_file(rows.index, lasting)] == [now + DAY]
    assert pins.of_file(rows.index, over) == []


def test_the_longer_of_two_pins_is_shown(rows: Rows) -> None:
    now = rows.index.now().replace(microsecond=0)
    file_id, other = rows.file("a"), rows.file("b")
    pin(rows, file_id, reason="short", until=now + DAY)
    pin(rows, file_id, rows.node["one"], reason="for good")
    pin(rows, other, reason="longer", until=now + 2 * DAY)
    pin(rows, other, rows.node["one"], reason="shorter", until=now + DAY)
    found = pins.pinned(rows.index, rows.node["one"], (file_id, other))
    assert found[file_id] == "pinned: for good"
    assert found[other].endswith("UTC: longer")
    assert [row.node for row in pins.of_file(rows.index, file_id)] == [None, "one"]


def test_the_statements_grow_with_chunks_and_not_with_files(rows: Rows) -> None:
    with counted() as statements:
        pins.pinned(rows.index, rows.node["one"], range(1, 1001))
    assert statements.count <= 3
