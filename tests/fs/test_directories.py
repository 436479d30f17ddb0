from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from alpenhorn.errors import UnsafePath
from alpenhorn.fs.directories import OpenDirectories, prune
from alpenhorn.fs.tree_lock import LockTimeout, TreeLock


@pytest.fixture
def lock(tmp_path: Path) -> Iterator[TreeLock]:
    lock = TreeLock(tmp_path)
    yield lock
    lock.close()


def test_empty_directories_go_up_to_but_not_including_the_root(tmp_path: Path, lock: TreeLock) -> None:
    (tmp_path / "a" / "b" / "c").mkdir(parents=True)
    (tmp_path / "k" / "l").mkdir(parents=True)
    (tmp_path / "k" / "file").write_text("x")
    assert prune(str(tmp_path), ["a/b/c", "k/l", "never/was"], lock) == ["a/b/c", "a/b", "a", "k/l"]
    assert sorted(os.listdir(tmp_path)) == [".alpenhorn.lock", "k"]


def test_a_directory_with_a_hidden_file_stays(tmp_path: Path, lock: TreeLock) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / ".f.lock").touch()
    assert prune(str(tmp_path), ["a"], lock) == []
    assert (tmp_path / "a").is_dir()


def test_pruning_does_not_leave_the_root(tmp_path: Path, lock: TreeLock) -> None:
    outside = tmp_path.parent / "outside-of-root"
    (outside / "d").mkdir(parents=True)
    (tmp_path / "link").symlink_to(outside)
    for path in ("../outside-of-root/d", "link/d", str(outside)):
        with pytest.raises(UnsafePath):
            prune(str(tmp_path), [path], lock)
    assert (outside / "d").is_dir()


def test_a_directory_that_cannot_be_removed_keeps_no_other_from_being_removed(
    tmp_path: Path, lock: TreeLock
) -> None:
    outside = tmp_path.parent / "elsewhere"
    (outside / "d").mkdir(parents=True)
    (tmp_path / "link").symlink_to(outside)
    (tmp_path / "a").mkdir()
    with pytest.raises(UnsafePath):
        prune(str(tmp_path), ["link/d", "a"], lock)
    assert not (tmp_path / "a").exists() and (outside / "d").is_dir()


def test_a_root_is_a_path_or_a_descriptor_and_never_removed(tmp_path: Path, lock: TreeLock) -> None:
    root = os.open(tmp_path, os.O_PATH)
    try:
        (tmp_path / "a").mkdir()
        assert prune(root, ["a", ""], lock) == ["a"]
        assert prune(root, [""], lock) == []
    finally:
        os.close(root)
    assert tmp_path.is_dir()


def test_pruning_does_not_wait_for_ever_for_a_process_that_places_files(
    tmp_path: Path, lock: TreeLock
) -> None:
    (tmp_path / "a").mkdir()
    other = TreeLock(tmp_path)
    with other.up(), pytest.raises(LockTimeout):
        prune(str(tmp_path), ["a"], lock, timeout=0.01)
    other.close()
    assert (tmp_path / "a").is_dir()


def test_making_while_others_prune_never_fails(tmp_path: Path) -> None:
    """The mutant is below: without the lock the same makers fail."""
    assert _race(tmp_path, locked=True) == 0


def test_the_same_race_without_the_lock_fails(tmp_path: Path) -> None:
    assert _race(tmp_path, locked=False) > 0


def _race(root: Path, locked: bool) -> int:
    """Return how many of 1,500 placings failed while another process removed their directory."""
    ready, go = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(go)
        os.set_blocking(ready, False)
        lock = TreeLock(root)
        while True:
            try:
                if os.read(ready, 1) == b"":
                    os._exit(0)
            except BlockingIOError:
                pass
            if locked:
                prune(str(root), ["a/b"], lock)
            else:
                for directory in ("a/b", "a"):
                    with suppress(OSError):
                        os.rmdir(root / directory)
    os.close(ready)
    failures = 0
    lock = TreeLock(root)
    fd = os.open(root, os.O_RDONLY)
    deadline = 1500 if locked else 200_000
    for _ in range(deadline):
        try:
            if locked:
                with lock.up(), OpenDirectories(fd) as parents:
                    _touch(parents)
            else:
                with OpenDirectories(fd) as parents:
                    _touch(parents)
        except FileNotFoundError:
            failures += 1
            if not locked:
                break
    os.close(fd)
    os.close(go)
    os.waitpid(child, 0)
    lock.close()
    return failures


def _touch(parents: OpenDirectories) -> None:
    directory, name = parents.of("a/b/f")
    os.close(os.open(name, os.O_WRONLY | os.O_CREAT, dir_fd=directory))
    os.unlink(name, dir_fd=directory)
