"""Runs on a node with tape; `lfs` is a substitute that keeps the state of its files in a directory."""

import datetime
import json

import pytest

from alpenhorn.model.nodes import MANIFEST
from tests.fixtures.archive import wait_for
from tests.fixtures.lfs_program import DIRTY, LOST, ON_TAPE, RELEASED
from tests.fixtures.tape import Tape

pytestmark = pytest.mark.one_engine

KIB = 1024


@pytest.fixture
def tape(archive):
    return Tape(archive)


@pytest.fixture
def sqlite_tape(sqlite_archive):
    return Tape(sqlite_archive)


def test_a_file_on_tape_is_restored_and_pulled_by_a_later_run(tape):
    archive = tape.archive
    file_id = tape.file("acq/f", b"content")
    request = archive.request(file_id, "tape", "disk")
    archive.synced()
    assert tape.lfs.state(tape.path("acq/f")) == "coming"
    assert archive.state(request) == "pending" and not tape.ready(file_id)
    archive.synced()
    assert archive.state(request) == "pending" and len(tape.lfs.asked("hsm_restore")) == 1
    tape.lfs.finish()
    archive.synced()
    assert archive.state(request) == "done" and archive.tree("disk") == {"acq/f": b"content"}
    assert tape.ready(file_id) and tape.waiting() == []
    assert archive.attempt(request) is None and archive.violations() == []


def test_the_node_gets_no_manifest_which_could_be_moved_to_tape(sqlite_tape):
    archive = sqlite_tape.archive
    archive.request(sqlite_tape.file("acq/f", b"content"), "tape", "disk")
    archive.synced()
    sqlite_tape.lfs.finish()
    archive.synced()
    assert (archive.root("disk") / MANIFEST).exists()
    assert not (archive.root("tape") / MANIFEST).exists()


def test_files_are_restored_in_one_batch_in_the_order_of_their_requests(tape):
    a, b, c, d = tape.files(4)
    for file_id in (c, a, d, b):
        tape.archive.request(file_id, "tape", "disk")
    tape.archive.synced()
    assert tape.asked_back() == [["002", "000", "003", "001"]]


def test_no_more_than_restore_limit_restores_are_in_progress(tape):
    tape.set(restore_limit=2)
    tape.archive.requests(tape.files(5), "tape", "disk")
    for run in range(3):
        tape.archive.synced()
        assert len(tape.lfs.coming()) == 2, run
    came = tape.lfs.finish(tape.path("acq/000"))
    tape.archive.synced()
    assert len(came) == 1 and len(tape.lfs.coming()) == 2
    while tape.lfs.finish():
        tape.archive.synced()
        assert len(tape.lfs.coming()) <= 2
    tape.archive.synced()
    assert tape.archive.pending() == 0
    assert [name for call in tape.asked_back() for name in call] == ["000", "001", "002", "003", "004"]


def test_no_run_reads_a_file_that_is_on_tape_whatever_the_index_says(tape):
    """On Lustre, reading would wait for the tape; here it would give a wrong sum."""
    archive = tape.archive
    file_id = tape.file("acq/f", b"content")
    tape.mark_ready(file_id, 1)
    tape.set(release_check_count=0)
    request = archive.request(file_id, "tape", "disk")
    doubtful = tape.file("acq/doubtful", b"doubtful", "MY")
    tape.mark_ready(doubtful, 1)
    archive.synced()
    assert archive.copy(file_id, "tape") == "YY" and archive.copy(doubtful, "tape") == "MY"
    assert archive.state(request) == "pending" and archive.attempt(request) is None
    assert not tape.ready(file_id)
    assert len(tape.lfs.coming()) == 2
    tape.lfs.finish()
    archive.synced()
    assert archive.state(request) == "done" and archive.copy(doubtful, "tape") == "YY"


