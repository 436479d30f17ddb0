"""Runs that write metrics."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from alpenhorn.errors import BUSY, UNUSABLE
from alpenhorn.fs.run_lock import RunLock
from alpenhorn.monitoring import families
from alpenhorn.monitoring.families import Values
from alpenhorn.monitoring.metrics import is_due
from tests.cli.test_metrics import textfile, without_package
from tests.fixtures.archive import Archive, wait_for

HERE = ("here",)


@pytest.fixture
def written(sqlite_archive: Archive) -> Callable[[], Values]:
    """An archive with nodes src and dst of which runs write metrics, and one file to pull; reads the metrics."""
    path = textfile(sqlite_archive)
    sqlite_archive.node("src")
    sqlite_archive.node("dst", archive=1)
    sqlite_archive.request(sqlite_archive.file("acq/one", b"12345", "src"), "src", "dst")

    def read() -> Values:
        text = path.read_text()
        done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
        assert done.returncode == 0 and not done.stdout + done.stderr, done
        return families.parse(text)

    return read


def test_runs_tell_of_their_work_and_of_their_failures(
    sqlite_archive: Archive, written: Callable[[], Values]
) -> None:
    sqlite_archive.synced()
    first = written()
    assert first[families.SUCCESS] == first[families.ATTEMPT]
    assert first[families.EXIT_STATUS] == {HERE: 0}
    assert first[families.FILES]["here", "pull", "done"] == 1 and first[families.BYTES]["here", "pull"] == 5
    assert first[families.COPIES]["dst", "healthy"] == 1 and first[families.FREE]["dst",] > 0

    wait_for(lambda: is_due(first, "here", time.time()), "the time to read the index again")
    sqlite_archive.root("dst").rename(sqlite_archive.base / "away")
    assert sqlite_archive.sync().status == 0
    second = written()
    assert second[families.SUCCESS] == first[families.SUCCESS]
    assert second[families.ATTEMPT][HERE] > first[families.ATTEMPT][HERE]
    assert second[families.EXIT_STATUS] == {HERE: 0} and second[families.LEFT_OUT] == {HERE: 1}
    assert second[families.ATTENTION]

    (sqlite_archive.base / "away").rename(sqlite_archive.root("dst"))
    sqlite_archive.request(sqlite_archive.file("acq/two", b"right", "src"), "src", "dst")
    sqlite_archive.put("src", "acq/two", b"wrong")
    assert sqlite_archive.sync().status == 1
    third = written()
    assert third[families.SUCCESS] == first[families.SUCCESS]
    assert third[families.EXIT_STATUS] == {HERE: 1} and third[families.LEFT_OUT] == {HERE: 0}
    assert third[families.FILES]["here", "pull", "failed"] == 1
    assert third[families.FILES]["here", "pull", "done"] == 1
    assert third[families.BYTES]["here", "pull"] == 5  # how much of a failed file was copied is not known


def test_a_run_that_cannot_open_the_index_tells_of_that(
    sqlite_archive: Archive, written: Callable[[], Values]
) -> None:
    sqlite_archive.synced()
    before = written()
    sqlite_archive.index.disconnect()
    Path(sqlite_archive.url.removeprefix("sqlite:///")).rename(sqlite_archive.base / "away.db")
    result = sqlite_archive.sync()
    assert result.status == UNUSABLE and "metrics" not in result.err, result
    after = written()
    assert after[families.INDEX_UP] == {HERE: 0} and after[families.EXIT_STATUS] == {HERE: UNUSABLE}
    assert after[families.ATTEMPT][HERE] > before[families.ATTEMPT][HERE]
    for kept in (families.SUCCESS, families.FILES, families.COPIES, families.READ):
        assert after[kept] == before[kept]


def test_a_run_that_finds_its_nodes_in_use_tells_of_the_attempt(
    sqlite_archive: Archive, written: Callable[[], Values]
) -> None:
    sqlite_archive.synced()
    before = written()
    locks = [RunLock(str(sqlite_archive.root(node) / ".alpenhorn" / "run.lock")) for node in ("src", "dst")]
    for lock in locks:
        assert lock.acquire()
    try:
        assert sqlite_archive.sync().status == BUSY
    finally:
        for lock in locks:
            lock.release()
    after = written()
    assert after[families.ATTEMPT][HERE] > before[families.ATTEMPT][HERE]
    for kept in (families.SUCCESS, families.EXIT_STATUS, families.SECONDS, families.FILES):
        assert after[kept] == before[kept]


@pytest.mark.parametrize("wrong", ["package", "directory"])
def test_metrics_that_cannot_be_written_are_a_note_and_change_no_result(
    sqlite_archive: Archive, written: Callable[[], Values], wrong: str
) -> None:
    environ = {}
    if wrong == "package":
        environ = without_package(sqlite_archive)
        said = "pip install 'alpenhorn[metrics]'"
    else:
        (sqlite_archive.base / "textfiles").rmdir()
        said = "metrics cannot be written"
    result = sqlite_archive.sync(environ=environ)
    assert result.status == 0 and result.out == "", result
    (line,) = result.err.splitlines()
    assert line.startswith("note: ") and said in line
    assert sqlite_archive.pending() == 0 and sqlite_archive.one("SELECT exit_status FROM sync_run") == 0


def test_a_run_imports_what_metrics_need_only_if_they_are_wanted(sqlite_archive: Archive) -> None:
    sqlite_archive.node("src")
    sqlite_archive.synced()
    sqlite_archive.program = ("-X", "importtime", "-m", "alpenhorn")

    def imported() -> set[str]:
        result = sqlite_archive.sync()
        assert result.status == 0
        return {line.rpartition("|")[2].strip() for line in result.err.splitlines()}

    mine = {"prometheus_client", "alpenhorn.monitoring.families", "alpenhorn.monitoring.attention"}
    assert not mine & imported()
    textfile(sqlite_archive)
    assert mine <= imported()
