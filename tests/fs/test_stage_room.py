"""The room that stages on one file system take."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from alpenhorn.errors import Stopped
from alpenhorn.fs import ofd
from alpenhorn.fs.placing import Stage
from alpenhorn.fs.stage_room import LOCK, ROOM, StageRoom


def go_on() -> bool:
    return False


def test_stages_do_not_take_the_same_room(tmp_path: Path) -> None:
    with Stage(str(tmp_path), "a") as first, Stage(str(tmp_path), "b") as second:
        one, other = StageRoom(first, go_on), StageRoom(second, go_on)
        assert one.take([1]) == 1
        half = one.free_b * 3 // 5
        assert one.take([half, half]) == 1
        assert other.take([half]) == 0 and other.free_b < half
        one.give_back()
        assert other.take([half]) == 1
        assert one.take([half]) == 0
        other.give_back()
        other.give_back()
        assert one.take([half]) == 1


def test_what_is_written_already_is_promised_no_more(tmp_path: Path) -> None:
    size = 2**22
    with Stage(str(tmp_path), "a") as first, Stage(str(tmp_path), "part-b") as second:
        one, other = StageRoom(first, go_on), StageRoom(second, go_on)
        assert one.take([size]) == 1
        assert other.take([0]) == 1
        before = other.free_b
        (Path(first.path) / "file").write_bytes(b"x" * size)
        os.sync()
        assert other.take([0]) == 1
        # Other processes use the disk as well.
        assert abs(other.free_b - before) < size / 2
        # A part is continued in its own room.
        (Path(second.path) / "file").write_bytes(b"x" * size)
        os.sync()
        assert other.take([0]) == 1
        assert abs(other.free_b - before) < size / 2


def test_a_run_that_stops_does_not_wait_for_the_others(tmp_path: Path) -> None:
    with Stage(str(tmp_path), "a") as stage:
        room = StageRoom(stage, go_on)
        assert room.take([1]) == 1
        lock = ofd.LockFile(str(tmp_path / ".alpenhorn" / ROOM / LOCK))
        assert lock.acquire(ofd.exclusive(0), None)
        stopping = StageRoom(stage, lambda: True)
        with pytest.raises(Stopped):
            stopping.take([1])
        lock.close()
        assert stopping.take([1]) == 1
