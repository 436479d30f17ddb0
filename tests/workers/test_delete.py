from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from alpenhorn.config import Transfer
from alpenhorn.fs.tree_lock import TreeLock
from alpenhorn.io.base import DirectoryNode
from alpenhorn.model.deletions import DeleteFile, DeleteJob, DeleteOutcome, DeleteResult
from alpenhorn.model.nodes import MARKER
from alpenhorn.model.tasks import Verdict
from alpenhorn.workers.delete import delete
from tests.fixtures.images import Image
from tests.io.nodes import Report, make, put


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def node(root: Path) -> DirectoryNode:
    return make(root)


def file(path: str, size_b: int | None = 7, had: str = "Y") -> DeleteFile:
    return DeleteFile(1, 2, path, size_b, had)


def deleted(node: DirectoryNode, *files: DeleteFile, report: Report | None = None) -> DeleteOutcome:
    return delete(DeleteJob(node.node, files), node, report or Report(), Transfer())


def result(node: DirectoryNode, of: DeleteFile) -> DeleteResult:
    outcome = deleted(node, of)
    assert outcome.error == ""
    (result,) = outcome.results
    return result


def test_files_are_removed_and_the_directories_that_are_empty_then(node: DirectoryNode, root: Path) -> None:
    for path in ("acq/a", "acq/dir/b", "kept/c", "kept/d"):
        put(root, path)
    report = Report()
    outcome = deleted(node, file("acq/a"), file("acq/dir/b"), file("kept/c"), report=report)
    assert [one.verdict for one in outcome.results] == [Verdict.DELETED] * 3
    assert all(one.freed_b > 0 for one in outcome.results)
    assert sorted(os.listdir(root)) == [".alpenhorn.lock", MARKER, "kept"]
    assert os.listdir(root / "kept") == ["d"]
    assert report.files == 3


def test_a_file_with_another_name_frees_nothing_yet(node: DirectoryNode, root: Path) -> None:
    put(root, "acq/a")
    os.link(root / "acq" / "a", root / "acq" / "b")
    assert result(node, file("acq/a")).freed_b == 0
    assert result(node, file("acq/b")).freed_b > 0


def test_an_absent_copy_is_missing(node: DirectoryNode, root: Path) -> None:
    put(root, "acq/file")
    for path in ("acq/a", "none/a", "acq/file/a"):
        assert result(node, file(path)).verdict is Verdict.MISSING
    assert (root / "acq" / "file").exists()


def test_another_file_is_corrupt_and_left(node: DirectoryNode, root: Path) -> None:
    put(root, "acq/short", b"short")
    (root / "acq" / "directory").mkdir()
    os.mkfifo(root / "acq" / "fifo")
    for name in ("short", "directory", "fifo"):
        found = result(node, file(f"acq/{name}"))
        assert found.verdict is Verdict.CORRUPT and found.error
        assert (root / "acq" / name).exists()


def test_a_link_is_left_with_what_it_points_to(node: DirectoryNode, root: Path) -> None:
    put(root.parent, "outside/f")
    put(root, "acq/f")
    (root / "acq" / "link").symlink_to(root.parent / "outside" / "f")
    (root / "parent").symlink_to(root.parent / "outside")
    for path in ("acq/link", "parent/f"):
        found = result(node, file(path))
        assert found.verdict is (Verdict.FAILED if path == "parent/f" else Verdict.CORRUPT)
        assert "symbolic link" in found.error and found.file.has_file == "Y"
    assert (root.parent / "outside" / "f").exists() and (root / "acq" / "link").is_symlink()


def test_a_path_that_leaves_the_root_is_a_failure(node: DirectoryNode, root: Path) -> None:
    put(root.parent, "outside/f")
    for path in ("../outside/f", str(root.parent / "outside" / "f"), MARKER, ".alpenhorn/x"):
        assert result(node, file(path)).verdict is Verdict.FAILED
    assert (root.parent / "outside" / "f").exists() and (root / MARKER).exists()


@pytest.fixture
def immutable(root: Path, node: DirectoryNode) -> Iterator[Path]:
    """A directory from which not even root can remove a file."""
    if os.geteuid():
        pytest.fail("this test makes a directory immutable: run it as root")
    put(root, "fixed/f")
    subprocess.run(["chattr", "+i", root / "fixed"], check=True)
    yield root / "fixed"
    subprocess.run(["chattr", "-i", root / "fixed"], check=True)


def test_a_file_that_cannot_be_removed_fails_and_the_others_go_on(
    node: DirectoryNode, root: Path, immutable: Path
) -> None:
    put(root, "acq/f")
    outcome = deleted(node, file("fixed/f"), file("acq/f"))
    assert [one.verdict for one in outcome.results] == [Verdict.FAILED, Verdict.DELETED]
    assert outcome.results[0].file.has_file == "Y" and "fixed/f" in outcome.results[0].error
    assert (immutable / "f").exists() and not (root / "acq").exists()


