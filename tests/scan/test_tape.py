from __future__ import annotations

import datetime
from itertools import islice

from alpenhorn.model.tape import Purpose, RestoreState
from alpenhorn.scan import tape
from tests.fixtures.rows import WHEN, Rows

NOW = datetime.datetime(2026, 3, 1)
LATER = NOW + datetime.timedelta(hours=1)


def on_tape(rows: Rows, *names: str, state: str = "YY") -> list[int]:
    """Files whose copies on node one are on tape only."""
    files = [rows.file(name) for name in names]
    for file_id in files:
        rows.copy(file_id, "one", state)
        rows.do("UPDATE archivefilecopy SET ready = 0 WHERE file_id = ?", file_id)
    return files


def asked(rows: Rows, file_id: int, state: str = "asked", next_: datetime.datetime = NOW) -> None:
    rows.insert(
        "sync_restore",
        node_id=rows.node["one"],
        file_id=file_id,
        purpose="pull",
        state=state,
        tries=2,
        asked=WHEN,
        next=next_,
        error="",
    )


def wanted(rows: Rows, now: datetime.datetime = NOW) -> list[tuple[int, str, int]]:
    found = tape.wanted(rows.index, rows.node["one"], now)
    return [(one.file.file_id, one.purpose.value, one.tries) for one in found]


def test_sources_of_requests_come_in_the_order_of_the_requests_each_once_then_suspects(rows: Rows) -> None:
    a, b, c = on_tape(rows, "a", "b", "c")
    (doubtful,) = on_tape(rows, "doubtful", state="MY")
    for file_id, group in ((c, "two"), (a, "two"), (c, "field"), (b, "two")):
        rows.request(file_id, "one", group)
    assert wanted(rows) == [(c, "pull", 0), (a, "pull", 0), (b, "pull", 0), (doubtful, "check", 0)]


def test_only_what_is_pending_and_away_and_good_is_wanted(rows: Rows) -> None:
    done, off, ready, bad, gone = on_tape(rows, "done", "off", "ready", "bad", "gone")
    rows.request(done, "one", "two", completed=1)
    rows.request(off, "one", "two", cancelled=1)
    for file_id in (ready, bad, gone):
        rows.request(file_id, "one", "two")
    rows.do("UPDATE archivefilecopy SET ready = 1 WHERE file_id = ?", ready)
    rows.do("UPDATE archivefilecopy SET has_file = 'X' WHERE file_id = ?", bad)
    rows.do("UPDATE archivefilecopy SET has_file = 'N' WHERE file_id = ?", gone)
    on_tape(rows, "released", state="MN")
    assert wanted(rows) == []


def test_file_that_the_group_has_is_not_restored_for_its_request(rows: Rows) -> None:
    has, lacks = on_tape(rows, "has", "lacks")
    for file_id in (has, lacks):
        rows.request(file_id, "one", "two")
    rows.copy(has, "two", "YY")
    rows.copy(lacks, "two", "XY")
    assert [file_id for file_id, *_ in wanted(rows)] == [lacks]


def test_restore_in_progress_is_not_requested_again_until_it_failed_and_waited(rows: Rows) -> None:
    under_way, failed, waiting = on_tape(rows, "under way", "failed", "waiting")
    for file_id in (under_way, failed, waiting):
        rows.request(file_id, "one", "two")
    asked(rows, under_way)
    asked(rows, failed, "failed", NOW)
    asked(rows, waiting, "failed", LATER)
    assert wanted(rows) == [(failed, "pull", 2)]
    assert [file_id for file_id, *_ in wanted(rows, LATER)] == [failed, waiting]


def test_a_long_queue_is_read_a_page_at_a_time(rows: Rows) -> None:
    files = on_tape(rows, *(f"f{number}" for number in range(tape.PAGE + 3)))
    for file_id in reversed(files):
        rows.request(file_id, "one", "two")
    assert [file_id for file_id, *_ in wanted(rows)] == files[::-1]
    first = next(tape.wanted(rows.index, rows.node["one"], NOW))
    assert first.file.file_id == files[-1]