def test_a_suspect_copy_on_tape_is_restored_checked_and_released_to_tape(tape):
    archive = tape.archive
    good, bad = tape.file("acq/good", b"good", "MY"), tape.file("acq/bad", b"bad", "MY")
    archive.do("UPDATE archivefile SET md5sum = ? WHERE name = 'bad'", "0" * 32)
    archive.synced()
    assert len(tape.lfs.coming()) == 2
    tape.lfs.finish()
    result = archive.sync()
    assert result.status == 1 and "corrupt on tape" in result.err and "acq/bad" in result.err
    assert archive.copy(good, "tape") == "YY" and archive.copy(bad, "tape") == "XY"
    assert tape.lfs.state(tape.path("acq/good")) == "released"
    assert not tape.ready(good) and tape.waiting() == []
    archive.synced()
    assert len(tape.lfs.asked("hsm_restore")) == 1


def test_a_copy_restored_for_a_check_stays_if_it_is_requested_meanwhile(tape):
    archive = tape.archive
    file_id = tape.file("acq/f", b"content", "MY")
    archive.synced()
    tape.lfs.finish()
    archive.synced("--only", "tape")
    assert not tape.ready(file_id) and tape.waiting() == [("back",)]
    request = archive.request(file_id, "tape", "disk")
    archive.synced()
    assert archive.copy(file_id, "tape") == "YY" and archive.state(request) == "done"
    assert tape.ready(file_id) and tape.lfs.state(tape.path("acq/f")) == "archived"


def test_good_copies_on_tape_are_verified_a_few_at_a_time_up_to_the_limit(tape):
    archive = tape.archive
    files = tape.files(6)
    tape.set(restore_limit=2, release_check_count=0)
    archive.do("UPDATE storagenode SET auto_verify = 4 WHERE name = 'tape'")
    for _ in range(8):
        archive.synced()
        assert len(tape.lfs.coming()) <= 2
        tape.lfs.finish()
    archive.synced()
    verified = archive.all("SELECT file_id FROM sync_verification ORDER BY file_id")
    assert [row[0] for row in verified] == files
    assert {archive.copy(file_id, "tape") for file_id in files} == {"YY"}
    assert not any(tape.ready(file_id) for file_id in files)


def test_requested_files_are_restored_before_those_to_be_checked(tape):
    tape.set(restore_limit=1)
    tape.file("acq/doubtful", None, "MY")
    wanted = tape.file("acq/wanted")
    tape.archive.request(wanted, "tape", "disk")
    tape.archive.synced()
    assert tape.asked_back() == [["wanted"]]


def test_copies_used_longest_ago_leave_the_disk_until_the_headroom_is_free(tape):
    archive = tape.archive
    files = [archive.file(f"acq/{number}", bytes([number]) * 100 * KIB, "tape") for number in range(6)]
    for number, file_id in enumerate(files):
        tape.lfs.archived(tape.path(f"acq/{number}"))
        archive.do(
            "UPDATE archivefilecopy SET last_update = ? WHERE file_id = ?", f"2026-01-0{6 - number}", file_id
        )
    pending = archive.request(files[4], "tape", "nowhere") if archive.group("nowhere") else 0
    tape.set(headroom=300)
    tape.lfs.quota(used=10**6 - 100, limit=10**6)
    archive.synced()
    assert [tape.ready(file_id) for file_id in files] == [True, True, True, False, True, False]
    assert tape.lfs.state(tape.path("acq/5")) == "released"
    assert {archive.copy(file_id, "tape") for file_id in files} == {"YY"}
    assert archive.state(pending) == "pending"


def test_files_not_yet_on_tape_stay_and_the_next_ones_are_released(tape):
    archive = tape.archive
    files = [archive.file(f"acq/{number}", bytes(100 * KIB), "tape") for number in range(4)]
    tape.lfs.mark(ON_TAPE | DIRTY, tape.path("acq/1"))
    for number in (2, 3):
        tape.lfs.archived(tape.path(f"acq/{number}"))
    tape.set(headroom=100)
    tape.lfs.quota(used=10**6, limit=10**6)
    archive.synced()
    assert [tape.ready(file_id) for file_id in files] == [True, True, False, True]
    assert tape.lfs.state(tape.path("acq/0")) == "new"


