from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from alpenhorn.errors import StorageError
from alpenhorn.io.base import DirectoryNode
from alpenhorn.io.default import DefaultNode
from alpenhorn.model.imports import ImportFile, ImportJob, ImportResult
from alpenhorn.model.nodes import MARKER
from alpenhorn.model.tasks import Verdict
from alpenhorn.workers.import_files import import_files
from tests.fixtures.images import Image
from tests.io.nodes import Report, as_nobody, make, public_directory, put

BIG = b"x" * 3 * 2**20


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def node(root: Path) -> DirectoryNode:
    return make(root)


def imported(
    node: DirectoryNode, *paths: str, settle: float = 0.0, report: Report | None = None
) -> tuple[ImportResult, ...]:
    files = tuple(ImportFile(path, *path.partition("/")[::2]) for path in paths)
    return import_files(ImportJob(node.node, 1, settle, files), node, report or Report())


def verdicts(results: tuple[ImportResult, ...]) -> list[Verdict]:
    return [result.verdict for result in results]


@pytest.mark.parametrize("content", [b"", b"x", BIG])
def test_a_file_is_hashed(node: DirectoryNode, root: Path, content: bytes) -> None:
    md5sum = put(root, "acq/a", content)
    (result,) = imported(node, "acq/a")
    assert result[1:4] == (Verdict.HASHED, len(content), md5sum)
    assert result.space_b == os.stat(root / "acq/a").st_blocks * 512


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def overwrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"other")


def overwrite_secretly(path: Path) -> None:
    before = os.stat(path)
    overwrite(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def truncate(path: Path) -> None:
    os.truncate(path, 2 * 2**20)


def replace(path: Path) -> None:
    aside = path.with_name("aside")
    aside.write_bytes(b"y" * len(BIG))
    aside.rename(path)


def lock(path: Path) -> None:
    path.with_name(f".{path.name}.lock").touch()


@pytest.mark.parametrize("change", [append, overwrite, overwrite_secretly, truncate, replace, lock])
def test_a_file_that_changes_while_it_is_read_is_left_for_later(
    node: DirectoryNode, root: Path, change: Callable[[Path], None]
) -> None:
    put(root, "acq/a", BIG)
    put(root, "acq/b")
    done: list[bool] = []

    def once() -> None:
        if not done:
            done.append(True)
            change(root / "acq/a")

    results = imported(node, "acq/a", "acq/b", report=Report(on_bytes=once))
    assert verdicts(results) == [Verdict.LATER, Verdict.HASHED]


def test_a_locked_file_is_left_for_later(node: DirectoryNode, root: Path) -> None:
    put(root, "acq/a")
    lock(root / "acq/a")
    assert verdicts(imported(node, "acq/a")) == [Verdict.LATER]


class Finishing(DefaultNode):
    """A node whose writer completes each file, and releases its lock, just before the last look at the lock."""

    def locked(self, path: str) -> bool:
        at = Path(self.root, path)
        overwrite(at)
        os.unlink(at.with_name(f".{at.name}.lock"))
        return super().locked(path)


def test_a_file_whose_writer_ends_while_it_is_read_is_left_for_later(node: DirectoryNode, root: Path) -> None:
    put(root, "acq/a")
    hour_ago = time.time() - 3600
    os.utime(root / "acq/a", (hour_ago, hour_ago))
    lock(root / "acq/a")
    results = imported(Finishing(node.node, {}), "acq/a", settle=60.0)
    assert verdicts(results) == [Verdict.LATER]
    assert not os.path.lexists(root / "acq/.a.lock")


def test_a_file_settles_before_it_is_imported(node: DirectoryNode, root: Path) -> None:
    put(root, "acq/a")
    assert verdicts(imported(node, "acq/a", settle=60.0)) == [Verdict.LATER]
    hour_ago = time.time() - 3600
    os.utime(root / "acq/a", (hour_ago, hour_ago))
    assert verdicts(imported(node, "acq/a", settle=60.0)) == [Verdict.HASHED]


def test_links_fifos_and_directories_are_declined_without_hanging(
    node: DirectoryNode, root: Path, tmp_path: Path
) -> None:
    put(tmp_path, "outside/a")
    (root / "acq/dir").mkdir(parents=True)
    (root / "acq/link").symlink_to(tmp_path / "outside/a")
    (root / "acq/away").symlink_to(tmp_path / "outside")
    os.mkfifo(root / "acq/fifo")
    results = imported(node, "acq/link", "acq/away/a", "acq/fifo", "acq/dir", "acq/../../outside/a")
    assert verdicts(results) == [Verdict.DECLINED] * 5
    assert all(result.error for result in results)


def test_a_file_that_is_gone_is_declined(node: DirectoryNode, root: Path) -> None:
    put(root, "acq/a")
    results = imported(node, "acq/none", "acq/a/below", "acq/a")
    assert verdicts(results) == [Verdict.DECLINED, Verdict.DECLINED, Verdict.HASHED]


def test_an_unreadable_file_is_reported_and_the_others_are_imported() -> None:
    with public_directory() as root:
        node = make(root)
        put(root, "acq/a")
        put(root, "acq/b")
        os.chmod(root / "acq/a", 0)
        with as_nobody():
            results = imported(node, "acq/a", "acq/b")
    assert verdicts(results) == [Verdict.UNREADABLE, Verdict.HASHED]


def test_a_node_that_is_not_there_declines_nothing(node: DirectoryNode, root: Path) -> None:
    put(root, "acq/a")
    os.unlink(root / MARKER)
    with pytest.raises(StorageError):
        imported(node, "acq/a")


def test_a_node_that_goes_away_meanwhile_declines_nothing(node: DirectoryNode, root: Path) -> None:
    put(root, "acq/a")
    put(root, "acq/b")

    def unmount() -> None:
        if (root / MARKER).exists():
            root.rename(root.with_name("gone"))
            root.mkdir()

    with pytest.raises(StorageError):
        imported(node, "acq/a", "acq/b", report=Report(on_bytes=unmount))


def test_a_run_that_stops_keeps_what_is_done(node: DirectoryNode, root: Path) -> None:
    put(root, "acq/a")
    put(root, "acq/big", BIG)
    results = imported(node, "acq/a", "acq/big", "acq/a", report=Report(most=2))
    assert verdicts(results) == [Verdict.HASHED]


@pytest.mark.parametrize("others", [0, 20])
def test_a_file_that_cannot_be_flushed_is_not_imported(root: Path, tmp_path: Path, others: int) -> None:
    """The data read may have been in memory only."""
    image = Image(tmp_path / "image", 16)
    with image.mounted(root, "loop,errors=remount-ro"):
        node = make(root)
        paths = ["acq/a", *(f"acq/{i}" for i in range(others))]
        for path in paths:
            put(root, path)
        put(root, "acq/locked")
        lock(root / "acq/locked")
        results = imported(node, *paths, "acq/locked", report=Report(on_bytes=image.fail))
    assert verdicts(results) == [Verdict.UNREADABLE] * len(paths) + [Verdict.LATER]
    assert all("cannot be flushed" in result.error for result in results[:-1])
    assert all(result[2:5] == (None, None, None) for result in results)
