from __future__ import annotations

import pytest

from alpenhorn.scan import manifest
from tests.fixtures.rows import WHEN, Rows


def event(rows: Rows, file_id: int, node: str = "one") -> int:
    return rows.insert("sync_event", at=WHEN, file_id=file_id, node_id=rows.node[node], what="pulled", why="")


def keep(rows: Rows, event_id: int, files: int = 0) -> None:
    rows.insert(
        "sync_node", node_id=rows.node["one"], compared=0, host="here", event_id=event_id, files=files
    )


def good(rows: Rows, limit: int = 2) -> list[int]:
    return [row.file_id for page in manifest.good(rows.index, rows.node["one"], limit) for row in page]


def test_all_good_copies_of_a_node_are_read_whatever_is_wanted_of_them(rows: Rows) -> None:
    wished = {wants: [rows.file(f"{wants}{number}") for number in range(5)] for wants in "YMN"}
    for wants, files in wished.items():
        for file_id in files:
            rows.copy(file_id, "one", f"Y{wants}")
            rows.copy(file_id, "two", "YY")
    for has in "NMX":
        rows.copy(rows.file(has), "one", f"{has}Y")
    assert good(rows) == wished["Y"] + wished["M"] + wished["N"]
    assert manifest.count(rows.index, rows.node["one"]) == 15


def test_a_copy_without_a_file_is_recognized(rows: Rows) -> None:
    rows.copy(rows.file("f"), "one", "YY")
    if not rows.index.dialect.in_a_file:
        rows.do("SET SESSION foreign_key_checks = 0")
    rows.do("DELETE FROM archivefile")
    ((row,),) = manifest.good(rows.index, rows.node["one"], 10)
    assert (row.acq, row.name, row.md5sum) == (None, None, None)


def test_changes_are_found_by_the_order_of_events_not_by_clocks(rows: Rows) -> None:
    before, here, there, again = (rows.file(name) for name in ("before", "here", "there", "again"))
    first = event(rows, before)
    keep(rows, first)
    node = rows.node["one"]
    assert manifest.kept(rows.index, [node])[node] == (first, 0, first, False)
    other = event(rows, there, "two")
    assert manifest.kept(rows.index, [node])[node] == (first, 0, other, False)
    rows.do("UPDATE sync_event SET at = '2030-01-01 00:00:00'")
    for file_id in (here, again, again):
        last = event(rows, file_id)
    assert manifest.kept(rows.index, [node])[node] == (first, 0, last, True)
    assert sorted(manifest.touched(rows.index, node, first, last, 10)) == [here, again]
    assert len(manifest.touched(rows.index, node, first, last, 1)) == 1
    assert manifest.touched(rows.index, node, last, last, 10) == []
    assert list(manifest.kept(rows.index, list(rows.node.values()))) == [node]


@pytest.mark.parametrize("sql", ["kept", "touched"])
def test_events_are_looked_up_by_their_ids_however_many_the_node_has(rows: Rows, sql: str) -> None:
    file_id = rows.file("f")
    rows.index.executemany(
        "INSERT INTO sync_event (at, file_id, node_id, what, why) VALUES (?, ?, ?, ?, ?)",
        [(WHEN, file_id, rows.node["one"], "pulled", "")] * 3000,
    )
    last = manifest.latest_event(rows.index)
    keep(rows, last - 9)
    since = manifest.events_of(rows.index)
    node = rows.node["one"]
    text, values = {
        "kept": (f"SELECT 1 FROM {since} AND e.id > ? LIMIT 1", (node, last - 9)),
        "touched": (
            f"SELECT DISTINCT e.file_id FROM {since} AND e.id > ? AND e.id <= ?",
            (node, last - 9, last),
        ),
    }[sql]
    explain = "EXPLAIN QUERY PLAN " if rows.index.dialect.in_a_file else "EXPLAIN "
    ((*_, how), *_) = found = rows.index.execute(explain + text, values).fetchall()
    if rows.index.dialect.in_a_file:
        assert str(how).startswith("SEARCH e USING INTEGER PRIMARY KEY"), found
    else:
        ((_, _, _, kind, _, key, *_),) = found
        assert (kind, key) == ("range", "PRIMARY"), found


def test_files_come_with_the_state_of_their_copies_here(rows: Rows) -> None:
    has, had, never = (rows.file(name) for name in ("has", "had", "never"))
    rows.copy(has, "one", "YY")
    rows.copy(had, "one", "NN")
    rows.copy(never, "two", "YY")
    found = manifest.files(rows.index, rows.node["one"], [has, had, never, 999])
    assert sorted((row.name, state) for row, state in found) == [("had", "N"), ("has", "Y"), ("never", None)]
