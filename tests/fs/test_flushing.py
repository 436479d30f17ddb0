"""Which files are flushed, according to strace, and the effects of a failed flush."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from alpenhorn.errors import StorageError
from alpenhorn.fs.flushing import FEW, Flusher
from tests.fixtures.images import Image

SCRIPT = """
import json, os, sys
from alpenhorn.fs.flushing import Flusher
root, files, names = json.load(sys.stdin)
with Flusher(root) as flusher:
    for path in files:
        fd = os.open(os.path.join(root, path), os.O_RDONLY)
        flusher.add_file(fd, path, os.fstat(fd).st_dev)
        os.close(fd)
    for name in names:
        flusher.add_name(name)
    try:
        flusher.flush()
    except OSError as error:
        print(os.strerror(error.errno), end="")
"""
CALL = re.compile(r"(fsync|syncfs)\(\d+<(.*?)>\)")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    root.mkdir()
    return root


def put(root: Path, *paths: str) -> list[str]:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x" * 5000)
    return list(paths)


def flushed(
    root: Path, files: Sequence[str] = (), names: Sequence[str] = (), inject: str = ""
) -> tuple[list[tuple[str, str]], str]:
    """Return the calls, each with the path below the root, and the exception."""
    out = root.parent / "strace.out"
    argv = ["strace", "-f", "-y", "-qq", "-e", "trace=fsync,syncfs", "-o", str(out)]
    argv += ["-e", f"inject={inject}"] if inject else []
    ended = subprocess.run(
        [*argv, sys.executable, "-c", SCRIPT],
        input=json.dumps([str(root), files, names]),
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": os.getcwd()},
    )
    calls = CALL.findall(out.read_text())
    return [(call, os.path.relpath(path, root)) for call, path in calls], ended.stdout


def test_nothing_is_flushed_if_nothing_was_done(root: Path) -> None:
    assert flushed(root) == ([], "")


def test_a_few_files_are_flushed_one_by_one_and_then_the_names_that_lead_to_them(root: Path) -> None:
    files = put(root, "acq/a", "acq/dir/b", "acq/dir/c")
    assert flushed(root, files) == (
        [("fsync", path) for path in ("acq/a", "acq/dir/b", "acq/dir/c", "acq/dir", "acq", ".")],
        "",
    )


def test_many_files_are_flushed_with_one_call(root: Path) -> None:
    files = put(root, *(f"acq/{number}" for number in range(FEW + 1)))
    assert flushed(root, files) == ([("syncfs", ".")], "")


def test_many_directories_are_flushed_with_one_call(root: Path) -> None:
    names = put(root, *(f"acq/{number}/f" for number in range(2 * FEW)))
    assert flushed(root, names=names) == ([("syncfs", ".")], "")


def test_a_removed_name_is_flushed_in_the_nearest_remaining_directory(root: Path) -> None:
    put(root, "acq/other")
    os.symlink("acq", root / "link")
    names = ["acq/dir/deep/a", "acq/other/b", "none/c", "link/d"]
    assert flushed(root, names=names) == ([("fsync", "acq"), ("fsync", ".")], "")


def test_a_file_system_that_is_mounted_below_is_flushed_too(root: Path, tmp_path: Path) -> None:
    image = Image(tmp_path / "image", 16)
    put(root, "acq/f")
    with image.mounted(root / "acq" / "disk") as below:
        many = put(root, *(f"acq/disk/dir/{number}" for number in range(FEW + 1)))
        assert flushed(root, many) == ([("syncfs", "."), ("syncfs", "acq/disk/dir/0")], "")
        gone = [f"acq/disk/{number}/f" for number in range(3 * FEW)]
        assert flushed(root, names=gone) == ([("syncfs", "."), ("syncfs", "acq/disk")], "")
        assert flushed(root, names=["acq/disk/f"])[0] == [("fsync", at) for at in ("acq/disk", "acq", ".")]
        assert below.is_mount()


def test_a_file_system_without_such_a_call_is_flushed_as_a_whole() -> None:
    """Like 9p and file systems on optical disks; proc is always available."""
    with pytest.raises(OSError, match="Invalid argument"):
        fd = os.open("/proc/sys", os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
    with Flusher("/proc/sys") as flusher:
        flusher.add_name("none")
        flusher.flush()


@pytest.mark.parametrize("number", [1, FEW + 1])
@pytest.mark.parametrize("error", ["EIO", "ENOSPC", "EROFS", "EDQUOT"])
def test_a_failed_flush_is_reported_and_not_retried(root: Path, number: int, error: str) -> None:
    files = put(root, *(f"acq/{i}" for i in range(number)))
    calls, said = flushed(root, files, inject=f"fsync,syncfs:error={error}")
    assert len(calls) == 1 and said


def resident(path: Path) -> int:
    """Return the number of bytes of a file in the page cache."""
    argv = ["fincore", "--bytes", "--noheadings", "--output", "RES", path]
    return int(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)


@pytest.mark.parametrize("number", [1, FEW + 1])
def test_after_a_flush_that_failed_the_files_are_read_from_the_disk(
    root: Path, tmp_path: Path, number: int
) -> None:
    """Bytes that could not be written stay in the page cache as if written, and the next flush does nothing."""
    with Image(tmp_path / "image", 16).mounted(root):
        files = put(root, *(f"acq/{i}" for i in range(number)))
        assert flushed(root, files)[1] == "" and all(resident(root / path) for path in files)
        assert flushed(root, files, inject="fsync,syncfs:error=EIO")[1]
        assert not any(resident(root / path) for path in files)


@pytest.mark.parametrize("number", [1, FEW + 1])
def test_a_disk_that_turned_read_only_has_not_been_flushed(root: Path, tmp_path: Path, number: int) -> None:
    image = Image(tmp_path / "image", 16)
    with image.mounted(root, "loop,errors=remount-ro") as at, Flusher(str(at)) as flusher:
        for path in put(at, *(f"acq/{i}" for i in range(number))):
            fd = os.open(at / path, os.O_RDONLY)
            flusher.add_file(fd, path, os.fstat(fd).st_dev)
            os.close(fd)
        image.fail()
        with pytest.raises(OSError, match="ead-only"):
            flusher.flush()


def test_a_disk_that_is_read_only_has_nothing_to_be_flushed(root: Path, tmp_path: Path) -> None:
    image = Image(tmp_path / "image", 16)
    with image.mounted(root) as at:
        put(at, *(f"acq/{i}" for i in range(FEW + 1)))
    with image.mounted(root, "loop,ro") as at:
        for number in (1, FEW + 1):
            assert flushed(at, [f"acq/{i}" for i in range(number)])[1] == ""


def test_a_root_that_is_not_there_is_reported(root: Path) -> None:
    with pytest.raises(StorageError, match="cannot be opened: No such file"):
        Flusher(str(root / "none"))