def test_headroom_that_cannot_be_reached_is_reported(sqlite_tape):
    tape, archive = sqlite_tape, sqlite_tape.archive
    file_id = archive.file("acq/new", bytes(100 * KIB), "tape")
    tape.set(headroom=10**5)
    tape.lfs.quota(used=10**6, limit=10**6)
    result = archive.sync()
    assert result.status == 0 and "node tape has less free space than its headroom" in result.err
    assert tape.ready(file_id)


def test_files_without_room_on_disk_are_not_restored_and_reported(sqlite_tape):
    tape, archive = sqlite_tape, sqlite_tape.archive
    big = tape.file("acq/big", bytes(200 * KIB))
    small = tape.file("acq/small", b"small")
    archive.requests([big, small], "tape", "disk")
    tape.lfs.quota(used=0, limit=100)
    result = archive.sync()
    assert result.status == 0 and "too little room on its disk" in result.err and "acq/big" in result.err
    assert tape.asked_back() == [["small"]]


def test_ready_is_corrected_a_few_copies_in_each_run(tape):
    archive = tape.archive
    files = tape.files(4)
    for file_id in files[:2]:
        tape.mark_ready(file_id, 1)
    tape.lfs.archived(tape.path("acq/003"))
    tape.set(release_check_count=2)
    archive.synced()
    assert [tape.ready(file_id) for file_id in files] == [False, False, False, False]
    archive.synced()
    assert [tape.ready(file_id) for file_id in files] == [False, False, False, True]
    tape.lfs.released(tape.path("acq/003"))
    archive.synced()
    assert tape.ready(files[3])
    archive.synced()
    assert not tape.ready(files[3])


def test_only_a_check_records_a_file_as_missing(tape):
    archive = tape.archive
    gone, kept = tape.files(2)
    (archive.root("tape") / "acq/000").unlink()
    result = archive.sync()
    assert result.status == 1 and "missing on tape" in result.err
    assert archive.copy(gone, "tape") == "NY" and archive.copy(kept, "tape") == "YY"
    assert tape.waiting() == []


def test_a_run_ends_also_where_a_file_is_gone_and_its_check_waits(sqlite_tape):
    tape, archive = sqlite_tape, sqlite_tape.archive
    file_id = tape.file("acq/f", b"content", "MY")
    archive.synced()
    tape.lfs.finish()
    archive.synced("--only", "tape")
    assert tape.waiting() == [("back",)]
    (archive.root("tape") / "acq/f").unlink()
    archive.request(file_id, "tape", "disk")
    copy_id = archive.one("SELECT id FROM archivefilecopy WHERE file_id = ?", file_id)
    archive.insert(
        "sync_attempt",
        kind="check",
        subject_id=copy_id,
        count=1,
        last="2026-01-01",
        next=(datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=12)).strftime(
            "%Y-%m-%d %H:%M:%S"
        ),
        blame="unknown",
        error="I/O error",
    )
    result = archive.start("sync").result(60)
    assert result.status == 0 and "neither on disk nor on tape" in result.err
    assert archive.copy(file_id, "tape") == "MY"


def test_a_lustre_that_is_not_mounted_is_not_a_node_whose_files_are_lost(tape):
    """There is no marker to check, but without Lustre the quota cannot be read."""
    archive = tape.archive
    files = tape.files(3)
    archive.requests(files[:1], "tape", "disk")
    tape.lfs.mount(archive.root("tape"))
    archive.synced()
    archive.root("tape").rename(archive.base / "elsewhere")
    archive.root("tape").mkdir()
    result = archive.sync()
    assert "node tape is left out" in result.err
    assert {archive.copy(file_id, "tape") for file_id in files} == {"YY"}
    assert list(archive.root("tape").iterdir()) == []


def test_a_failed_restore_is_reported_and_retried_later(tape):
    archive = tape.archive
    file_id = tape.file("acq/f")
    request = archive.request(file_id, "tape", "disk")
    archive.synced()
    tape.lfs.drop(tape.path("acq/f"))
    archive.sync()
    assert archive.all("SELECT state, tries FROM sync_restore") == [("failed", 1)]
    assert "did not complete" in archive.one("SELECT error FROM sync_restore")
    assert len(tape.asked_back()) == 1
    shown = archive.run("request", "show", str(request)).out
    assert "restore from tape failed" in shown and "did not complete" in shown
    archive.do("UPDATE sync_restore SET next = '2026-01-01'")
    archive.synced()
    assert len(tape.asked_back()) == 2 and tape.waiting() == [("asked",)]


