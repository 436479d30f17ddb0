"""Moves into the trash: a file is either there, or where it was, or it was deleted because it cannot be moved."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from alpenhorn.fs.removal import DirectoryEntry, FileDiffers, Removal
from alpenhorn.fs.trash import NotTrashed

BATCH = "20260102T030405Z-1-1"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return made(tmp_path / "root")


def made(root: Path) -> Path:
    (root / "acq/dir").mkdir(parents=True)
    for name in ("a", "b", "c"):
        (root / "acq/dir" / name).write_bytes(b"content")
    return root


def removal(root: Path) -> Removal:
    return Removal(str(root), lambda fd: None)


def trash(root: Path) -> Path:
    return root / ".alpenhorn/trash"


def test_a_file_keeps_its_inode_and_its_path_below_the_batch(root: Path) -> None:
    inode = (root / "acq/dir/a").stat().st_ino
    with removal(root) as opened:
        batch = opened.trash(BATCH)
        opened.remove("acq/dir/a", 7, trash=batch)
        opened.remove("acq/dir/b", 7)
        opened.flush(["acq/dir/a", "acq/dir/b", *batch.new_paths()])
    assert (trash(root) / BATCH / "acq/dir/a").stat().st_ino == inode
    assert os.listdir(root / "acq/dir") == ["c"] and batch.taken == {"acq/dir/a"}
    assert os.listdir(trash(root) / BATCH / "acq/dir") == ["a"]


def test_a_batch_without_files_is_not_made(root: Path) -> None:
    with removal(root) as opened:
        batch = opened.trash(BATCH)
        with pytest.raises(FileDiffers):
            opened.remove("acq/dir/a", 8, trash=batch)
    assert not trash(root).exists()


def test_a_file_that_replaces_the_one_to_delete_stays_at_its_place(root: Path) -> None:
    with removal(root) as opened:
        batch = opened.trash(BATCH)
        directory = os.open(root / "acq/dir", os.O_PATH)
        other = (root / "acq/dir/b").stat()
        with pytest.raises(Exception, match="replaced"):
            batch.take("acq/dir/a", directory, "a", (other.st_dev, other.st_ino))
        os.close(directory)
    assert (root / "acq/dir/a").read_bytes() == b"content" and batch.taken == set()
    assert os.listdir(trash(root) / BATCH / "acq/dir") == []


def test_a_file_is_not_gone_because_the_trash_is(root: Path) -> None:
    with removal(root) as opened:
        batch = opened.trash(BATCH)
        opened.remove("acq/dir/a", 7, trash=batch)
        shutil.rmtree(trash(root))
        with pytest.raises(NotTrashed, match="cannot move 'acq/dir/b' to the trash"):
            opened.remove("acq/dir/b", 7, trash=batch)

        def vanish(entry: DirectoryEntry) -> None:
            (root / "acq/dir/c").unlink()

        with pytest.raises(FileNotFoundError):
            opened.remove("acq/dir/c", 7, vanish, batch)
    assert (root / "acq/dir/b").exists()


def test_an_occupied_place_in_the_trash_is_not_overwritten(root: Path) -> None:
    place = trash(root) / BATCH / "acq/dir/a"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"earlier")
    with removal(root) as opened, pytest.raises(NotTrashed):
        opened.remove("acq/dir/a", 7, trash=opened.trash(BATCH))
    assert place.read_bytes() == b"earlier" and (root / "acq/dir/a").exists()


def test_a_file_is_deleted_if_there_is_no_room_for_the_trash(tmp_path: Path) -> None:
    at = tmp_path / "small"
    at.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "nr_inodes=8", "none", at], check=True)
    try:
        made(at)
        (at / "last").mkdir()
        with removal(at) as opened:
            batch = opened.trash(BATCH)
            opened.remove("acq/dir/a", 7, trash=batch)
        assert sorted(os.listdir(at / "acq/dir")) == ["b", "c"]
        assert "No space left" in batch.unmovable and batch.taken == set()
    finally:
        subprocess.run(["umount", "-l", at], check=True)


def test_the_group_of_a_shared_root_may_empty_the_trash(root: Path) -> None:
    root.chmod(0o2775)
    before = os.umask(0o077)
    try:
        with removal(root) as opened:
            opened.remove("acq/dir/a", 7, trash=opened.trash(BATCH))
    finally:
        os.umask(before)
    for path in (trash(root), trash(root) / BATCH, trash(root) / BATCH / "acq/dir"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o2070 == 0o2070, path
