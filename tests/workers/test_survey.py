from __future__ import annotations

import os
from pathlib import Path

import pytest

from alpenhorn.errors import StorageError
from alpenhorn.fs.remembered import Memory, stamp
from alpenhorn.io.base import DirectoryNode
from alpenhorn.model.nodes import MARKER
from alpenhorn.model.searches import RememberJob, Stamp, SurveyJob, SurveyOutcome
from alpenhorn.workers.survey import DIRECTORIES, remember, survey
from tests.io.nodes import make


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def node(root: Path) -> DirectoryNode:
    return make(root)


def current(root: Path, path: str, below: str = "") -> Stamp:
    status = os.stat(root / path)
    return Stamp(path, status.st_mtime_ns, status.st_ctime_ns, below)


def told(node: DirectoryNode, *listed: Stamp, forget: tuple[str, ...] = (), everything: bool = False) -> str:
    return remember(RememberJob(node.node, 1, "heading", forget, listed, everything), node, "run-1-1")


def looked(node: DirectoryNode, offset: int = 0) -> SurveyOutcome:
    return survey(SurveyJob(node.node, 1, offset), node)


def remembered(root: Path) -> dict[str, Stamp]:
    with Memory(str(root)) as memory:
        return {one.path: one for one in map(stamp, memory.entries())}


def test_nothing_is_remembered_of_a_new_node(node: DirectoryNode) -> None:
    assert looked(node) == SurveyOutcome()


def test_unchanged_directories_are_not_reported(node: DirectoryNode, root: Path) -> None:
    (root / "a/b").mkdir(parents=True)
    assert told(node) == ""  # .alpenhorn is there, so that the root changes no more
    assert told(node, current(root, "", "a"), current(root, "a", "b"), current(root, "a/b")) == ""
    assert looked(node) == SurveyOutcome("heading", seen=3)


def test_changed_removed_and_replaced_directories_are_reported(node: DirectoryNode, root: Path) -> None:
    names = ["same", "changed", "gone", "file", "link", "again", "moved", "came"]
    for name in names:
        (root / name).mkdir()
    stamps = {name: current(root, name, "below") for name in names}
    stamps["again"] = Stamp("again", 0, 0, "below")
    assert told(node, *stamps.values(), Stamp("file/below", 1, 1)) == ""
    (root / "changed/file").touch()
    for name in ("gone", "file", "link"):
        (root / name).rmdir()
    (root / "file").touch()
    (root / "link").symlink_to("same")
    (root / "moved").rename(root / "away")
    (root / "came").rename(root / "moved")
    outcome = looked(node)
    assert set(outcome.changed) == {stamps[name] for name in ("changed", "again", "moved")}
    assert set(outcome.gone) == {"gone", "file", "file/below", "link", "came"}
    assert outcome.next is None


def test_a_directory_that_cannot_be_looked_at_counts_as_changed(node: DirectoryNode, root: Path) -> None:
    (root / "loop").symlink_to("loop")
    assert told(node, Stamp("loop/dir", 1, 1)) == ""
    assert looked(node).changed == (Stamp("loop/dir", 1, 1),)


def test_a_large_memory_is_looked_through_in_several_jobs(node: DirectoryNode) -> None:
    number = 2 * DIRECTORIES + 10
    assert told(node, *(Stamp(f"none/{number}", 1, 1) for number in range(number))) == ""
    gone: list[str] = []
    offset: int | None = 0
    jobs = 0
    while offset is not None:
        outcome = looked(node, offset)
        assert outcome.seen < 2 * DIRECTORIES
        gone.extend(outcome.gone)
        offset = outcome.next
        jobs += 1
    assert sorted(gone) == sorted(f"none/{number}" for number in range(number))
    assert jobs > 1


def test_remembering_forgets_replaces_and_keeps(node: DirectoryNode, root: Path) -> None:
    assert told(node, *(Stamp(path, 1, 1) for path in ("", "a", "a/b", "c"))) == ""
    assert told(node, Stamp("c", 2, 2), Stamp("d\udcff", 3, 3, "x\udcfe"), forget=("a", "a/b", "none")) == ""
    assert remembered(root) == {
        "": Stamp("", 1, 1),
        "c": Stamp("c", 2, 2),
        "d\udcff": Stamp("d\udcff", 3, 3, "x\udcfe"),
    }
    assert told(node, Stamp("e", 1, 1), everything=True) == ""
    assert set(remembered(root)) == {"e"}
    assert sorted(os.listdir(root / ".alpenhorn")) == ["searched"]


@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "other"])
def test_damaged_records_of_searches_are_ignored(node: DirectoryNode, root: Path, damage: str) -> None:
    assert told(node, Stamp("a", 1, 1), Stamp("b", 1, 1)) == ""
    path = root / ".alpenhorn/searched"
    content = path.read_bytes()
    path.write_bytes(
        {
            "cut": content[: content.index(b"1 1 b")],
            "changed": content.replace(b"1 1 b", b"1 1 c"),
            "empty": b"",
            "other": b"\0" * 1000,
        }[damage]
    )
    assert looked(node) == SurveyOutcome()
    assert told(node, Stamp("c", 1, 1), everything=True) == ""
    assert looked(node).gone == ("c",)


def test_records_of_searches_that_cannot_be_written_are_reported(node: DirectoryNode, root: Path) -> None:
    (root / ".alpenhorn/searched").mkdir(parents=True)
    assert "directory" in told(node, Stamp("a", 1, 1))
    assert looked(node) == SurveyOutcome()


def test_an_absent_node_is_not_one_whose_directories_are_gone(node: DirectoryNode, root: Path) -> None:
    assert told(node, Stamp("a", 1, 1)) == ""
    (root / MARKER).unlink()
    with pytest.raises(StorageError):
        looked(node)
    with pytest.raises(StorageError):
        told(node, Stamp("b", 1, 1))
    assert set(remembered(root)) == {"a"}
