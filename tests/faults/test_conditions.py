"""Conditions are mailed when they begin, when they change, once a day, and when they end (situation 17)."""

from __future__ import annotations

import datetime
import time

import pytest

from alpenhorn.fs.run_lock import RUN_LOCK, RunLock
from tests.fixtures.archive import Archive, wait_for

ALL = "node v1 is left out"


@pytest.fixture
def pair(sqlite_archive: Archive) -> Archive:
    """Nodes field and v1, of which v1 is absent, with a typical configuration."""
    archive = sqlite_archive
    archive.node("field")
    archive.node("v1", archive=1)
    archive.configure(sync={"remind_after": "1d"})
    archive.synced()
    archive.root("v1").rename(archive.base / "away")
    return archive


def back(archive: Archive) -> None:
    (archive.base / "away").rename(archive.root("v1"))


def age(archive: Archive, hours: int) -> None:
    """Make conditions older by this time."""
    for column in ("began", "seen", "reported"):
        ((value,),) = archive.all(f"SELECT {column} FROM sync_condition")
        archive.do(f"UPDATE sync_condition SET {column} = datetime(?, ?)", value, f"-{hours} hours")


def test_situation_17_a_node_that_is_away_is_mailed_once_a_day_and_when_it_is_back(pair: Archive) -> None:
    first = pair.sync()
    assert first.status == 0 and ALL in first.err
    for _ in range(3):
        pair.synced()
    age(pair, 3)
    pair.synced()
    age(pair, 22)
    assert ALL in pair.sync().err
    pair.synced()
    back(pair)
    result = pair.sync()
    assert result.status == 0 and result.err.startswith("note: node v1 is back, after 1 d 1 h"), result
    assert pair.all("SELECT * FROM sync_condition") == []
    pair.synced()


def test_a_failure_that_lasts_is_in_the_history_when_it_begins_and_once_a_day(pair: Archive) -> None:
    pair.root("field").rename(pair.base / "gone")  # no node is left, so that each run fails

    def failed() -> int:
        assert pair.sync().status == 1
        ((events,),) = pair.all("SELECT COUNT(*) FROM sync_event WHERE what = 'failed'")
        return int(events)

    first, began = failed(), time.time()
    wait_for(lambda: time.time() > began + 1, "the next second, since the index stores whole ones")
    assert first >= 1 and [failed() for _ in range(5)] == [first] * 5
    shown = pair.run("history", "--run", "last").out
    assert "Failures:" not in shown
    lasting = shown.partition("Lasting conditions, reported by earlier runs:")[2].partition("Events:")[0]
    assert "no node of host here could be used" in lasting and " UTC: " in lasting
    document = pair.run("history", "--run", "last", "--json").json
    assert {one["code"] for one in document["conditions"]} >= {"run-no-node"} and document["events"] == []
    ((began,),) = pair.all("SELECT MIN(run_id) FROM sync_event WHERE what = 'failed'")
    shown = pair.run("history", "--run", str(began)).out
    assert "Failures:\n\nno node of host here could be used" in shown and "Lasting" not in shown
    pair.do(
        "UPDATE sync_condition SET began = datetime(began, '-25 hours'), reported = datetime(reported, '-25 hours')"
    )
    assert failed() == 2 * first and failed() == 2 * first
    (pair.base / "gone").rename(pair.root("field"))
    back(pair)
    assert pair.sync().status == 0
    assert pair.run("history", "--run", "last", "--json").json["conditions"] == []


def test_situation_17_a_node_that_is_no_longer_used_is_not_back(pair: Archive) -> None:
    pair.sync()
    assert pair.run("node", "deactivate", "v1").status == 0
    result = pair.sync()
    assert "resolved after" in result.err and "is back" not in result.err, result
    pair.synced()


def test_situation_17_a_changed_reason_is_mailed_at_once(pair: Archive) -> None:
    pair.sync()
    pair.root("v1").mkdir()
    result = pair.sync()
    assert ALL in result.err and "is back" not in result.err
    pair.synced()


def test_situation_17_a_run_that_leaves_out_every_node_fails_and_status_wants_attention(
    pair: Archive,
) -> None:
    pair.root("field").rename(pair.base / "field-away")
    first = pair.sync()
    assert first.status == 1 and ALL in first.err and "node field is left out" in first.err
    # cron mails what is printed; what looks at the exit status still sees that nothing is done.
    second = pair.sync()
    assert second.status == 1 and second.silent
    assert "no node of host here could be used" in pair.run("status").out
    assert "no node of host here could be used" in pair.run("doctor").out


def test_situation_17_a_run_on_a_terminal_shows_everything_and_does_not_change_the_mail(
    pair: Archive,
) -> None:
    for _ in range(2):
        result = pair.start("-v", "sync").result()
        assert ALL in result.err
    assert ALL in pair.sync().err
    assert ALL in pair.start("-v", "sync").result().err
    pair.synced()


def test_situation_17_only_a_run_that_looked_reports_the_end(pair: Archive) -> None:
    pair.sync()
    back(pair)
    pair.synced("--node", "field")
    pair.synced("--only", "pull")
    assert "node v1 is back" in pair.sync().err


