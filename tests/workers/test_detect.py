"""Workers and files that detectors name; the packages are those of the end-to-end tests."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from alpenhorn.errors import StorageError, UnsafePath
from alpenhorn.extensions.detectors import NodeView
from alpenhorn.extensions.registry import node_io
from alpenhorn.io.base import DirectoryNode
from alpenhorn.model.imports import DetectJob
from alpenhorn.model.nodes import MARKER
from alpenhorn.model.searches import FoundFile
from alpenhorn.workers.detect import detect
from tests.io.nodes import fact, make


class Report:
    """Requests a stop after this many checks."""

    def __init__(self, files: int) -> None:
        self.left = files

    def begin(self, path: str) -> None:
        pass

    def fail(self) -> None:
        pass

    def progress(self, files: int, bytes: int) -> None:
        raise AssertionError("naming is no progress")

    def stopping(self) -> bool:
        self.left -= 1
        return self.left < 0


def job(root: Path, *paths: str, settle: float = 0.0) -> DetectJob:
    return DetectJob(fact(root), 1, 1, settle, tuple(FoundFile(path, 1) for path in paths))


def make_io(root: Path) -> DirectoryNode:
    return node_io(fact(root))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make(tmp_path)
    (tmp_path / "acq").mkdir()
    for name in ("a", "b", "c"):
        (tmp_path / "acq" / name).write_bytes(b"x")
    return tmp_path


def test_names_found_before_a_stop_are_returned(root: Path) -> None:
    outcome = detect(job(root, "acq/a", "acq/b", "acq/c"), make_io(root), Report(2))
    assert [one.found.path for one in outcome] == ["acq/a", "acq/b"]


def test_unfinished_files_are_left_for_later(root: Path) -> None:
    (root / "acq" / ".a.lock").touch()
    os.utime(root / "acq" / "b", (time.time() - 3600,) * 2)
    paths = ("acq/a", "acq/b", "acq/c", "acq/gone")
    outcome = detect(job(root, *paths, settle=60.0), make_io(root), Report(9))
    assert [one.later for one in outcome] == [True, False, True, True]
    assert all(bool(one.error) is one.later for one in outcome)


def test_an_absent_node_is_not_blamed_on_a_detector(root: Path) -> None:
    (root / MARKER).unlink()
    with pytest.raises(StorageError):
        detect(job(root, "acq/a"), make_io(root), Report(9))


def test_a_view_reads_and_follows_no_link(root: Path) -> None:
    view = NodeView(make_io(root))
    with view.open("acq/a") as file:
        assert file.read() == b"x" and not file.writable()
    assert view.size("acq/a") == 1 and view.exists("acq/a") and not view.exists("acq/none")
    (root / "acq" / "link").symlink_to("a")
    os.mkfifo(root / "acq" / "fifo")
    for path in ("acq/link", "../x", "/etc/passwd", "acq", "acq/fifo", "acq/none"):
        with pytest.raises((OSError, UnsafePath, StorageError)):
            view.open(path)