def test_a_refused_restore_does_not_delay_others_or_use_the_limit(tape):
    archive = tape.archive
    tape.set(restore_limit=1)
    refused, other = tape.files(2)
    archive.requests([refused, other], "tape", "disk")
    tape.lfs.refuse(tape.path("acq/000"), "Permission denied", "hsm_restore")
    result = archive.sync()
    assert result.status == 1 and "Permission denied" in result.err and "acq/000" in result.err
    archive.synced()
    assert tape.lfs.coming() == [tape.path("acq/001")]


def test_a_file_lost_from_tape_is_reported_and_not_restored(sqlite_tape):
    tape, archive = sqlite_tape, sqlite_tape.archive
    file_id = tape.file("acq/f")
    tape.lfs.mark(ON_TAPE | RELEASED | LOST, tape.path("acq/f"))
    archive.request(file_id, "tape", "disk")
    result = archive.sync()
    assert result.status == 1 and "lost" in result.err and "acq/f" in result.err
    assert tape.lfs.coming() == []


@pytest.mark.parametrize("trouble", ["garbage", "fails", "hangs"])
def test_a_failing_lfs_changes_nothing_in_the_index_and_other_nodes_work(tape, trouble):
    archive = tape.archive
    file_id = tape.file("acq/f", b"content")
    ready = archive.file("acq/ready", b"ready", "tape")
    tape.lfs.archived(tape.path("acq/ready"))
    archive.requests([file_id, ready], "tape", "disk")
    other = archive.file("acq/other", b"other", "disk")
    archive.node("safe", archive=1)
    request = archive.request(other, "disk", "safe")
    if trouble == "hangs":
        tape.set(lfs_timeout=1)
        tape.lfs.hang("hsm_state")
    elif trouble == "fails":
        tape.lfs.fail("hsm_state", "hsm is not running")
    else:
        tape.lfs.answer("hsm_state", "what?\n")
    result = archive.sync()
    assert result.status == 1 and ("lfs" in result.err or "hsm" in result.err)
    assert archive.copy(file_id, "tape") == archive.copy(ready, "tape") == "YY"
    assert tape.ready(ready) and not tape.ready(file_id)
    assert archive.state(request) == "done" and archive.claims() == 0
    tape.lfs.mend()
    archive.do("UPDATE sync_attempt SET next = '2026-01-01'")
    archive.do("UPDATE sync_restore SET next = '2026-01-01'")
    archive.synced()
    tape.lfs.finish()
    archive.synced()
    assert archive.pending() == 0


def test_a_run_killed_while_it_restores_requests_nothing_twice(tape):
    archive = tape.archive
    tape.archive.requests(tape.files(3), "tape", "disk")
    tape.lfs.hang("hsm_restore")
    running = archive.start("sync")
    wait_for(lambda: tape.lfs.asked("hsm_restore"), "lfs is asked")
    running.kill()
    running.wait_until_nothing_is_left()
    tape.lfs.mend()
    archive.synced()
    assert len(tape.lfs.coming()) == 3 and tape.waiting() == [("asked",)] * 3
    tape.lfs.finish()
    archive.synced()
    assert archive.pending() == 0 and archive.violations() == []


def test_a_request_cancelled_meanwhile_leaves_nothing_behind(tape):
    archive = tape.archive
    file_id = tape.file("acq/f")
    archive.request(file_id, "tape", "disk")
    archive.synced()
    archive.do("UPDATE archivefilecopyrequest SET cancelled = 1")
    tape.lfs.finish()
    archive.synced()
    assert tape.waiting() == [] and tape.ready(file_id)