def test_nothing_is_touched_without_the_marker(node: DirectoryNode, root: Path) -> None:
    put(root, "acq/f")
    (root / MARKER).unlink()
    outcome = deleted(node, file("acq/f"), file("acq/none"))
    assert outcome.results == () and "not mounted" in outcome.error
    assert sorted(os.listdir(root)) == ["acq"] and (root / "acq" / "f").exists()


def test_nothing_is_touched_on_the_storage_of_another_node(node: DirectoryNode, root: Path) -> None:
    put(root, "acq/f")
    (root / MARKER).write_text("another\n")
    outcome = deleted(node, file("acq/f"))
    assert outcome.results == () and "another" in outcome.error
    assert (root / "acq" / "f").exists()


def test_a_root_that_is_not_there_is_reported(node: DirectoryNode, root: Path) -> None:
    (root / MARKER).unlink()
    root.rmdir()
    outcome = deleted(node, file("acq/f"))
    assert outcome.results == () and "mounted" in outcome.error
    assert not root.exists()


class AfterEach(Report):
    """Calls a function once the first file is done."""

    def __init__(self, root: Path, stop: bool = False) -> None:
        super().__init__()
        self.root = root
        self.stop = stop

    def begin(self, path: str) -> None:
        pass

    def fail(self) -> None:
        pass

    def progress(self, files: int, bytes: int) -> None:
        super().progress(files, bytes)
        if not self.stop and self.files == 1:
            (self.root / MARKER).unlink()

    def stopping(self) -> bool:
        return self.stop and self.files == 1


def test_a_marker_that_vanishes_keeps_what_is_not_there_from_being_called_missing(
    node: DirectoryNode, root: Path
) -> None:
    put(root, "acq/a")
    outcome = deleted(node, file("acq/a"), file("acq/gone"), file("acq/too"), report=AfterEach(root))
    assert [one.verdict for one in outcome.results] == [Verdict.DELETED]
    assert "not mounted" in outcome.error


def test_a_run_that_is_to_stop_stops_between_two_files(node: DirectoryNode, root: Path) -> None:
    for name in "abc":
        put(root, f"acq/{name}")
    outcome = deleted(node, *(file(f"acq/{name}") for name in "abc"), report=AfterEach(root, stop=True))
    assert [one.file.path for one in outcome.results] == ["acq/a"]
    assert outcome.error == "" and sorted(os.listdir(root / "acq")) == ["b", "c"]


def test_directories_are_not_removed_while_somebody_fills_them(node: DirectoryNode, root: Path) -> None:
    """The mutant is in tests/fs/test_directories.py: without the lock, placing files fails."""
    put(root, "acq/a")
    other = TreeLock(root)
    child = None
    with other.up():
        child = os.fork()
        if child == 0:
            deleted(node, file("acq/a"))
            os._exit(0)
        while (root / "acq" / "a").exists():
            os.sched_yield()
        assert (root / "acq").is_dir()
        assert os.waitpid(child, os.WNOHANG) == (0, 0)
    os.waitpid(child, 0)
    other.close()
    assert not (root / "acq").exists()


class AtTheEnd(Report):
    """Calls a function once this many files are done."""

    def __init__(self, files: int, act: Callable[[], None]) -> None:
        super().__init__()
        self.last = files
        self.act = act

    def begin(self, path: str) -> None:
        pass

    def fail(self) -> None:
        pass

    def progress(self, files: int, bytes: int) -> None:
        super().progress(files, bytes)
        if self.files == self.last:
            self.act()


@pytest.mark.parametrize("others", [0, 20])
def test_a_removal_that_cannot_be_flushed_is_not_recorded(root: Path, tmp_path: Path, others: int) -> None:
    """After a power failure it may be there again."""
    image = Image(tmp_path / "image", 16)
    with image.mounted(root, "loop,errors=remount-ro"):
        node = make(root)
        paths = ["acq/a", *(f"acq/{i}/f" for i in range(others))]
        for path in paths:
            put(root, path)
        put(root, "acq/short", b"short")
        files = [file(path) for path in (*paths, "acq/none", "acq/short")]
        outcome = deleted(node, *files, report=AtTheEnd(len(files), image.fail))
    *gone, short = outcome.results
    assert len(gone) == len(paths) + 1 and outcome.error == ""
    for one in gone:
        assert one.verdict is Verdict.FAILED and one.file.has_file == "M" and one.freed_b == 0
        assert "cannot be flushed" in one.error
    assert short.verdict is Verdict.CORRUPT
