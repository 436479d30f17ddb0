from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from alpenhorn.errors import Stopped
from alpenhorn.model.tasks import Blame
from alpenhorn.transfer.blame import TransferFailed
from alpenhorn.transfer.copy import CHUNK, SMALL, copy

BIG = 2 * CHUNK + 12345


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "stage").mkdir()
    fd = os.open(tmp_path / "stage", os.O_RDONLY)
    yield fd
    os.close(fd)


def bring(path: Path, stage: int, data: bytes, flush: bool = False, **options: object) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        copy(fd, stage, "0", len(data), hashlib.md5(data).hexdigest(), flush=flush, **options)  # type: ignore[arg-type]
    finally:
        os.close(fd)


def arrived(tmp_path: Path) -> bytes:
    return (tmp_path / "stage" / "0").read_bytes()


@pytest.mark.parametrize("size_b", [0, 1, 10_000, SMALL, SMALL + 1, CHUNK, BIG])
@pytest.mark.parametrize("flush", [False, True])
def test_bytes_mode_and_times_arrive(tmp_path: Path, stage: int, size_b: int, flush: bool) -> None:
    data = os.urandom(size_b)
    source = tmp_path / "source"
    source.write_bytes(data)
    source.chmod(0o400)
    os.utime(source, ns=(1_600_000_000_123_456_789, 1_500_000_000_987_654_321))
    counted: list[int] = []
    bring(source, stage, data, flush, on_bytes=counted.append)
    assert arrived(tmp_path) == data
    status = (tmp_path / "stage" / "0").stat()
    assert stat.S_IMODE(status.st_mode) == 0o400
    assert status.st_mtime_ns == 1_500_000_000_987_654_321
    assert sum(counted) == size_b


@pytest.mark.parametrize("mode", [0o400, 0o644, 0o4755, 0o2640])
@pytest.mark.parametrize("umask", [0o022, 0o077])
@pytest.mark.parametrize("left", [False, True])
def test_the_mode_is_kept_whatever_the_umask_and_a_former_attempt(
    tmp_path: Path, stage: int, mode: int, umask: int, left: bool
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x")
    if os.geteuid() == 0:
        os.chown(source, 1234, 4321)  # a change of the owner clears some bits
    source.chmod(mode)
    if left:
        (tmp_path / "stage" / "0").touch()
        (tmp_path / "stage" / "0").chmod(mode)
    before = os.umask(umask)
    try:
        bring(source, stage, b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "stage" / "0").stat().st_mode) == mode


def test_root_keeps_the_owner_and_others_own_what_they_copy(tmp_path: Path, stage: int) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x")
    owner = (1234, 4321) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    os.chown(source, *owner)
    bring(source, stage, b"x")
    status = (tmp_path / "stage" / "0").stat()
    assert (status.st_uid, status.st_gid) == owner


def test_holes_arrive_as_holes(tmp_path: Path, stage: int) -> None:
    source = tmp_path / "source"
    with source.open("wb") as file:
        file.truncate(3 * CHUNK)
        file.seek(CHUNK + 7)
        file.write(b"in the middle")
    data = source.read_bytes()
    bring(source, stage, data)
    assert arrived(tmp_path) == data
    os.sync()
    assert (tmp_path / "stage" / "0").stat().st_blocks * 512 < CHUNK


def test_a_file_that_is_one_hole_arrives(tmp_path: Path, stage: int) -> None:
    source = tmp_path / "source"
    with source.open("wb") as file:
        file.truncate(BIG)
    bring(source, stage, bytes(BIG))
    assert arrived(tmp_path) == bytes(BIG)


@pytest.mark.parametrize("part", [1, CHUNK, BIG - 1, BIG])
def test_a_part_is_continued_and_not_copied_again(tmp_path: Path, stage: int, part: int) -> None:
    data = os.urandom(BIG)
    source = tmp_path / "source"
    source.write_bytes(data)
    left = tmp_path / "stage" / "0"
    left.write_bytes(data[:part])
    left.chmod(0o400)
    inode = left.stat().st_ino
    counted: list[int] = []
    bring(source, stage, data, on_bytes=counted.append)
    assert arrived(tmp_path) == data
    assert left.stat().st_ino == inode
    assert sum(counted) == BIG, "the part counts as done, and nothing was copied twice"


