from __future__ import annotations

import os
import time
from pathlib import Path

from alpenhorn.fs.settled import settled, storage_now


def dated(path: Path, seconds: float) -> os.stat_result:
    path.touch()
    os.utime(path, (seconds, seconds))
    return path.stat()


def test_a_file_settles_by_its_last_change(tmp_path: Path) -> None:
    now = time.time()
    assert not settled(dated(tmp_path / "a", now - 59), 60.0, now)
    assert settled(dated(tmp_path / "a", now - 61), 60.0, now)
    assert settled(dated(tmp_path / "a", now), 0.0, now)


def test_a_file_that_is_dated_to_the_future_settles_by_its_real_change(tmp_path: Path) -> None:
    now = time.time()
    status = dated(tmp_path / "a", now + 10**9)
    assert not settled(status, 60.0, now)
    assert settled(status, 60.0, status.st_ctime + 61)


def test_a_file_that_changed_before_the_clock_was_put_back_is_not_settled(tmp_path: Path) -> None:
    status = dated(tmp_path / "a", time.time())
    assert not settled(status, 60.0, status.st_ctime - 3600)


def test_the_time_is_that_of_the_storage(tmp_path: Path) -> None:
    assert abs(storage_now(str(tmp_path)) - time.time()) < 60
    (tmp_path / ".alpenhorn").mkdir()
    before = dated(tmp_path / "a", 0).st_ctime
    now = storage_now(str(tmp_path))
    after = dated(tmp_path / "a", 0).st_ctime
    assert before <= now <= after
    assert list(tmp_path.iterdir())


def test_a_link_in_place_of_our_directory_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    os.utime(tmp_path / "elsewhere", (1, 1))
    (tmp_path / ".alpenhorn").symlink_to("elsewhere")
    storage_now(str(tmp_path))
    assert (tmp_path / "elsewhere").stat().st_mtime == 1
