"""An index that is unavailable or busy during a run."""

import os

import pytest

from tests.fixtures.archive import wait_for


@pytest.fixture
def busy(mariadb_archive):
    """A run with much work, which has started."""
    archive = mariadb_archive
    archive.node("field")
    archive.node("safe", archive=1)
    archive.ids = archive.files(300, "field", 2000)
    archive.ids += [archive.file(f"big/{i}", os.urandom(2**20) * 66, "field") for i in range(5)]
    archive.requests(archive.ids, "field", "safe")
    archive.running = archive.start("sync")
    wait_for(archive.claims, "the first claim")
    return archive


def assert_all_done_once(archive, result):
    assert result.status == 0, result
    assert archive.pending() == 0 and archive.claims() == 0
    assert archive.tree("safe") == archive.tree("field")
    assert archive.violations() == []
    assert sorted(file_id for file_id, _ in archive.events("pulled")) == archive.ids
    assert len(archive.all("SELECT id FROM sync_run")) == 1


def test_a_killed_session_stops_nothing_and_nothing_is_done_twice(busy, mariadb):
    name = busy.one("SELECT DATABASE()")
    mine = busy.one("SELECT CONNECTION_ID()")
    admin = mariadb.connect()
    kills = 0
    while busy.running.process.poll() is None:
        cursor = admin.cursor()
        cursor.execute(
            "SELECT id FROM information_schema.processlist WHERE db = %s AND id <> %s", (name, mine)
        )
        for (session,) in cursor.fetchall():
            try:
                cursor.execute(f"KILL {session}")
            except Exception as error:
                assert "Unknown thread" in str(error), error
            kills += 1
        done = busy.one("SELECT COUNT(*) FROM archivefilecopyrequest WHERE completed = 1")
        wait_for(
            lambda done=done: (
                busy.running.process.poll() is not None
                or busy.one("SELECT COUNT(*) FROM archivefilecopyrequest WHERE completed = 1") > done
            ),
            "progress after a kill",
        )
    admin.close()
    assert kills >= 2
    assert_all_done_once(busy, busy.running.result())


def test_a_server_that_is_restarted_stops_nothing(busy, mariadb):
    wait_for(
        lambda: busy.one("SELECT COUNT(*) FROM archivefilecopyrequest WHERE completed = 1"), "the first files"
    )
    busy.index.disconnect()
    mariadb.stop()
    mariadb.start()
    assert_all_done_once(busy, busy.running.result())


def test_a_server_that_stays_away_ends_the_run_with_status_3_and_the_next_one_finishes(
    mariadb_archive, mariadb
):
    archive = mariadb_archive
    archive.node("field")
    archive.node("safe", archive=1)
    ids = archive.files(10, "field", 2000)
    archive.requests(ids, "field", "safe")
    archive.index.disconnect()
    mariadb.stop()
    try:
        result = archive.sync()
    finally:
        mariadb.start()
    assert result.status == 3 and "index" in result.err
    archive.synced()
    assert archive.pending() == 0 and archive.violations() == []


def test_a_writer_that_holds_the_sqlite_index_for_a_while_is_waited_for(sqlite_archive):
    archive = sqlite_archive
    archive.node("field")
    archive.node("safe", archive=1)
    archive.requests(archive.files(50, "field", 100), "field", "safe")
    archive.configure()
    with archive.index.transaction():
        archive.do("UPDATE storagehost SET notes = 'held' WHERE name = 'here'")
        run = archive.start("sync")
        wait_for(lambda: (archive.root("safe") / ".alpenhorn" / "run.lock").exists(), "the run's lock")
        assert not run.process.poll()
    assert run.result().status == 0
    assert archive.pending() == 0


def test_a_reader_does_not_stop_a_run_on_sqlite(sqlite_archive):
    archive = sqlite_archive
    archive.node("field")
    archive.node("safe", archive=1)
    archive.requests(archive.files(50, "field", 100), "field", "safe")
    cursor = archive.index.execute("SELECT id FROM archivefilecopyrequest")
    assert cursor.fetchone()
    archive.synced()
    cursor.fetchall()
    assert archive.pending() == 0


def test_runs_of_two_hosts_on_one_sqlite_file_do_not_disturb_each_other(sqlite_archive):
    archive = sqlite_archive
    archive.node("field")
    archive.node("far", host="there")
    archive.node("safe", archive=1)
    archive.node("secure", archive=1, host="there")
    archive.requests(archive.files(400, "field", 100, "left"), "field", "safe")
    archive.requests(archive.files(400, "far", 100, "right"), "far", "secure")
    runs = [archive.start("sync", host="here"), archive.start("sync", host="there")]
    results = [run.result() for run in runs]
    assert [result.status for result in results] == [0, 0], results
    assert all(result.silent for result in results)
    assert archive.pending() == 0 and archive.violations() == []


def test_edits_by_another_program_during_a_run_are_kept(mariadb_archive):
    archive = mariadb_archive
    archive.node("field")
    archive.node("safe", archive=1)
    ids = [archive.file(f"big/{i}", os.urandom(2**20) * 66, "field") for i in range(6)]
    archive.requests(ids, "field", "safe")
    run = archive.start("sync", "--jobs", "1")
    wait_for(archive.claims, "the first claim")
    archive.do("UPDATE storagenode SET notes = 'edited', min_avail_gb = 0.001 WHERE name = 'safe'")
    archive.do(
        "UPDATE archivefilecopy SET wants_file = 'M' WHERE node_id = ?", archive.id("storagenode", "field")
    )
    assert run.result().status == 0
    assert archive.one("SELECT notes FROM storagenode WHERE name = 'safe'") == "edited"
    assert {archive.copy(file_id, "field") for file_id in ids} == {"YM"}