@pytest.mark.parametrize("left", [b"rotten", b"x" * (BIG + 1)])
def test_a_part_of_something_else_is_dropped_and_copied_anew(tmp_path: Path, stage: int, left: bytes) -> None:
    data = os.urandom(BIG)
    source = tmp_path / "source"
    source.write_bytes(data)
    (tmp_path / "stage" / "0").write_bytes(left)
    bring(source, stage, data)
    assert arrived(tmp_path) == data


@pytest.mark.parametrize("size_b", [10_000, BIG])
@pytest.mark.parametrize("change", ["rot", "truncate", "grow"])
def test_a_source_that_is_not_what_the_index_says_is_to_blame(
    tmp_path: Path, stage: int, size_b: int, change: str
) -> None:
    data = os.urandom(size_b)
    found = {"rot": data[:-1] + bytes([data[-1] ^ 1]), "truncate": data[:-1], "grow": data + b"x"}[change]
    source = tmp_path / "source"
    source.write_bytes(found)
    with pytest.raises(TransferFailed, match="MD5" if change == "rot" else "length") as failed:
        bring(source, stage, data)
    assert failed.value.blame is Blame.SOURCE


@pytest.mark.parametrize("change", ["truncate", "overwrite"])
def test_a_source_that_changes_while_it_is_read_is_to_blame(tmp_path: Path, stage: int, change: str) -> None:
    data = os.urandom(BIG)
    source = tmp_path / "source"
    source.write_bytes(data)

    def interfere(count: int) -> None:
        if change == "truncate":
            os.truncate(source, CHUNK)
        else:
            with source.open("r+b") as file:
                file.seek(BIG - 10)
                file.write(b"other")

    with pytest.raises(TransferFailed) as failed:
        bring(source, stage, data, on_bytes=interfere)
    assert failed.value.blame is Blame.SOURCE


def test_wrong_bytes_from_a_good_source_are_blamed_on_the_destination(tmp_path: Path, stage: int) -> None:
    data = os.urandom(BIG)
    source = tmp_path / "source"
    source.write_bytes(data)

    def rot(count: int) -> None:
        fd = os.open("0", os.O_WRONLY, dir_fd=stage)
        os.pwrite(fd, b"rotten", BIG + 5)
        os.close(fd)

    with pytest.raises(TransferFailed) as failed:
        bring(source, stage, data, on_bytes=rot)
    assert failed.value.blame is Blame.DESTINATION


@pytest.mark.parametrize("kind", ["directory", "fifo"])
def test_an_irregular_source_is_to_blame(tmp_path: Path, stage: int, kind: str) -> None:
    source = tmp_path / "source"
    if kind == "directory":
        source.mkdir()
    else:
        os.mkfifo(source)
    with pytest.raises(TransferFailed, match="not a regular file") as failed:
        bring(source, stage, b"")
    assert failed.value.blame is Blame.SOURCE


@pytest.mark.parametrize("size_b", [10_000, BIG])
def test_a_limit_of_file_lengths_blames_neither_side(tmp_path: Path, stage: int, size_b: int) -> None:
    data = os.urandom(size_b)
    source = tmp_path / "source"
    source.write_bytes(data)
    child = os.fork()
    if child == 0:
        import resource
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size_b // 2, size_b // 2))
        try:
            bring(source, stage, data)
        except TransferFailed as error:
            os._exit(0 if error.blame is Blame.UNKNOWN and error.full else 2)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_stopping_leaves_a_part_that_can_be_continued(tmp_path: Path, stage: int) -> None:
    data = os.urandom(BIG)
    source = tmp_path / "source"
    source.write_bytes(data)
    counted: list[int] = []
    with pytest.raises(Stopped):
        bring(source, stage, data, on_bytes=counted.append, stopping=lambda: len(counted) == 1)
    assert arrived(tmp_path) == data[:CHUNK]
    bring(source, stage, data)
    assert arrived(tmp_path) == data
