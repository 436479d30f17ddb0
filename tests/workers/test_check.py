from __future__ import annotations

import os
import shutil
import socket
import stat
from pathlib import Path

import pytest

from alpenhorn.errors import StorageError
from alpenhorn.io.base import DirectoryNode
from alpenhorn.model.checks import CheckFile, CheckJob, CheckResult
from alpenhorn.model.nodes import MARKER
from alpenhorn.model.tasks import Verdict
from alpenhorn.workers.check import check
from tests.fixtures.images import Image
from tests.io.nodes import Report, as_nobody, make, public_directory, put

CONTENT = b"0123456789"
SUM = "781e5e245d69b566979b86e28d23f2c7"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def node(root: Path) -> DirectoryNode:
    return make(root)


def file(path: str = "acq/a", size_b: int | None = 10, md5sum: str | None = SUM) -> CheckFile:
    return CheckFile(1, 2, path, size_b, md5sum)


def checked(node: DirectoryNode, *files: CheckFile, report: Report | None = None) -> tuple[CheckResult, ...]:
    return check(CheckJob(node.node, files), node, report or Report())


def verdict(node: DirectoryNode, of: CheckFile) -> Verdict:
    (result,) = checked(node, of)
    assert bool(result.error) is (result.verdict is not Verdict.GOOD)
    return result.verdict


def test_equal_bytes_are_good(node: DirectoryNode, root: Path) -> None:
    put(root, "acq/a", CONTENT)
    (result,) = checked(node, file())
    assert result.verdict is Verdict.GOOD
    assert result.space_b == os.stat(root / "acq/a").st_blocks * 512
    assert verdict(node, file(md5sum=SUM.upper())) is Verdict.GOOD


def test_an_empty_file_is_good(node: DirectoryNode, root: Path) -> None:
    md5sum = put(root, "acq/a", b"")
    assert verdict(node, file(size_b=0, md5sum=md5sum)) is Verdict.GOOD


@pytest.mark.parametrize("path", ["acq/a", "acq/dir/deeper/a"])
def test_an_absent_file_is_missing(node: DirectoryNode, path: str) -> None:
    assert verdict(node, file(path)) is Verdict.MISSING


def test_a_path_below_a_file_is_missing(node: DirectoryNode, root: Path) -> None:
    put(root, "acq/a", CONTENT)
    assert verdict(node, file("acq/a/b")) is Verdict.MISSING


@pytest.mark.parametrize(
    "content", [b"", CONTENT[:9], CONTENT + b"x", b"x" + CONTENT[1:], CONTENT[:9] + b"x"]
)
def test_other_bytes_are_corrupt(node: DirectoryNode, root: Path, content: bytes) -> None:
    put(root, "acq/a", content)
    assert verdict(node, file()) is Verdict.CORRUPT


def test_a_difference_far_into_a_long_file_is_found(node: DirectoryNode, root: Path) -> None:
    content = bytearray(3 * 2**20 + 17)
    good = put(root, "acq/a", bytes(content))
    assert verdict(node, file(size_b=len(content), md5sum=good)) is Verdict.GOOD
    content[-1] = 1
    put(root, "acq/a", bytes(content))
    assert verdict(node, file(size_b=len(content), md5sum=good)) is Verdict.CORRUPT


def test_a_symbolic_link_to_the_right_bytes_is_not_the_file(
    node: DirectoryNode, root: Path, tmp_path: Path
) -> None:
    put(tmp_path, "outside", CONTENT)
    (root / "acq").mkdir()
    (root / "acq/a").symlink_to(tmp_path / "outside")
    found = checked(node, file())[0]
    assert found.verdict is Verdict.CORRUPT
    assert found.error == "'acq/a' on node disk is a symbolic link, not a regular file"


def test_situation_11_a_link_on_the_way_to_a_copy_says_nothing_of_the_copy(
    node: DirectoryNode, root: Path, tmp_path: Path
) -> None:
    put(tmp_path, "outside/a", CONTENT)
    (root / "acq").symlink_to(tmp_path / "outside")
    assert verdict(node, file()) is Verdict.UNREADABLE


def test_situation_11_a_socket_or_a_device_is_not_the_file(node: DirectoryNode, root: Path) -> None:
    (root / "acq").mkdir()
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(root / "acq/socket"))
    os.mknod(root / "acq/device", stat.S_IFCHR | 0o600, os.makedev(240, 99))  # no driver has that one
    for name, kind in (("socket", "a socket"), ("device", "a device")):
        found = checked(node, file(f"acq/{name}"))[0]
        assert found.verdict is Verdict.CORRUPT and f"is {kind}, not a regular file" in found.error


def test_a_fifo_or_a_directory_is_not_the_file_and_does_not_block(node: DirectoryNode, root: Path) -> None:
    (root / "acq").mkdir()
    os.mkfifo(root / "acq/fifo")
    (root / "acq/dir").mkdir()
    assert verdict(node, file("acq/fifo")) is Verdict.CORRUPT
    assert verdict(node, file("acq/dir")) is Verdict.CORRUPT


@pytest.mark.parametrize("closed", ["acq/a", "acq"])
def test_an_unreadable_file_is_neither_corrupt_nor_missing_and_the_others_are_checked(closed: str) -> None:
    with public_directory() as root:
        node = make(root)
        put(root, "acq/a", CONTENT)
        put(root, "other/a", CONTENT)
        os.chmod(root / closed, 0)
        with as_nobody():
            first, second = checked(node, file(), file("other/a"))
        os.chmod(root / closed, 0o700)
    assert first.verdict is Verdict.UNREADABLE
    assert "Permission denied" in first.error
    assert second.verdict is Verdict.GOOD