def test_the_plan_shows_restores_and_releases(sqlite_tape):
    tape, archive = sqlite_tape, sqlite_tape.archive
    coming, wanted = tape.files(2)
    archive.request(coming, "tape", "disk")
    archive.synced()
    archive.request(wanted, "tape", "disk")
    old = archive.file("acq/old", bytes(100 * KIB), "tape")
    tape.lfs.archived(tape.path("acq/old"))
    tape.set(headroom=10**6)
    tape.lfs.quota(used=10**6 - 500, limit=10**6)
    before = archive.dump()
    asked = len(tape.lfs.asked("hsm_restore", "hsm_release"))
    plan = archive.run("plan").out
    assert "being restored from tape" in plan and "restore from tape, to pull" in plan
    assert "leave on tape only, to make room on disk" in plan
    assert archive.dump() == before and len(tape.lfs.asked("hsm_restore", "hsm_release")) == asked
    assert tape.ready(old)


def test_small_files_of_the_group_go_to_disk_and_large_ones_to_tape(tape):
    archive = tape.archive
    small_root = archive.node("small", "mixed", archive=1)
    archive.do(
        "UPDATE storagegroup SET io_class = 'LustreHSM', io_config = ? WHERE name = 'mixed'",
        '{"threshold": 1000}',
    )
    archive.do(
        "UPDATE storagenode SET group_id = (SELECT id FROM storagegroup WHERE name = 'mixed') WHERE name = 'tape'"
    )
    files = [archive.file("acq/at", bytes(1000), "disk"), archive.file("acq/above", bytes(1001), "disk")]
    archive.requests(files, "disk", "mixed")
    archive.synced()
    assert set(archive.tree("small")) == {"acq/at"} and small_root.exists()
    assert set(archive.tree("tape")) == {"acq/above"}
    assert tape.ready(files[1]) and archive.violations() == []


def test_a_group_without_its_two_nodes_is_reported_and_the_rest_continues(sqlite_tape):
    archive = sqlite_tape.archive
    archive.do("UPDATE storagegroup SET io_class = 'LustreHSM' WHERE name = 'tape'")
    archive.node("safe", archive=1)
    request = archive.request(archive.file("acq/f", b"x", "disk"), "disk", "safe")
    result = archive.sync()
    assert result.status == 1 and "group tape" in result.err
    assert archive.state(request) == "done"


def test_a_released_copy_on_tape_is_deleted_without_a_restore(tape):
    archive = tape.archive
    for name in ("one", "two"):
        archive.node(name, archive=1)
    file_id = tape.file("acq/f", b"content")
    for name in ("one", "two"):
        archive.put(name, "acq/f", b"content")
        archive.set_copy(file_id, name, "YY")
    archive.set_copy(file_id, "tape", "YN")
    archive.synced()
    assert archive.copy(file_id, "tape") == "NN" and not (archive.root("tape") / "acq/f").exists()
    assert tape.lfs.asked("hsm_restore") == []


def test_wrong_settings_are_refused_when_the_node_is_edited(sqlite_tape):
    archive = sqlite_tape.archive
    for setting, value in (("headroom", "lots"), ("restore_limit", "0"), ("restore_wait", '"soon"')):
        result = archive.run("node", "modify", "tape", "--io-var", f"{setting}={value}")
        assert result.status != 0 and setting in result.err, setting
    assert json.loads(archive.one("SELECT io_config FROM storagenode WHERE name = 'tape'"))["headroom"] == 0


def test_another_host_pulls_only_ready_copies(sqlite_archive, sshd):
    archive = sqlite_archive
    archive.host("here", address=sshd.address, username=sshd.username)
    tape = Tape(archive)
    archive.node("far", host="there", archive=1)
    archive.configure("there", transfer={"ssh": sshd.ssh})
    file_id = tape.file("acq/f", b"content")
    request = archive.request(file_id, "tape", "far")
    archive.synced(host="there")
    assert archive.state(request) == "pending"
    archive.synced()
    tape.lfs.finish()
    archive.synced(host="there")
    assert archive.state(request) == "pending"
    archive.synced()
    archive.synced(host="there")
    assert archive.state(request) == "done" and archive.tree("far") == {"acq/f": b"content"}
