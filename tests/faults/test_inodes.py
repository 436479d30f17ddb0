"""Situation 9: a file system with room and few inodes."""

import json
import os

import pytest

from alpenhorn.plan.inodes import SPARE
from tests.fixtures.filesystems import mounted


@pytest.fixture
def small(sqlite_archive, tmp_path):
    """An archive whose node `disk` is on an ext4 file system with 64 inodes."""
    with mounted("ext4", tmp_path, tmp_path / "disk", 0, "-N", "64"):
        sqlite_archive.node("source", archive=1)
        sqlite_archive.node("disk", archive=1)
        yield sqlite_archive


def free(archive):
    return os.statvfs(archive.root("disk")).f_favail


def test_situation_09_free_inodes_count_as_room(small):
    ids = [small.file(f"acq/{number:02}", b"content", "source") for number in range(60)]
    requests = small.requests(ids, "source", "disk")
    result = small.sync()
    left = free(small)
    done = [id_ for id_ in requests if small.state(id_) == "done"]
    # All that fits has come, and what is left has not been tried.
    assert 0 < len(done) < 60 and SPARE - 4 <= left <= SPARE + 4
    assert small.violations() == [] and small.attempt(requests[-1]) is None
    assert "free inodes" in result.err, result
    # It is told where people look.
    plan = small.run("plan", "--json")
    assert "free inodes" in plan.out
    shown = small.run("node", "show", "disk")
    assert f"Free inodes: {left}".replace(" ", "") in shown.out.replace(" ", ""), shown
    assert json.loads(small.run("node", "show", "disk", "--json").out)["free_inodes"] == left
    assert "free inodes" in small.run("status").out
    assert "free inodes" in small.run("doctor").out
    # It goes on once there are some again.
    third = small.node("third", archive=1)
    gone = [id_ for id_ in ids if small.copy(id_, "disk") == "YY"][:4]
    for id_ in gone:
        small.put("third", small.one("SELECT 'acq/' || name FROM archivefile WHERE id = ?", id_), b"content")
        small.set_copy(id_, "third", "YY")
        small.set_copy(id_, "disk", "YN")
    assert third.is_dir()
    small.sync()
    small.sync()
    assert len([id_ for id_ in requests if small.state(id_) == "done"]) > len(done)


def test_situation_09_no_number_is_shown_without_a_limit(sqlite_archive, tmp_path):
    with mounted("btrfs", tmp_path, tmp_path / "disk"):
        sqlite_archive.node("source", archive=1)
        sqlite_archive.node("disk", archive=1)
        file_id = sqlite_archive.file("acq/f", b"content", "source")
        sqlite_archive.request(file_id, "source", "disk")
        sqlite_archive.synced()
        assert sqlite_archive.copy(file_id, "disk") == "YY"
        assert json.loads(sqlite_archive.run("node", "show", "disk", "--json").out)["free_inodes"] is None
