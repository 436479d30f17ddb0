"""The status of a verified file: what changes it, and when it proves nothing."""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from alpenhorn.fs.placing import StatusAround
from alpenhorn.fs.verified_status import LEAST_B, StatusTaker
from tests.fixtures.filesystems import mounted

SIZE = LEAST_B
OLD = 1_600_000_000 * 10**9  # nanoseconds
LATER = 60.0  # seconds; for a job that begins long after the files were made


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An ext4 file system of 16 MiB."""
    base = tmp_path_factory.mktemp("disk")
    with mounted("ext4", base, base / "mounted") as at:
        yield at


@pytest.fixture
def file(disk: Path) -> Iterator[Path]:
    """A file on `disk` that was written long ago."""
    path = disk / "f"
    make(path)
    yield path
    path.unlink()


def make(path: Path, size: int = SIZE) -> None:
    path.write_bytes(b"x" * size)
    os.utime(path, ns=(OLD, OLD))


def status(path: Path, began: float | None = None) -> str:
    taker = StatusTaker(time.time() + LATER if began is None else began)
    fd = os.open(path, os.O_RDONLY)
    try:
        return taker.before_reading(fd, os.fstat(fd).st_size)
    finally:
        os.close(fd)


def await_tick(directory: Path) -> None:
    """Wait until the file system gives another time to what happens now than to what happened before."""
    scratch = directory / "scratch"
    scratch.touch()
    first = scratch.stat().st_ctime_ns
    while scratch.stat().st_ctime_ns == first:
        os.utime(scratch)
    scratch.unlink()


def overwrite(path: Path) -> None:
    """Write the same number of other bytes, and set the modification time back."""
    with path.open("r+b") as file:
        file.write(b"y")
    os.utime(path, ns=(OLD, OLD))


def replace(path: Path) -> None:
    """Put a file with the same bytes and modification time in its place."""
    make(path.with_name("new"))
    path.with_name("new").rename(path)


def link(path: Path) -> None:
    path.with_name("second").hardlink_to(path)
    path.with_name("second").unlink()


def truncate(path: Path) -> None:
    os.truncate(path, SIZE + 1)
    os.truncate(path, SIZE)
    os.utime(path, ns=(OLD, OLD))


@pytest.mark.parametrize("change", [overwrite, replace, link, truncate], ids=lambda change: change.__name__)
def test_a_file_keeps_its_status_until_it_changes(file: Path, change: Callable[[Path], None]) -> None:
    first = status(file)
    file.read_bytes()
    assert first and status(file) == first
    await_tick(file.parent)
    change(file)
    assert status(file) not in ("", first)


def test_pages_that_a_program_has_mapped_are_flushed_first(file: Path) -> None:
    """Otherwise the program could change them again, and the times would stay."""
    with file.open("r+b") as opened, mmap.mmap(opened.fileno(), 0) as mapped:
        mapped[0] = 1
        first = status(file)
        assert first
        await_tick(file.parent)
        mapped[0] = 2
        assert status(file) != first


def test_a_file_that_changed_just_before_it_was_read_has_none(file: Path) -> None:
    """Another change within the same tick of the clock would leave its times as they are."""
    changed = file.stat().st_ctime
    assert status(file, changed + 1.9) == ""
    assert status(file, changed - 3600) == ""  # the clock was set back
    assert status(file, changed + 2.1) != ""


def test_a_short_file_has_none(disk: Path) -> None:
    make(disk / "short", LEAST_B - 1)
    assert status(disk / "short") == ""


def test_files_with_whole_seconds_have_none(tmp_path: Path) -> None:
    """All changes within a second have the same time."""
    with mounted("ext4", tmp_path, tmp_path / "mounted", 0, "-I", "128") as at:
        make(at / "f")
        assert at.joinpath("f").stat().st_ctime_ns % 10**9 == 0
        assert status(at / "f") == ""


def test_other_file_systems_have_none(tmp_path: Path) -> None:
    """On a memory file system, a program that has mapped a file changes it without its times."""
    with mounted("tmpfs", tmp_path, tmp_path / "mounted") as at:
        path = at / "f"
        make(path)
        with path.open("r+b") as opened, mmap.mmap(opened.fileno(), 0) as mapped:
            mapped[0] = 1
            os.fdatasync(opened.fileno())
            before = path.stat()
            await_tick(at)
            mapped[0] = 2
            mapped.flush()
        assert path.stat().st_ctime_ns == before.st_ctime_ns  # the reason
        assert status(path) == ""


def linked(path: Path, *, between: Callable[[], object] = lambda: None, began: float | None = None) -> str:
    """Link a file, and return its new status."""
    known = status(path)
    assert known
    taker = StatusTaker(time.time() + LATER if began is None else began)
    before = path.stat()
    between()
    path.with_name("second").hardlink_to(path)
    after = path.stat()
    path.with_name("second").unlink()
    return taker.after_link(known, around(before, after))


def around(before: os.stat_result, after: os.stat_result) -> StatusAround:
    statuses = StatusAround()
    statuses.begin(before)
    statuses.after = after
    return statuses


def test_a_link_gives_a_new_status(file: Path) -> None:
    await_tick(file.parent)
    after = linked(file)
    fields = after.split()
    assert fields[1:4] == [str(file.stat().st_ino), str(SIZE), str(OLD)]


def test_a_change_while_a_file_is_linked_leaves_no_status(file: Path) -> None:
    def write() -> None:
        with file.open("r+b") as opened:
            opened.write(b"y")

    assert linked(file, between=write) == ""
    # Later, a write in the tick of the link would leave all times as they are.
    assert linked(file) != ""
    assert linked(file, began=file.stat().st_mtime + 1.9) == ""


def test_the_file_that_is_linked_must_be_the_verified_one(file: Path) -> None:
    known = status(file)
    await_tick(file.parent)
    overwrite(file)
    now = file.stat()
    taker = StatusTaker(time.time() + LATER)
    assert taker.after_link(known, around(now, now)) == "" and taker.after_link("", around(now, now)) == ""
    assert taker.after_link(taker.text(now), around(now, now)) == taker.text(now)
    assert taker.after_link(taker.text(now), StatusAround()) == ""  # it was not linked


def test_a_file_that_was_placed_has_a_status(file: Path, tmp_path: Path) -> None:
    taker = StatusTaker(time.time() + LATER)
    stage = os.open(file.parent, os.O_RDONLY)
    try:
        before = file.stat()
        file.rename(file.with_name("placed"))
        placed = file.with_name("placed").stat()
        assert taker.after_placing(stage, around(before, placed)) == taker.text(placed)
        os.truncate(file.with_name("placed"), LEAST_B - 1)
        short = file.with_name("placed").stat()
        assert taker.after_placing(stage, around(short, short)) == ""
    finally:
        file.with_name("placed").rename(file)
        os.close(stage)
    with mounted("tmpfs", tmp_path, tmp_path / "mounted") as at:
        make(at / "f")
        stage = os.open(at, os.O_RDONLY)
        there = at.joinpath("f").stat()
        assert taker.after_placing(stage, around(there, there)) == ""
        os.close(stage)
