"""The example of a storage class with tape: files are collected, put on tape in batches, verified and removed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.fixtures.archive import Archive, Running, wait_for
from tests.fixtures.hpss import TapeArchive

pytestmark = [pytest.mark.one_engine, pytest.mark.ci]


@pytest.fixture
def tape(archive: Archive, hpss_package: Path) -> TapeArchive:
    return TapeArchive(archive, hpss_package)


def test_a_batch_is_begun_when_it_is_full_or_its_oldest_file_has_waited(tape: TapeArchive) -> None:
    tape.set(batch_files=2, batch_wait=3600)
    ids = [tape.file(f"acq/{name}") for name in "abc"]
    tape.synced()
    assert [tape.state(file_id) for file_id in ids] == ["asked", "asked", "collecting"]
    shown = tape.archive.run("plan", "--only", "tape", "--format", "json", **tape.options)
    assert "collected for a batch (1 of 2 files" in shown.out and "being put on tape" in shown.out
    status = tape.archive.run("status", **tape.options)
    assert re.search(r"Not on tape yet:\n  tape: 3 files \(15 B\), 2 in batches, the first since", status.out)
    file = tape.archive.run("file", "show", "acq/c", **tape.options)
    assert re.search(r"Tape of tape: +not yet; collected for a batch since", file.out)
    tape.archive.do("UPDATE sync_tape SET since = '2026-01-01' WHERE state = 'collecting'")
    tape.synced()
    assert tape.state(ids[2]) == "asked" and len(tape.hpss.jobs()) == 2


def test_a_copy_that_is_not_on_tape_allows_no_deletion(tape: TapeArchive) -> None:
    file_id = tape.file("acq/a")
    tape.archive.node("vault", archive=1)
    tape.copy("acq/a", "vault", "YY")
    tape.copy("acq/a", "disk", "YN")
    tape.sync()
    assert tape.state(file_id) == "asked" and tape.archive.copy(file_id, "disk") == "YN"
    shown = tape.archive.run("plan", "--only", "delete", **tape.options)
    assert "tape: not on tape yet" in shown.out
    tape.hpss.run_jobs()
    tape.synced()
    assert tape.state(file_id) == "on tape" and tape.archive.copy(file_id, "disk") == "NN"


def test_a_host_without_the_package_relies_on_copies_on_tape_only(tape: TapeArchive) -> None:
    (file_id,) = tape.put_on_tape("acq/a")
    tape.archive.node("vault", archive=1)
    tape.copy("acq/a", "vault", "YY")
    tape.archive.node("far", host="there")
    tape.copy("acq/a", "far", "YN")
    tape.archive.do("UPDATE sync_tape SET state = 'collecting'")
    tape.archive.sync(host="there")
    assert tape.archive.copy(file_id, "far") == "YN"
    tape.archive.do("UPDATE sync_tape SET state = 'on tape'")
    tape.archive.sync(host="there")
    assert tape.archive.copy(file_id, "far") == "NN"


def test_a_file_that_left_the_disk_is_restored_for_a_request(tape: TapeArchive) -> None:
    a, b = tape.put_on_tape("acq/a", "acq/b")
    tape.leave_disk()
    assert tape.bytes_on_disk("acq/a") == bytes(5) and tape.bytes_on_disk("acq/b") == bytes(5)
    request = tape.archive.request(a, "tape", "disk")
    tape.synced()
    assert len(tape.hpss.jobs()) == 1 and tape.archive.state(request) == "pending"
    tape.synced()
    assert len(tape.hpss.jobs()) == 1
    assert tape.hpss.run_jobs() == 1
    tape.synced()
    assert tape.archive.state(request) == "done" and tape.archive.tree("disk") == {"acq/a": b"acq/a"}
    assert tape.bytes_on_disk("acq/b") == bytes(5) and tape.state(b) == "on tape"


def test_a_deletion_removes_a_copy_that_is_on_tape_only_from_tape(tape: TapeArchive) -> None:
    a, b = tape.put_on_tape("acq/a", "acq/b")
    tape.leave_disk()
    safe(tape, "acq/a", "acq/b")
    tape.archive.set_copy(a, "tape", "YN")
    tape.synced()
    assert tape.archive.copy(a, "tape") == "NN" and tape.state(a) is None
    assert len(tape.hpss.archives()) == 1  # the other file of the batch still needs it
    tape.archive.set_copy(b, "tape", "YN")
    tape.synced()
    assert tape.archive.copy(b, "tape") == "NN" and tape.hpss.archives() == []


def safe(tape: TapeArchive, *paths: str) -> None:
    """Give files enough good copies elsewhere."""
    for name in ("v1", "v2"):
        tape.archive.node(name, archive=1)
        for path in paths:
            tape.copy(path, name, "YY")


def test_a_deletion_that_tape_refuses_is_not_recorded(tape: TapeArchive) -> None:
    (file_id,) = tape.put_on_tape("acq/a")
    tape.leave_disk()
    safe(tape, "acq/a")
    tape.archive.set_copy(file_id, "tape", "YN")
    tape.hpss.fault("hsi", "fail no connection")
    result = tape.sync()
    assert result.status == 1 and "not from tape yet" in result.err and "no connection" in result.err
    assert tape.archive.copy(file_id, "tape") == "MN" and len(tape.hpss.archives()) == 1
    tape.sync()  # a check must not record it as gone either
    assert tape.archive.copy(file_id, "tape") == "MN"
    tape.hpss.mend()
    tape.retry_now()
    tape.synced()
    assert tape.archive.copy(file_id, "tape") == "NN" and tape.hpss.archives() == []


def test_a_run_killed_after_it_removed_a_copy_from_tape_records_no_deletion(tape: TapeArchive) -> None:
    (file_id,) = tape.put_on_tape("acq/a")
    safe(tape, "acq/a")
    tape.archive.set_copy(file_id, "tape", "YN")
    kill_at(tape, "hsi", "hold after")
    assert tape.archive.copy(file_id, "tape") == "MN"
    tape.retry_now()
    tape.synced()
    assert tape.archive.copy(file_id, "tape") == "NN" and tape.hpss.archives() == []


def kill_at(tape: TapeArchive, program: str, when: str) -> None:
    """Kill a run while it waits for a program, before or after that does its work."""
    before = len(tape.hpss.asked(program))
    tape.hpss.fault(program, when)
    running: Running = tape.archive.start("sync", **tape.options)

    def holds() -> bool:
        return tape.hpss.holds() or running.process.poll() is not None

    wait_for(holds, f"{program} holds, or the run ends")
    assert len(tape.hpss.asked(program)) == before + 1
    running.kill()
    running.wait_until_nothing_is_left()
    tape.hpss.mend()


@pytest.mark.parametrize("when", ["hold before", "hold after"])
def test_a_run_killed_while_it_submits_begins_the_files_once(tape: TapeArchive, when: str) -> None:
    file_id = tape.file("acq/a")
    kill_at(tape, "sbatch", when)
    assert tape.state(file_id) == "asked"
    if when == "hold before":
        result = tape.sync()
        assert "the job ended without a report" in result.err and tape.state(file_id) == "collecting"
        tape.retry_now()
        tape.synced()
    tape.synced()
    assert len(tape.hpss.jobs()) == 1
    tape.hpss.run_jobs()
    tape.synced()
    assert tape.state(file_id) == "on tape" and len(tape.hpss.archives()) == 1


def test_a_run_killed_while_it_verifies_records_nothing(tape: TapeArchive) -> None:
    file_id = tape.file("acq/a")
    tape.synced()
    tape.hpss.run_jobs()
    kill_at(tape, "hsi", "hold after")
    assert tape.state(file_id) == "asked"
    tape.synced()
    assert tape.state(file_id) == "on tape" and len(tape.hpss.archives()) == 1


def test_files_arrive_and_stay_on_disk_while_the_tape_is_away(tape: TapeArchive) -> None:
    file_id = tape.archive.file("acq/a", None, "disk")
    tape.archive.request(file_id, "disk", "tape")
    tape.hpss.fault("squeue", "fail no connection")
    result = tape.sync()
    result = tape.sync()
    assert "the tape of node tape cannot be used" in result.err and "no connection" in result.err
    assert tape.archive.copy(file_id, "tape") == "YY" and tape.state(file_id) == "asked"
    tape.hpss.mend()
    assert "ended without a report" in tape.sync().err
    tape.retry_now()
    tape.synced()
    assert tape.state(file_id) == "asked" and len(tape.hpss.jobs()) == 1
