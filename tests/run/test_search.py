from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest

from alpenhorn.errors import StorageError
from alpenhorn.io.base import Node
from alpenhorn.model import MARKER, Found, SearchJob, SearchOutcome
from alpenhorn.run.search import search
from tests.io.nodes import as_nobody, make, public_directory, put


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def node(root: Path) -> Node:
    return make(root)


def looked(node: Node, *paths: str, recurse: bool = True, settle: float = 0.0) -> SearchOutcome:
    return search(SearchJob(node.node, 1, paths, recurse, settle), node)


def found(outcome: SearchOutcome) -> set[str]:
    return {file.path for file in outcome.files}


def test_files_are_found_with_their_lengths_and_directories_returned(node: Node, root: Path) -> None:
    put(root, "acq/a", b"123")
    put(root, "acq/dir/b")
    outcome = looked(node, "acq")
    assert outcome == SearchOutcome(files=(Found("acq/a", 3),), directories=("acq/dir",))
    assert looked(node, "").directories == ("acq",)


def test_without_recursion_only_the_files_of_the_directory_are_found(node: Node, root: Path) -> None:
    put(root, "acq/a")
    put(root, "acq/dir/b")
    outcome = looked(node, "acq", recurse=False)
    assert (found(outcome), outcome.directories) == ({"acq/a"}, ())


def test_a_file_may_be_named(node: Node, root: Path) -> None:
    put(root, "acq/dir/b", b"12")
    assert looked(node, "acq/dir/b", recurse=False).files == (Found("acq/dir/b", 2),)


@pytest.mark.parametrize("name", [".hidden", MARKER, ".alpenhorn", ".a.lock"])
@pytest.mark.parametrize("directory", ["", "acq/", "acq/dir/"])
def test_names_that_are_never_imported_are_passed_over_everywhere(
    node: Node, root: Path, directory: str, name: str
) -> None:
    put(root, "acq/dir/x")
    path = f"{directory}{name}"
    if path != MARKER:
        put(root, path)
    assert path not in found(looked(node, directory.rstrip("/")))
    outcome = looked(node, path)
    assert not outcome.files
    assert outcome.declined[0][0] == path


@pytest.mark.parametrize("path", [".hidden/x", "acq/.x/y", f"{MARKER}/x", "..", "../root", "acq/../..", "."])
def test_a_request_below_such_a_name_or_out_of_the_root_is_declined(
    node: Node, root: Path, path: str
) -> None:
    put(root, ".hidden/x")
    put(root, "acq/.x/y")
    assert found(looked(node, path)) == set()
    assert looked(node, path).declined


@pytest.mark.parametrize("path", ["acq//a", "/acq", "acq/", "a\0b"])
def test_a_path_with_an_empty_element_is_declined(node: Node, root: Path, path: str) -> None:
    put(root, "acq/a")
    outcome = looked(node, path)
    assert not outcome.files
    assert outcome.declined


@pytest.mark.parametrize("path", ["acq/none", "none/none", "acq/a/below", "x" * 300])
def test_what_cannot_be_there_is_declined_for_good(node: Node, root: Path, path: str) -> None:
    put(root, "acq/a")
    outcome = looked(node, path, "acq")
    assert found(outcome) == {"acq/a"}
    assert outcome.declined[0][0] == path
    assert not outcome.error


def test_links_fifos_and_sockets_are_no_files_and_hang_nobody(node: Node, root: Path, tmp_path: Path) -> None:
    put(tmp_path, "outside/a")
    put(root, "acq/good")
    (root / "acq/link").symlink_to(root / "acq/good")
    (root / "acq/away").symlink_to(tmp_path / "outside")
    (root / "acq/dangling").symlink_to("nowhere")
    os.mkfifo(root / "acq/fifo")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(root / "acq/socket"))
        outcome = looked(node, "acq")
        assert (found(outcome), outcome.directories) == ({"acq/good"}, ())
        for name in ("link", "away", "away/a", "dangling", "fifo", "socket"):
            alone = looked(node, f"acq/{name}")
            assert not alone.files, name
            assert alone.declined, name


def test_a_file_with_a_lock_beside_it_is_left_for_later(node: Node, root: Path) -> None:
    put(root, "acq/a")
    put(root, "acq/.a.lock", b"")
    put(root, "acq/b")
    put(root, "acq/a.lock")  # is a file like any other
    outcome = looked(node, "acq")
    assert found(outcome) == {"acq/b", "acq/a.lock"}
    assert outcome.later == (("acq/a", "its lock file is there"),)
    assert looked(node, "acq/a").later


def test_a_file_that_changed_a_moment_ago_is_left_for_later(node: Node, root: Path) -> None:
    put(root, "acq/new")
    put(root, "acq/old")
    hour_ago = time.time() - 3600
    os.utime(root / "acq/old", (hour_ago, hour_ago))
    outcome = looked(node, "acq", settle=60.0)
    assert found(outcome) == {"acq/old"}
    assert [path for path, _ in outcome.later] == ["acq/new"]
    assert found(looked(node, "acq", settle=0.0)) == {"acq/new", "acq/old"}


def test_a_name_that_is_not_utf8_crosses_as_it_is(node: Node, root: Path) -> None:
    (root / "acq").mkdir()
    with open(os.fsencode(root) + b"/acq/\xff\n", "wb"):
        pass
    assert found(looked(node, "acq")) == {"acq/\udcff\n"}


def test_a_directory_that_cannot_be_read_does_not_hide_the_others() -> None:
    with public_directory() as root:
        node = make(root)
        put(root, "closed/a")
        put(root, "open/a")
        os.chmod(root / "closed", 0)
        with as_nobody():
            outcome = looked(node, "closed", "open")
        os.chmod(root / "closed", 0o700)
    assert found(outcome) == {"open/a"}
    assert "'closed'" in outcome.error
    assert "Permission denied" in outcome.error


def test_an_absent_node_is_not_an_empty_one(node: Node, root: Path) -> None:
    os.unlink(root / MARKER)
    with pytest.raises(StorageError):
        looked(node, "")
