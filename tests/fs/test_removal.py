from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from alpenhorn.errors import StorageError, UnsafePath
from alpenhorn.fs.removal import FileDiffers, Removal


def anything(directory: int) -> None:
    """Accept every storage."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    root.mkdir()
    return root


@pytest.fixture
def removal(root: Path) -> Iterator[Removal]:
    with Removal(str(root), anything) as removal:
        yield removal


def put(root: Path, path: str, content: bytes = b"content") -> Path:
    at = root / path
    at.parent.mkdir(parents=True, exist_ok=True)
    at.write_bytes(content)
    return at


def test_a_file_is_removed_and_its_former_status_is_returned(root: Path, removal: Removal) -> None:
    at, other = put(root, "acq/a"), put(root, "acq/b")
    inode = at.stat().st_ino
    assert removal.remove("acq/a", 7).st_ino == inode
    assert not at.exists() and other.exists()


def test_a_file_of_any_length_is_removed_where_none_is_given(root: Path, removal: Removal) -> None:
    at = put(root, "acq/a")
    removal.remove("acq/a", None)
    assert not at.exists()


@pytest.mark.parametrize("size_b", [0, 6, 8])
def test_a_file_of_another_length_is_left(root: Path, removal: Removal, size_b: int) -> None:
    at = put(root, "acq/a")
    with pytest.raises(FileDiffers, match=f"its length is 7 bytes, the index says {size_b}"):
        removal.remove("acq/a", size_b)
    assert at.exists()


def test_an_object_that_is_not_a_file_is_left(root: Path, removal: Removal) -> None:
    (root / "acq" / "directory").mkdir(parents=True)
    os.mkfifo(root / "acq" / "fifo")
    for name in ("directory", "fifo"):
        for size_b in (0, None):
            with pytest.raises(FileDiffers, match="not a regular file"):
                removal.remove(f"acq/{name}", size_b)
        assert (root / "acq" / name).exists()


def test_links_are_neither_removed_nor_followed(root: Path, removal: Removal) -> None:
    outside = put(root.parent, "outside/f")
    (root / "acq").mkdir()
    (root / "acq" / "link").symlink_to(outside)
    (root / "acq" / "nowhere").symlink_to(root / "not there")
    (root / "parent").symlink_to(outside.parent)
    for path in ("acq/link", "acq/nowhere", "parent/f"):
        with pytest.raises(UnsafePath if path == "parent/f" else FileDiffers, match="symbolic link"):
            removal.remove(path, None)
    removal.prune()
    assert outside.exists() and (root / "acq" / "link").is_symlink() and (root / "parent").is_symlink()


@pytest.mark.parametrize(
    "path",
    [
        *("", ".", "..", "/etc/passwd", "../root/acq/a", "acq/../acq/a", "acq//a", "a\0b"),
        *("ALPENHORN_NODE", ".alpenhorn/f", ".alpenhorn.lock"),
    ],
)
def test_a_path_that_is_no_file_of_an_acquisition_is_refused(root: Path, removal: Removal, path: str) -> None:
    put(root, "acq/a")
    (root / "ALPENHORN_NODE").touch()
    before = sorted(root.rglob("*"))
    with pytest.raises(UnsafePath):
        removal.remove(path, None)
    assert sorted(root.rglob("*")) == before


def test_a_missing_file_is_reported(root: Path, removal: Removal) -> None:
    put(root, "acq/file")
    with pytest.raises(FileNotFoundError):
        removal.remove("acq/a", 7)
    with pytest.raises(FileNotFoundError):
        removal.remove("none/a", 7)
    with pytest.raises(NotADirectoryError):
        removal.remove("acq/file/a", 7)
    assert not removal.exists("acq/a") and removal.exists("acq/file")


def test_directories_that_became_empty_go_and_the_root_stays(root: Path, removal: Removal) -> None:
    for path in ("acq/a/b/f", "acq/a/f", "other/f", "kept/f", "kept/g", "f"):
        put(root, path)
    for path in ("acq/a/b/f", "acq/a/f", "other/f", "kept/f", "f"):
        removal.remove(path, 7)
    removal.prune()
    assert sorted(os.listdir(root)) == [".alpenhorn.lock", "kept"]


def test_directories_of_files_that_were_gone_already_go_too(root: Path, removal: Removal) -> None:
    """A killed run has left them."""
    (root / "acq" / "a").mkdir(parents=True)
    with pytest.raises(FileNotFoundError):
        removal.remove("acq/a/f", 7)
    removal.prune()
    assert not (root / "acq").exists()


def test_files_are_removed_from_the_opened_root_though_another_is_mounted_over_it(
    root: Path, removal: Removal
) -> None:
    """A rename shows that the opened directory is used, not its path."""
    here = put(root, "acq/a")
    there = root.parent / "moved"
    root.rename(there)
    put(root, "acq/a")
    (root / "acq" / "empty").mkdir()
    removal.remove("acq/a", 7)
    removal.prune()
    assert here.exists() and not (there / "acq").exists()
    assert sorted(os.listdir(root)) == ["acq"]


def test_the_wrong_storage_and_none_are_refused(root: Path) -> None:
    def wrong(directory: int) -> None:
        raise StorageError("this is another node's")

    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(StorageError, match="another node's"):
        Removal(str(root), wrong)
    with pytest.raises(StorageError, match="is its storage mounted"):
        Removal(str(root / "none"), anything)
    assert len(os.listdir("/proc/self/fd")) == before


def test_nothing_stays_open(root: Path) -> None:
    put(root, "acq/a")
    before = len(os.listdir("/proc/self/fd"))
    with Removal(str(root), anything) as removal:
        removal.remove("acq/a", 7)
        removal.prune()
    assert len(os.listdir("/proc/self/fd")) == before