def test_situation_17_status_and_doctor_show_since_when(pair: Archive) -> None:
    pair.sync()
    (began,) = (row[0] for row in pair.all("SELECT began FROM sync_condition"))
    assert f"runs on here have reported since {began} UTC: node v1 is left out" in pair.run("doctor").out
    (document,) = pair.run("status", "--json").json["conditions"]
    assert (document["host"], document["code"], document["subject"]) == ("here", "node-left-out", "v1")
    # The medium of a node that is away is told of already.
    assert pair.run("status").out.count("v1 was left out") == 1


def test_situation_17_each_hosts_cron_knows_what_its_own_runs_have_reported(pair: Archive) -> None:
    pair.sync()
    pair.do("UPDATE storagenode SET host_id = ? WHERE name = 'v1'", pair.host("there"))
    pair.configure("there", sync={"remind_after": "1d"})
    assert ALL in pair.sync(host="there").err
    result = pair.sync(host="there")
    assert result.status == 1 and result.silent


def test_situation_17_events_are_mailed_each_time(pair: Archive) -> None:
    """A corrupt copy is an event, not a condition."""
    back(pair)
    for name in ("one", "two"):
        pair.set_copy(pair.file(f"acq/{name}", b"x", "field"), "field", "MY")
        pair.put("field", f"acq/{name}", b"y")
        assert f"acq/{name}" in pair.sync().err


def test_a_configuration_can_make_each_run_report_everything(pair: Archive) -> None:
    pair.configure(sync={"remind_after": 0})
    for _ in range(2):
        assert ALL in pair.sync().err
    assert pair.all("SELECT * FROM sync_condition") == []


# --- runs that hang ------------------------------------------------------------------------------------


def held(archive: Archive, since: str, run: int | None = None) -> list[RunLock]:
    """Hold the locks of both nodes like a run that took them at this time."""
    locks = [RunLock(archive.root(name) / RUN_LOCK) for name in ("field", "v1")]
    index_id = archive.one("SELECT value FROM sync_index WHERE name = 'identity'")
    for lock in locks:
        assert lock.acquire()
        with open(lock.path, "r+b") as file:
            file.write(f"pid 4711 on here since {since} UTC".encode().ljust(159) + b"\n")
        if run is not None:
            lock.note(f"run {run} on here of index {index_id}")
    return locks


def test_situation_17_a_hanging_run_is_reported_by_runs_that_find_its_nodes_locked(pair: Archive) -> None:
    back(pair)
    run = pair.insert(
        "sync_run",
        host="here",
        nodes="field v1",
        started="2026-01-02 00:00:00",
        pid=815,
        done=0,
        failed=0,
        bytes=0,
    )
    locks = held(pair, "2026-01-01 00:00:00", run)
    first = pair.sync()
    assert first.status == 75
    assert first.err.startswith("note: another run has held field, v1 for "), first
    assert f"(run {run}, process 815 on host here)" in first.err
    second = pair.sync()
    assert second.status == 75 and second.silent
    assert "another run has held" in pair.run("status").out
    assert len(pair.all("SELECT * FROM sync_run")) == 2
    for lock in locks:
        lock.release()
    result = pair.sync()
    assert result.status == 0 and "note: resolved after " in result.err and "field, v1" in result.err
    pair.synced()


def test_situation_17_a_hanging_run_that_the_index_does_not_know_is_found_by_its_lock(pair: Archive) -> None:
    back(pair)
    locks = held(pair, "2026-01-01 00:00:00")
    assert "(process 4711 on host here)" in pair.sync().err
    for lock in locks:
        lock.release()


def test_a_working_run_causes_no_mail(pair: Archive) -> None:
    back(pair)
    locks = held(pair, f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M:%S}")
    result = pair.sync()
    assert result.status == 75 and result.silent
    for lock in locks:
        lock.release()


def test_a_locked_node_among_free_ones_is_also_reported(pair: Archive) -> None:
    back(pair)
    field, v1 = held(pair, "2026-01-01 00:00:00")
    field.release()
    result = pair.sync()
    assert result.status == 0 and "another run has held v1 for" in result.err
    pair.synced()
    v1.release()


def test_nodes_whose_names_differ_in_a_number_are_reported_one_by_one(sqlite_archive: Archive) -> None:
    archive = sqlite_archive
    archive.node("source")
    for node in ("v1", "v2"):
        archive.node(node)
        archive.request(archive.file(f"acq/{node}", b"content", "source"), "source", node)
    archive.configure(sync={"remind_after": "1d"})
    archive.do("UPDATE storagenode SET min_avail_gb = 1e9 WHERE name = 'v1'")
    assert "no room on v1" in archive.sync().err
    archive.synced()
    archive.request(archive.file("acq/more", b"content", "source"), "source", "v2")
    archive.do("UPDATE storagenode SET min_avail_gb = 1e9 WHERE name = 'v2'")
    result = archive.sync()
    assert "no room on v2" in result.err and "no room on v1" not in result.err, result
    archive.synced()
    assert [row[0] for row in archive.all("SELECT subject FROM sync_condition ORDER BY id")] == ["v1", "v2"]
    archive.do("UPDATE storagenode SET min_avail_gb = 0 WHERE name = 'v1'")
    result = archive.sync()
    assert result.err.startswith("note: resolved after ") and "no room on v1" in result.err, result
