from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest

from alpenhorn.errors import StorageError
from alpenhorn.io.base import DirectoryNode
from alpenhorn.model.nodes import MARKER
from alpenhorn.model.searches import FoundFile, SearchJob, SearchOutcome, Stamp
from alpenhorn.workers.search import ENOUGH, search
from tests.fixtures.archive import wait_for
from tests.io.nodes import as_nobody, make, public_directory, put


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def node(root: Path) -> DirectoryNode:
    return make(root)


def looked(node: DirectoryNode, *paths: str) -> SearchOutcome:
    return search(SearchJob(node.node, 1, paths), node)


def found(outcome: SearchOutcome) -> set[str]:
    return {file.path for file in outcome.files}


def below(outcome: SearchOutcome) -> list[tuple[str, str]]:
    return [(stamp.path, stamp.below) for stamp in outcome.stamps]


def test_files_and_lengths_are_found_and_directories_returned(node: DirectoryNode, root: Path) -> None:
    put(root, "acq/a", b"123")
    put(root, "acq/dir/b")
    outcome = looked(node, "acq", "")
    assert outcome.files == (FoundFile("acq/a", 3),)
    assert below(outcome) == [("acq", "dir"), ("", "acq")]
    assert outcome[2:] == ((), (), (), ())


def test_a_file_may_be_named(node: DirectoryNode, root: Path) -> None:
    put(root, "acq/dir/b", b"12")
    assert looked(node, "acq/dir/b") == SearchOutcome(files=(FoundFile("acq/dir/b", 2),))


def test_a_directory_is_stamped_with_its_times_unless_it_changed_a_moment_ago(
    node: DirectoryNode, root: Path
) -> None:
    put(root, "acq/dir/a")
    (stamp,) = looked(node, "acq").stamps
    assert stamp == Stamp("acq", 0, 0, "dir")

    def settled() -> bool:
        return time.time() - os.stat(root / "acq").st_ctime > 2.5

    wait_for(settled, "two ticks of the coarsest clock")
    (stamp,) = looked(node, "acq").stamps
    status = os.stat(root / "acq")
    assert stamp == Stamp("acq", status.st_mtime_ns, status.st_ctime_ns, "dir")


def test_after_very_many_files_the_rest_is_left_to_another_job(node: DirectoryNode, root: Path) -> None:
    for path in ("a", "b", "c"):
        (root / path).mkdir()
        for number in range(ENOUGH // 2 + 1):
            (root / path / str(number)).touch()
    outcome = looked(node, "a", "b", "c")
    assert len(outcome.files) == 2 * (ENOUGH // 2 + 1)
    assert ([stamp.path for stamp in outcome.stamps], outcome.remaining) == (["a", "b"], ("c",))


@pytest.mark.parametrize("name", [".hidden", MARKER, ".alpenhorn", ".a.lock"])
@pytest.mark.parametrize("directory", ["", "acq/", "acq/dir/"])
def test_names_that_are_never_imported_are_skipped_everywhere(
    node: DirectoryNode, root: Path, directory: str, name: str
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
    node: DirectoryNode, root: Path, path: str
) -> None:
    put(root, ".hidden/x")
    put(root, "acq/.x/y")
    assert found(looked(node, path)) == set()
    assert looked(node, path).declined


@pytest.mark.parametrize("path", ["acq//a", "/acq", "acq/", "a\0b"])
def test_a_path_with_an_empty_element_is_declined(node: DirectoryNode, root: Path, path: str) -> None:
    put(root, "acq/a")
    outcome = looked(node, path)
    assert not outcome.files
    assert outcome.declined


@pytest.mark.parametrize("path", ["acq/none", "none/none", "acq/a/below", "x" * 300])
def test_an_impossible_path_is_declined_for_good(node: DirectoryNode, root: Path, path: str) -> None:
    put(root, "acq/a")
    outcome = looked(node, path, "acq")
    assert found(outcome) == {"acq/a"}
    assert outcome.declined[0][0] == path
    assert not outcome.failed


def test_links_fifos_and_sockets_are_not_files_and_do_not_block(
    node: DirectoryNode, root: Path, tmp_path: Path
) -> None:
    put(tmp_path, "outside/a")
    put(root, "acq/good")
    (root / "acq/link").symlink_to(root / "acq/good")
    (root / "acq/away").symlink_to(tmp_path / "outside")
    (root / "acq/dangling").symlink_to("nowhere")
    os.mkfifo(root / "acq/fifo")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(root / "acq/socket"))
        outcome = looked(node, "acq")
        assert (found(outcome), below(outcome)) == ({"acq/good"}, [("acq", "")])
        for name in ("link", "away", "away/a", "dangling", "fifo", "socket"):
            alone = looked(node, f"acq/{name}")
            assert not alone.files, name
            assert alone.declined, name


def test_a_name_that_is_not_utf8_crosses_as_it_is(node: DirectoryNode, root: Path) -> None:
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
    ((path, why),) = outcome.failed
    assert path == "closed"
    assert "'closed'" in why
    assert "Permission denied" in why
    assert [stamp.path for stamp in outcome.stamps] == ["open"]


def test_an_absent_node_is_not_an_empty_one(node: DirectoryNode, root: Path) -> None:
    os.unlink(root / MARKER)
    with pytest.raises(StorageError):
        looked(node, "")


def test_a_directory_that_is_another_nodes_root_is_not_looked_into(node: DirectoryNode, root: Path) -> None:
    put(root, "acq/vault/inner/f")
    put(root, f"acq/vault/{MARKER}", b"vault\nnotes\n")
    put(root, "acq/g")
    outcome = looked(node, "acq", "acq/vault", "acq/vault/inner", "acq/vault/inner/f")
    assert found(outcome) == {"acq/g"}
    assert below(outcome) == [("acq", "vault"), ("acq/vault", "")]
    assert outcome.stamps[1] == Stamp("acq/vault", 0, 0)  # listed again in each run
    assert outcome.others == tuple(
        (path, "acq/vault", "vault") for path in ("acq/vault", "acq/vault/inner", "acq/vault/inner/f")
    )


def test_an_unreadable_marker_still_counts_as_a_marker(node: DirectoryNode, root: Path) -> None:
    put(root, "vault/f")
    os.symlink("nowhere", root / "vault" / MARKER)
    outcome = looked(node, "vault")
    assert outcome.others == (("vault", "vault", ""),) and not outcome.files