def test_restores_come_with_their_copy_and_whether_a_request_needs_it(rows: Rows) -> None:
    a, b = on_tape(rows, "a", "b")
    rows.request(a, "one", "two")
    asked(rows, a)
    asked(rows, b, "back")
    asked(rows, 4711)
    found = {fact.file.file_id: fact for fact in tape.asked_back(rows.index, rows.node["one"])}
    assert found[a].file.path == "acq/a" and found[a].requested and found[a].there
    assert (found[a].purpose, found[a].state, found[a].tries) == (Purpose.PULL, RestoreState.ASKED, 2)
    assert not found[b].requested and found[b].state is RestoreState.BACK
    assert not found[4711].there
    rows.do("UPDATE archivefilecopy SET has_file = 'N' WHERE file_id = ?", b)
    assert not {f.file.file_id: f.there for f in tape.asked_back(rows.index, rows.node["one"])}[b]


def test_copies_used_longest_ago_leave_the_disk_first_and_a_pull_counts_as_use(rows: Rows) -> None:
    files = {name: rows.file(name) for name in ("new", "old", "pulled", "wanted", "doubtful", "away")}
    for name, file_id in files.items():
        rows.copy(file_id, "one", "MY" if name == "doubtful" else "YY")
    days = {"new": 20, "old": 10, "pulled": 1, "wanted": 2, "doubtful": 2, "away": 2}
    for name, day in days.items():
        when = datetime.datetime(2026, 1, day)
        rows.do("UPDATE archivefilecopy SET last_update = ? WHERE file_id = ?", when, files[name])
    rows.do("UPDATE archivefilecopy SET ready = 0 WHERE file_id = ?", files["away"])
    for day in (3, 15):
        request = rows.request(files["pulled"], "one", "two", completed=1)
        when = datetime.datetime(2026, 1, day)
        rows.do("UPDATE archivefilecopyrequest SET transfer_completed = ? WHERE id = ?", when, request)
    rows.request(files["wanted"], "one", "two")
    found = tape.dispensable(rows.index, rows.node["one"])
    assert [file.path for file in found] == ["acq/old", "acq/pulled", "acq/new"]


def test_copies_are_compared_in_turn_round_and_round(rows: Rows) -> None:
    copies = [
        rows.copy(rows.file(f"f{number}"), "one", state)
        for number, state in enumerate(("YY", "YN", "YM", "YY"))
    ]
    rows.copy(rows.file("bad"), "one", "XY")

    def turn(after: int | None, count: int) -> list[int]:
        rows.do("DELETE FROM sync_node")
        if after is not None:
            rows.insert("sync_node", node_id=rows.node["one"], compared=after, event_id=0, files=0)
        return [file.copy_id for file in tape.turns(rows.index, rows.node["one"], count)]

    assert turn(None, 2) == copies[:2]
    assert turn(copies[1], 2) == copies[2:]
    assert turn(copies[2], 3) == [copies[3], copies[0], copies[1]]
    assert turn(copies[3], 2) == copies[:2]
    assert turn(copies[1], 100) == copies[2:] + copies[:2]


def test_restored_copies_are_checked(rows: Rows) -> None:
    a, b = on_tape(rows, "a", "b", state="MY")
    asked(rows, a, "back")
    asked(rows, b, "asked")
    (fact,) = tape.back(rows.index, rows.node["one"])
    assert (fact.file_id, fact.acq, fact.name, fact.has_file, fact.ready) == (a, "acq", "a", "M", False)
    assert list(islice(tape.back(rows.index, rows.node["two"]), 1)) == []


def test_the_progress_of_a_restore_is_described(rows: Rows) -> None:
    a, b, c = on_tape(rows, "a", "b", "c")
    asked(rows, a)
    asked(rows, b, "failed", LATER)
    rows.do("UPDATE sync_restore SET error = 'no such tape' WHERE file_id = ?", b)
    told = [tape.progress(rows.index, rows.node["one"], file_id) for file_id in (a, b, c)]
    assert told == [
        "restore from tape requested at 2026-01-02 03:04:05 UTC (2 times)",
        "restore from tape failed (2 times): no such tape; next attempt after 2026-03-01 01:00:00 UTC",
        "",
    ]


def test_a_next_try_further_ahead_than_any_wait_is_not_waited_for(rows: Rows) -> None:
    waiting, future, suspect = on_tape(rows, "waiting", "future", "suspect")
    rows.do("UPDATE archivefilecopy SET has_file = 'M' WHERE file_id = ?", suspect)
    for file_id in (waiting, future):
        rows.request(file_id, "one", "two")
    asked(rows, waiting, "failed", NOW + datetime.timedelta(days=1))
    asked(rows, future, "failed", NOW + datetime.timedelta(days=3650))
    asked(rows, suspect, "failed", NOW + datetime.timedelta(days=3650))
    assert wanted(rows) == [(future, "pull", 2), (suspect, "check", 2)]
