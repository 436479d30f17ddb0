from __future__ import annotations

import os
from pathlib import Path

import pytest

from alpenhorn.errors import StorageError
from alpenhorn.model.tape import Location, TapeAction, TapeFile, TapeJob, TapeResult
from alpenhorn.workers.tape import tape
from tests.fixtures.lfs_program import DIRTY, ON_TAPE, RELEASED
from tests.io.nodes import Report
from tests.io.test_lustre_hsm import Tape, unmount

OFF_DISK = ON_TAPE | RELEASED


@pytest.fixture
def hsm(tmp_path: Path) -> Tape:
    return Tape(tmp_path)


class Stopping(Report):
    """Requests a stop once this many files were reported."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.after = after

    def stopping(self) -> bool:
        return self.files >= self.after


def done(hsm: Tape, verb: TapeAction, *paths: str, report: Report | None = None) -> tuple[TapeResult, ...]:
    files = tuple(TapeFile(number, number, path, 4096, False) for number, path in enumerate(paths))
    return tape(TapeJob(hsm.node.node, verb, files), hsm.node, report or Report())


def told(results: tuple[TapeResult, ...]) -> list[tuple[str, Location | None, str]]:
    return [(result.file.path, result.where, result.error) for result in results]


def everything(hsm: Tape) -> list[str]:
    """Create one file of each kind."""
    paths = [
        hsm.put("acq/new"),
        hsm.put("acq/both", ON_TAPE),
        hsm.put("acq/tape", OFF_DISK),
        hsm.put("acq/coming", OFF_DISK),
        hsm.put("acq/dirty", ON_TAPE | DIRTY),
    ]
    hsm.node.restore(["acq/coming"])
    hsm.lfs.forget()
    return [*paths, "acq/none"]


def test_looking_changes_nothing(hsm: Tape) -> None:
    results = done(hsm, TapeAction.LOOK, *everything(hsm))
    assert told(results) == [
        ("acq/new", Location.DISK, ""),
        ("acq/both", Location.BOTH, ""),
        ("acq/tape", Location.TAPE, ""),
        ("acq/coming", Location.COMING, ""),
        ("acq/dirty", Location.BOTH, ""),
        ("acq/none", Location.GONE, ""),
    ]
    assert hsm.lfs.asked("hsm_restore", "hsm_release") == []


def test_files_on_tape_only_are_restored_and_the_rest_is_reported(hsm: Tape) -> None:
    results = done(hsm, TapeAction.RESTORE, *everything(hsm))
    assert [result.where for result in results] == [
        Location.DISK,
        Location.BOTH,
        Location.COMING,
        Location.COMING,
        Location.BOTH,
        Location.GONE,
    ]
    assert not any(result.error for result in results)
    assert [call.paths for call in hsm.lfs.asked("hsm_restore")] == [(hsm.at("acq/tape"),)]
    assert hsm.lfs.state(hsm.at("acq/tape")) == "coming"


def test_files_on_disk_and_tape_leave_the_disk_and_the_rest_is_reported(hsm: Tape) -> None:
    results = done(hsm, TapeAction.LEAVE, *everything(hsm))
    assert [result.where for result in results] == [
        Location.DISK,
        Location.TAPE,
        Location.TAPE,
        Location.COMING,
        Location.BOTH,
        Location.GONE,
    ]
    assert not any(result.error for result in results)
    assert [call.paths for call in hsm.lfs.asked("hsm_release")] == [(hsm.at("acq/both"),)]


def test_refused_files_are_reported_with_their_location(hsm: Tape) -> None:
    (
        hsm.put("acq/a", OFF_DISK),
        hsm.put("acq/b", OFF_DISK),
        hsm.put("acq/c", ON_TAPE),
        hsm.put("acq/d", ON_TAPE),
    )
    hsm.lfs.refuse(hsm.at("acq/a"), "Permission denied", "hsm_restore")
    hsm.lfs.refuse(hsm.at("acq/c"), "Device or resource busy", "hsm_release")
    first, second = done(hsm, TapeAction.RESTORE, "acq/a", "acq/b")
    assert (first.where, second) == (Location.TAPE, TapeResult(second.file, Location.COMING))
    assert "Permission denied" in first.error
    first, second = done(hsm, TapeAction.LEAVE, "acq/c", "acq/d")
    assert (first.where, second) == (Location.BOTH, TapeResult(second.file, Location.TAPE))
    assert "busy" in first.error


@pytest.mark.parametrize("verb", TapeAction)
def test_files_of_unknown_location_are_left_alone_with_the_reason(hsm: Tape, verb: TapeAction) -> None:
    hsm.put("acq/a", OFF_DISK), hsm.put("acq/b", ON_TAPE)
    for path in ("acq/a", "acq/b"):
        hsm.lfs.refuse(hsm.at(path), "Permission denied", "hsm_state")
    results = done(hsm, verb, "acq/a", "acq/b")
    assert told(results) == [(path, None, "Permission denied") for path in ("acq/a", "acq/b")]
    assert hsm.lfs.asked("hsm_restore", "hsm_release") == []


def test_a_run_that_stops_keeps_what_is_done(hsm: Tape) -> None:
    paths = hsm.many(250, OFF_DISK)
    report = Stopping(200)
    results = done(hsm, TapeAction.RESTORE, *paths, report=report)
    assert [result.file.path for result in results] == paths[:200]
    assert report.files == 200
    assert hsm.calls("hsm_restore") == [100, 100]
    assert done(hsm, TapeAction.RESTORE, *paths, report=Stopping(0)) == ()


def test_an_unmounted_lustre_has_lost_no_files(hsm: Tape) -> None:
    paths = hsm.many(3)
    unmount(hsm)
    with pytest.raises(StorageError, match="is Lustre mounted"):
        done(hsm, TapeAction.LOOK, *paths)


def test_a_lustre_unmounted_meanwhile_has_lost_no_files(hsm: Tape) -> None:
    """The first batch is looked at while the file system is mounted."""
    paths = hsm.many(150)

    class Unmounting(Report):
        def begin(self, path: str) -> None:
            pass

        def fail(self) -> None:
            pass

        def progress(self, files: int, bytes: int) -> None:
            unmount(hsm)

    with pytest.raises(StorageError, match="is Lustre mounted"):
        done(hsm, TapeAction.LOOK, *paths, report=Unmounting())


def test_whether_lustre_is_there_is_asked_again_only_when_a_file_is_gone(hsm: Tape) -> None:
    paths = hsm.many(150)
    done(hsm, TapeAction.LOOK, *paths)
    assert len(hsm.lfs.asked("quota")) == 1
    os.unlink(hsm.at(paths[0]))
    done(hsm, TapeAction.LOOK, *paths)
    assert len(hsm.lfs.asked("quota")) == 3


@pytest.mark.parametrize(
    ("verb", "asked"),
    [(TapeAction.LOOK, "hsm_state"), (TapeAction.RESTORE, "hsm_restore"), (TapeAction.LEAVE, "hsm_release")],
)
def test_an_lfs_that_hangs_or_gives_invalid_output_ends_the_job(
    hsm: Tape, verb: TapeAction, asked: str
) -> None:
    hsm.set(lfs_timeout=1)
    path = hsm.put("acq/a", ON_TAPE if verb is TapeAction.LEAVE else OFF_DISK)
    hsm.lfs.hang(asked)
    with pytest.raises(StorageError, match="did not end within 1 s"):
        done(hsm, verb, path)
    hsm.lfs.answer("hsm_state", "rubbish\n")
    with pytest.raises(StorageError, match="unexpected output of lfs: 'rubbish'"):
        done(hsm, verb, path)
