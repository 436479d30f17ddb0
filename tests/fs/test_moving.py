"""Moves of files below a root."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from alpenhorn.errors import UnsafePath
from alpenhorn.fs.moving import FileMove, Moving
from alpenhorn.fs.placing import Occupied
from alpenhorn.fs.removal import FileDiffers
from tests.fixtures.filesystems import LINKLESS, mounted


@pytest.fixture
def moving(tmp_path: Path) -> Iterator[Moving]:
    (tmp_path / "a").write_bytes(b"content")
    with Moving(str(tmp_path), lambda root: None) as opened:
        yield opened


def test_a_file_is_moved_into_a_new_directory(moving: Moving, tmp_path: Path) -> None:
    before = os.stat(tmp_path / "a")
    assert moving.move([FileMove("a", "new/inner/a", before)]) == [None]
    assert os.stat(tmp_path / "new/inner/a").st_ino == before.st_ino
    assert not (tmp_path / "a").exists()


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def rewrite(path: Path) -> None:
    path.write_bytes(b"CONTENT")


def exchange(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(b"content")
    other.replace(path)


def link(path: Path) -> None:
    path.rename(path.with_name("other"))
    path.symlink_to("other")


@pytest.mark.parametrize("change", [append, rewrite, exchange, link])
def test_a_file_that_changed_since_it_was_read_stays(
    moving: Moving, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    before = os.stat(tmp_path / "a")
    change(tmp_path / "a")
    (outcome,) = moving.move([FileMove("a", "new/a", before)])
    assert isinstance(outcome, FileDiffers)
    assert os.path.lexists(tmp_path / "a") and not (tmp_path / "new/a").exists()


def test_nothing_is_replaced_and_the_others_are_moved(moving: Moving, tmp_path: Path) -> None:
    taken: dict[str, Callable[[Path], object]] = {
        "file": Path.touch,
        "directory": Path.mkdir,
        "link": lambda path: path.symlink_to("nowhere"),
    }
    (tmp_path / "new").mkdir()
    moves = [FileMove("a", "new/a", os.stat(tmp_path / "a"))]
    for name, make in taken.items():
        make(tmp_path / "new" / name)
        (tmp_path / name).write_bytes(b"top")
        moves.insert(0, FileMove(name, f"new/{name}", os.stat(tmp_path / name)))
    outcomes = moving.move(moves)
    assert all(isinstance(outcome, Occupied) for outcome in outcomes[:-1]) and outcomes[-1] is None
    assert all((tmp_path / name).read_bytes() == b"top" for name in taken)
    assert (tmp_path / "new/file").read_bytes() == b""


@pytest.mark.parametrize("target", ["../a", "/a", "new/../../a", ""])
def test_a_path_out_of_the_root_is_refused(moving: Moving, tmp_path: Path, target: str) -> None:
    (outcome,) = moving.move([FileMove("a", target, os.stat(tmp_path / "a"))])
    assert isinstance(outcome, UnsafePath) and (tmp_path / "a").exists()


@pytest.mark.parametrize("kind", LINKLESS)
def test_on_a_file_system_without_a_safe_rename_the_file_stays(tmp_path: Path, kind: str) -> None:
    """A name that is reserved with an empty file would be imported after a crash."""
    with mounted(kind, tmp_path, tmp_path / "disk"):
        root = tmp_path / "disk"
        (root / "a").write_bytes(b"content")
        (root / "new").mkdir()
        with Moving(str(root), lambda fd: None) as moving:
            (outcome,) = moving.move([FileMove("a", "new/a", os.stat(root / "a"))])
        if kind == "vfat":  # the kernel's driver has the safe rename
            assert outcome is None and (root / "new/a").read_bytes() == b"content"
        else:
            assert isinstance(outcome, OSError)
            assert (root / "a").read_bytes() == b"content" and os.listdir(root / "new") == []
