from __future__ import annotations

import datetime

from alpenhorn.edits import history
from alpenhorn.listings.history import Old, old
from alpenhorn.scan import media
from tests.fixtures.rows import Rows
from tests.listings.test_history import DAY, START, event, run_row


def at(day: float) -> datetime.datetime:
    return START + day * DAY


def left(rows: Rows, table: str) -> list[int]:
    return [row[0] for row in rows.all(f"SELECT id FROM {table} ORDER BY id")]


def test_events_from_before_that_time_are_removed_and_no_others(rows: Rows) -> None:
    ids = [event(rows, day) for day in (5, 1, 3, 4, 2, 6)]
    assert old(rows.index, at(3)) == Old(2, 0)
    assert history.prune(rows.index, at(3)) == Old(2, 0)
    assert left(rows, "sync_event") == [ids[0], ids[2], ids[3], ids[5]]


def test_runs_that_ended_before_it_are_removed_but_for_the_last_of_each_host(rows: Rows) -> None:
    first = [run_row(rows, day) for day in (1, 2, 3)]
    only = run_row(rows, 1, "there")
    several = [run_row(rows, day, "third") for day in (1, 2, 8)]
    assert old(rows.index, at(5)) == history.prune(rows.index, at(5)) == Old(0, 4)
    assert left(rows, "sync_run") == [first[-1], only, several[-1]]
    assert history.prune(rows.index, at(5)) == Old(0, 0)


def test_a_run_that_is_not_ended_is_kept(rows: Rows) -> None:
    going = run_row(rows, 1, ended=False)
    ended_later, gone = run_row(rows, 3), run_row(rows, 2)
    last = run_row(rows, 2)
    history.prune(rows.index, at(3))
    assert left(rows, "sync_run") == [going, ended_later, last]
    assert gone not in left(rows, "sync_run")


def test_more_than_one_piece_is_removed_whole(rows: Rows) -> None:
    count = 2 * history.PIECE + 1
    with rows.index.transaction():
        rows.index.executemany(
            "INSERT INTO sync_event (at, file_id, node_id, what, why) VALUES (?, 1, 1, 'pulled', '')",
            [(str(at(0)),)] * count,
        )
    assert history.prune(rows.index, at(1)) == Old(count - 1, 0)
    assert left(rows, "sync_event") == [count]


def test_the_newest_event_is_kept_so_that_its_number_is_not_used_again(rows: Rows) -> None:
    newest = max(event(rows, day) for day in (1, 2, 3))
    assert old(rows.index, at(9)) == history.prune(rows.index, at(9)) == Old(2, 0)
    assert left(rows, "sync_event") == [newest]
    assert event(rows, 10) > newest


def test_events_are_kept_until_the_manifest_of_their_node_includes_them(rows: Rows) -> None:
    first, second, third = [event(rows, day, node="one") for day in (1, 2, 3)]
    event(rows, 1, node="two")
    newest = event(rows, 1, node="two")
    rows.insert(
        "sync_node", node_id=rows.node["one"], compared=0, host="here", root="/one", event_id=first, files=1
    )
    assert history.prune(rows.index, at(9)) == Old(2, 0)
    assert left(rows, "sync_event") == [second, third, newest]
    rows.do("UPDATE sync_node SET event_id = ?", third)
    assert history.prune(rows.index, at(9)) == Old(2, 0)
    assert left(rows, "sync_event") == [newest]


def test_the_highest_run_that_was_removed_is_kept_in_mind(rows: Rows) -> None:
    first, second, *_ = [run_row(rows, day) for day in (1, 2, 3)]
    assert media.load(rows.index).pruned == 0
    history.prune(rows.index, at(3))
    assert media.load(rows.index).pruned == second > first
    history.prune(rows.index, at(9))
    assert media.load(rows.index).pruned == second