def test_a_node_that_is_not_there_gives_no_verdict(node: DirectoryNode, root: Path) -> None:
    put(root, "acq/a", CONTENT)
    os.unlink(root / MARKER)
    with pytest.raises(StorageError):
        checked(node, file())


def test_a_node_that_goes_away_meanwhile_turns_nothing_missing(node: DirectoryNode, root: Path) -> None:
    content = b"x" * 2**21
    first = file("acq/a", len(content), put(root, "acq/a", content))
    put(root, "acq/b", CONTENT)

    def unmount() -> None:
        if root.exists():
            root.rename(root.with_name("gone"))
            root.mkdir()

    with pytest.raises(StorageError):
        checked(node, first, file("acq/b"), report=Report(on_bytes=unmount))


def test_files_in_a_directory_that_was_replaced_meanwhile_are_not_missing(
    node: DirectoryNode, root: Path
) -> None:
    """The worker has the former directory open."""
    put(root, "acq/a", CONTENT)

    def replace() -> None:
        if not os.path.lexists(root / "acq/b"):
            (root / "acq").rename(root / "former")
            put(root, "acq/b", CONTENT)

    first, second = checked(node, file("acq/a"), file("acq/b"), report=Report(on_bytes=replace))
    assert (first.verdict, second.verdict) == (Verdict.GOOD, Verdict.GOOD)


def test_a_node_that_goes_away_after_all_files_are_read_gives_no_verdict(
    node: DirectoryNode, root: Path
) -> None:
    put(root, "acq/a", CONTENT)

    def unmount() -> None:
        root.rename(root.with_name("gone"))
        root.mkdir()

    with pytest.raises(StorageError):
        checked(node, file("acq/a"), report=Report(on_bytes=unmount))


def test_another_nodes_disk_that_is_mounted_meanwhile_turns_nothing_missing(
    node: DirectoryNode, root: Path
) -> None:
    put(root, "acq/a", CONTENT)

    def swap() -> None:
        shutil.rmtree(root)
        make(root, "another")

    with pytest.raises(StorageError, match="another"):
        checked(node, file(), file("acq/b"), report=Report(on_bytes=swap))


def test_a_run_that_stops_keeps_what_is_done(node: DirectoryNode, root: Path) -> None:
    content = b"x" * 3 * 2**20
    big = file("acq/big", len(content), put(root, "acq/big", content))
    put(root, "acq/a", CONTENT)
    report = Report(most=2)
    results = checked(node, file(), big, file(), report=report)
    assert [result.verdict for result in results] == [Verdict.GOOD]
    assert report.files == 1


def test_progress_counts_files_and_bytes(node: DirectoryNode, root: Path) -> None:
    put(root, "acq/a", CONTENT)
    report = Report()
    checked(node, file(), file("acq/none"), report=report)
    assert (report.files, report.bytes) == (2, 10)


def test_a_node_that_goes_away_meanwhile_turns_nothing_unreadable(node: DirectoryNode, root: Path) -> None:
    """The object there may give errors other than a missing file."""
    content = b"x" * 2**21
    first = file("acq/a", len(content), put(root, "acq/a", content))
    put(root, "acq/b", CONTENT)

    def swap() -> None:
        if root.is_dir():
            root.rename(root.with_name("gone"))
            root.mkdir()
            (root / "acq").symlink_to(root.with_name("gone") / "acq")

    with pytest.raises(StorageError):
        checked(node, first, file("acq/b"), report=Report(on_bytes=swap))


@pytest.mark.parametrize("others", [0, 20])
@pytest.mark.parametrize("had", ["M", "Y"])
def test_a_copy_that_cannot_be_flushed_is_neither_good_nor_missing(
    root: Path, tmp_path: Path, others: int, had: str
) -> None:
    """The data read may have been in memory only, and a removed file may be back after a power failure."""
    image = Image(tmp_path / "image", 16)
    with image.mounted(root, "loop,errors=remount-ro"):
        node = make(root)
        put(root, "acq/a", CONTENT)
        put(root, "acq/corrupt", b"x" * 10)
        for i in range(others):
            put(root, f"acq/{i}", CONTENT)
        paths = ("acq/a", "acq/gone", "acq/corrupt", *(f"acq/{i}" for i in range(others)))
        files = [file(path)._replace(has_file=had) for path in paths]
        good = [Verdict.GOOD, Verdict.MISSING, Verdict.CORRUPT] + [Verdict.GOOD] * others
        assert [result.verdict for result in checked(node, *files)] == good
        put(root, "acq/a", CONTENT)  # once more, so that there is something to be written
        results = checked(node, *files, report=Report(on_bytes=image.fail))
    for result, before in zip(results, good, strict=True):
        expected = Verdict.CORRUPT if before is Verdict.CORRUPT else Verdict.UNREADABLE
        assert result.verdict is expected
        assert ("cannot be flushed" in result.error) is (expected is Verdict.UNREADABLE)


@pytest.mark.parametrize("had", ["Y", "M", "X"])
def test_another_file_at_the_path_is_reported_with_length_and_sum(
    node: DirectoryNode, root: Path, had: str
) -> None:
    """For a copy that was good, a wrong length is enough, and the file is not read."""
    other = put(root, "acq/a", b"another")
    report = Report()
    (result,) = checked(node, file()._replace(has_file=had), report=report)
    assert result.verdict is Verdict.CORRUPT and "its length is 7 bytes, the index says 10" in result.error
    assert (other in result.error) is (had != "Y")
    same_length = put(root, "acq/a", b"9876543210")
    (result,) = checked(node, file()._replace(has_file=had))
    assert same_length in result.error
