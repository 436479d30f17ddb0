from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from alpenhorn.errors import StorageError
from alpenhorn.io.base import DirectoryNode
from alpenhorn.model.links import LookFile, LookJob, LookOutcome, SeparateJob, SeparateResult
from alpenhorn.model.nodes import MARKER
from alpenhorn.workers.links import look, separate
from tests.io.nodes import Report, make, put


class Stopping(Report):
    def stopping(self) -> bool:
        return True


@pytest.fixture
def node(tmp_path: Path) -> DirectoryNode:
    return make(tmp_path / "root")


def copy(node: DirectoryNode, path: str, content: bytes = b"bytes", linked: bool = True) -> LookFile:
    """Create a file, by default with another name outside the root, and return it as the index knows it."""
    put(Path(node.root), path, content)
    if linked:
        os.link(Path(node.root) / path, Path(node.root).parent / f"other-{path.replace('/', '-')}")
    number = len(os.listdir(Path(node.root).parent))
    return LookFile(number, number, path, len(content), hashlib.md5(content).hexdigest())


def looked(node: DirectoryNode, *files: LookFile) -> LookOutcome:
    return look(LookJob(node.node, files), node, Report())


def separated(node: DirectoryNode, *files: LookFile) -> tuple[SeparateResult, ...]:
    return separate(SeparateJob(node.node, files), node, "stage", Report())


def names(node: DirectoryNode, file: LookFile) -> int:
    return os.stat(Path(node.root) / file.path).st_nlink


def test_a_look_returns_missing_copies_and_those_with_other_names(node: DirectoryNode) -> None:
    linked, plain = copy(node, "acq/a"), copy(node, "acq/b", linked=False)
    gone = LookFile(7, 7, "acq/c", 1, "0" * 32)
    (Path(node.root) / "acq/directory").mkdir()
    directory = LookFile(8, 8, "acq/directory", 1, "0" * 32)
    outcome = looked(node, linked, plain, gone, directory)
    assert (outcome.looked, outcome.linked) == (4, (linked,))
    assert [file for file, _ in outcome.lost] == [gone, directory]


def test_a_stopped_look_returns_how_far_it_came(node: DirectoryNode) -> None:
    assert look(LookJob(node.node, (copy(node, "acq/a"),)), node, Stopping()) == LookOutcome(0)


@pytest.mark.parametrize("act", [looked, separated])
def test_without_the_marker_nothing_is_reported_or_done(node: DirectoryNode, act: object) -> None:
    file = copy(node, "acq/a")
    (Path(node.root) / MARKER).unlink()
    with pytest.raises(StorageError):
        act(node, file)  # type: ignore[operator]
    assert names(node, file) == 2


@pytest.mark.parametrize("number", [1, 20])
def test_linked_files_get_bytes_of_their_own_with_mode_and_times(node: DirectoryNode, number: int) -> None:
    files = [copy(node, f"acq/{i}/f", os.urandom(3_000_000 if i == 0 else 1000)) for i in range(number)]
    before = {}
    for file in files:
        at = Path(node.root) / file.path
        at.chmod(0o640)
        os.utime(at, ns=(10**18, 10**18))
        before[file] = at.stat(), at.read_bytes()
    assert separated(node, *files) == tuple(SeparateResult(file) for file in files)
    for file in files:
        at = Path(node.root) / file.path
        status, content = before[file]
        assert (at.stat().st_nlink, at.stat().st_mode, at.stat().st_mtime_ns) == (1, status.st_mode, 10**18)
        assert at.read_bytes() == content and at.stat().st_ino != status.st_ino
        other = Path(node.root).parent / f"other-{file.path.replace('/', '-')}"
        assert other.stat().st_ino == status.st_ino and other.read_bytes() == content
    assert "stage" not in os.listdir(Path(node.root) / ".alpenhorn")


def test_a_file_that_now_has_one_name_is_left_as_it_is(node: DirectoryNode) -> None:
    file = copy(node, "acq/a", linked=False)
    inode = os.stat(Path(node.root) / file.path).st_ino
    assert separated(node, file) == (SeparateResult(file),)
    assert os.stat(Path(node.root) / file.path).st_ino == inode


def test_a_file_that_differs_from_the_index_is_reported_and_stays(node: DirectoryNode) -> None:
    short, other, gone = copy(node, "acq/a"), copy(node, "acq/b"), copy(node, "acq/c")
    short = short._replace(size_b=99)
    other = other._replace(md5sum="0" * 32)
    (Path(node.root) / "acq/c").unlink()
    unknown = copy(node, "acq/d")._replace(md5sum=None)
    good = copy(node, "acq/e")
    results = separated(node, short, other, gone, unknown, good)
    assert [bool(one.wrong) for one in results] == [True, True, True, False, False]
    assert [bool(one.left) for one in results] == [False, False, False, True, False]
    assert [names(node, file) for file in (short, other, unknown, good)] == [2, 2, 2, 1]


def test_nothing_is_begun_once_the_run_is_to_stop(node: DirectoryNode) -> None:
    file = copy(node, "acq/a")
    assert separate(SeparateJob(node.node, (file,)), node, "stage", Stopping()) == ()
    assert names(node, file) == 2


def test_a_file_replaced_while_it_is_copied_stays(node: DirectoryNode) -> None:
    file = copy(node, "acq/a")
    at = Path(node.root) / file.path

    class Replacing(Report):
        def begin(self, path: str) -> None:
            pass

        def fail(self) -> None:
            pass

        def progress(self, files: int, bytes: int) -> None:
            if files:
                (at.parent / "new").write_bytes(b"newer")
                os.replace(at.parent / "new", at)

    (result,) = separate(SeparateJob(node.node, (file,)), node, "stage", Replacing())
    assert "changed" in result.left and at.read_bytes() == b"newer"
