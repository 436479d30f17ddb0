from __future__ import annotations

import os
from pathlib import Path

import pytest

from alpenhorn.errors import UnsafePath
from alpenhorn.fs.paths import TreeOpener, check_relative, open_below

HOSTILE = [
    "",
    "/",
    "/etc/passwd",
    ".",
    "..",
    "../x",
    "a/..",
    "a/../b",
    "a//b",
    "a/",
    "./a",
    "a/./b",
    "a\0b",
    "\ud800",
]
ODD_BUT_SAFE = [
    "a",
    "-rf",
    "a:b",
    "a\nb",
    "..\n",
    "...",
    "..a",
    "a..",
    "a b ",
    "'\"",
    "*?[x]",
    "a\\b",
    "é" * 127,
    "\udcff",
]
OURS = [".alpenhorn/x", ".alpenhorn.lock", ".alpenhorn.lock/x", "ALPENHORN_NODE", "ALPENHORN_NODE/x"]


@pytest.mark.parametrize("path", HOSTILE + OURS)
def test_a_path_outside_the_root_is_refused_and_shown_escaped(path: str) -> None:
    with pytest.raises(UnsafePath) as refused:
        check_relative(path)
    assert repr(path) in str(refused.value)


@pytest.mark.parametrize("path", [*ODD_BUT_SAFE, "ALPENHORN_NODES/x", "acq/ALPENHORN_NODE"])
def test_odd_names_are_only_names(path: str) -> None:
    assert check_relative(path) == path


@pytest.mark.parametrize("path", ODD_BUT_SAFE)
def test_odd_names_can_be_made_and_read_back(tmp_path: Path, path: str) -> None:
    os.close(open_below(str(tmp_path), path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    assert os.listdir(tmp_path) == [path]


@pytest.mark.parametrize("path", HOSTILE)
def test_nothing_hostile_is_opened(tmp_path: Path, path: str) -> None:
    with pytest.raises(UnsafePath):
        open_below(str(tmp_path), path, os.O_RDONLY)


def test_a_symbolic_link_is_followed_nowhere_on_the_way(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("secret")
    root = tmp_path / "root"
    (root / "real").mkdir(parents=True)
    (root / "link").symlink_to(outside)
    (root / "real" / "deep").symlink_to(outside)
    (root / "real" / "file").symlink_to(outside / "file")
    (root / "inside").symlink_to("real")
    for path in ("link/file", "real/deep/file", "real/file", "inside/file", "link/new"):
        with pytest.raises(UnsafePath, match="symbolic link"):
            open_below(str(root), path, os.O_RDONLY)
        with pytest.raises(UnsafePath, match="symbolic link"):
            open_below(str(root), path, os.O_WRONLY | os.O_CREAT)
    assert os.listdir(outside) == ["file"]


def test_the_root_itself_may_be_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "f").write_text("x")
    (tmp_path / "root").symlink_to("disk")
    os.close(open_below(str(tmp_path / "root"), "f", os.O_RDONLY))


def test_a_missing_file_and_a_file_in_place_of_a_directory_are_reported_with_the_path(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    with pytest.raises(FileNotFoundError, match="d/x"):
        open_below(str(tmp_path), "d/x", os.O_RDONLY)
    with pytest.raises(NotADirectoryError, match="f/x"):
        open_below(str(tmp_path), "f/x", os.O_RDONLY)


def test_many_directories_in_turn_leave_no_descriptor_open(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"d{number}" / "e").mkdir(parents=True)
        (tmp_path / f"d{number}" / "e" / "f").write_text(str(number))
    before = os.listdir("/proc/self/fd")
    with TreeOpener(str(tmp_path)) as below:
        for number in [*range(20), 3, 3, 3]:
            fd = below.open(f"d{number}/e/f", os.O_RDONLY)
            assert os.read(fd, 9) == str(number).encode()
            os.close(fd)
        with pytest.raises(FileNotFoundError):
            below.open("nowhere/e/f", os.O_RDONLY)
    assert os.listdir("/proc/self/fd") == before
