"""The part whose ranges arrive in any order, and its map."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from alpenhorn.fs.paths import is_own
from alpenhorn.model.pulls import PullFile
from alpenhorn.transfer import range_part
from alpenhorn.transfer.byte_ranges import BLOCK, ByteRange, RangeSet
from alpenhorn.transfer.range_part import MAP, PART, RangeRecorder, give_to_rsync, open_part

SIZE_B = 10 * BLOCK + 7
DATA = os.urandom(SIZE_B)
FILE = PullFile(1, 1, "acq/f", SIZE_B, hashlib.md5(DATA).hexdigest())
WRITTEN = [[0, 2 * BLOCK], [4 * BLOCK, SIZE_B]]
KNOWN = {"size_b": SIZE_B, "md5sum": FILE.md5sum, "written": WRITTEN}


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY)
    yield fd
    os.close(fd)


def leave(directory: Path, known: object = KNOWN, part: bytes | None = DATA) -> None:
    (directory / MAP).write_text(known if isinstance(known, str) else json.dumps(known))
    if part is not None:
        (directory / PART).write_bytes(part)


def found(stage: int) -> list[list[int]]:
    fd, written = open_part(stage, FILE)
    os.close(fd)
    return [list(one) for one in written]


def test_a_part_is_continued_by_its_map(tmp_path: Path, stage: int) -> None:
    leave(tmp_path)
    assert found(stage) == WRITTEN
    assert (tmp_path / PART).read_bytes() == DATA


@pytest.mark.parametrize(
    "known",
    [
        KNOWN | {"md5sum": "0" * 32},
        KNOWN | {"size_b": SIZE_B + 1},
        KNOWN | {"written": [[5, BLOCK]]},
        KNOWN | {"written": [[0, BLOCK + 1]]},
        KNOWN | {"written": [[-BLOCK, BLOCK]]},
        KNOWN | {"written": [[BLOCK, 0]]},
        KNOWN | {"written": [[0, 10**40]]},
        KNOWN | {"written": [[0, None]]},
        KNOWN | {"written": 5},
        {},
        [],
        "",
        "{",
        "[" * 100_000,
        "\x00" * 50,
    ],
    ids=lambda known: str(known)[:20] + str(len(str(known))),
)
def test_an_invalid_map_says_nothing(tmp_path: Path, stage: int, known: object) -> None:
    leave(tmp_path, known)
    assert found(stage) == []
    assert (tmp_path / PART).read_bytes() == b"" and not (tmp_path / MAP).exists()


@pytest.mark.parametrize("part", [None, b"", DATA[:-1], DATA + b"x"])
def test_a_map_of_another_part_says_nothing(tmp_path: Path, stage: int, part: bytes | None) -> None:
    leave(tmp_path, part=part)
    assert found(stage) == []


@pytest.mark.parametrize("name", [PART, "acq/f"])
@pytest.mark.parametrize("hard", [False, True])
def test_no_link_is_written_through(tmp_path: Path, stage: int, name: str, hard: bool) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(DATA)
    (tmp_path / "acq").mkdir()
    leave(tmp_path, part=None)
    if hard:
        (tmp_path / name).hardlink_to(precious)
    else:
        (tmp_path / name).symlink_to(precious)
    assert found(stage) == []
    assert precious.read_bytes() == DATA and precious.stat().st_nlink == 1


@pytest.mark.parametrize(
    ("length", "taken"),
    [(3 * BLOCK + 5, 0), (9 * BLOCK + 5, 9 * BLOCK), (SIZE_B, SIZE_B), (SIZE_B + 1, 0), (0, 0)],
)
def test_the_longer_part_is_continued(tmp_path: Path, stage: int, length: int, taken: int) -> None:
    """One of rsync, and one with ranges of 8 blocks and 7 bytes."""
    leave(tmp_path)
    (tmp_path / "acq").mkdir()
    (tmp_path / "acq/f").write_bytes((DATA + b"x")[:length])
    assert found(stage) == ([[0, taken]] if taken else WRITTEN)
    assert not (tmp_path / "acq/f").exists()
    assert json.loads((tmp_path / MAP).read_text())["written"] == found(stage)


def test_a_new_map_is_never_beside_an_old_part(tmp_path: Path, stage: int) -> None:
    """As if the program ended before the rename: the map cannot be written."""
    leave(tmp_path)
    (tmp_path / "acq").mkdir()
    (tmp_path / "acq/f").write_bytes(DATA)
    (tmp_path / range_part._NEW_MAP).mkdir()
    with pytest.raises(OSError):
        open_part(stage, FILE)
    assert not (tmp_path / PART).exists() and (tmp_path / "acq/f").read_bytes() == DATA


@pytest.mark.parametrize("other", [None, 0, BLOCK, 3 * BLOCK])
def test_rsync_gets_what_is_before_the_first_gap(tmp_path: Path, stage: int, other: int | None) -> None:
    leave(tmp_path)
    if other is not None:
        (tmp_path / "acq").mkdir()
        (tmp_path / "acq/f").write_bytes(DATA[:other])
    give_to_rsync(stage, FILE)
    assert (tmp_path / "acq/f").read_bytes() == DATA[: max(2 * BLOCK, other or 0)]
    assert sorted(os.listdir(tmp_path)) == ["acq"]


def test_the_map_lists_what_has_arrived_even_if_an_error_ends_the_job(tmp_path: Path, stage: int) -> None:
    fd, written = open_part(stage, FILE)
    with pytest.raises(ZeroDivisionError), RangeRecorder(stage, fd, FILE, written) as recorder:
        os.pwrite(fd, DATA, 0)
        assert recorder.arrived(ByteRange(BLOCK, SIZE_B)) == 0
        assert recorder.arrived(ByteRange(0, BLOCK)) == SIZE_B
        recorder.withdraw(ByteRange(BLOCK, 2 * BLOCK))
        raise ZeroDivisionError
    os.close(fd)
    assert found(stage) == [[0, BLOCK], [2 * BLOCK, SIZE_B]]


def test_a_flush_that_fails_ends_in_no_map(tmp_path: Path, stage: int) -> None:
    """fdatasync(2) of a pipe fails."""
    reader, writer = os.pipe()
    recorder = RangeRecorder(stage, writer, FILE, RangeSet())
    with recorder:
        recorder.arrived(ByteRange(0, BLOCK))
    os.close(reader)
    os.close(writer)
    assert recorder.error is not None and os.listdir(tmp_path) == []


def test_the_names_cannot_be_those_of_files() -> None:
    assert all(is_own(name) for name in (PART, MAP, range_part._NEW_MAP))
