from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from alpenhorn.errors import Stopped
from alpenhorn.fs.hashing import BLOCK, Digests, digests_of


@pytest.mark.parametrize("length", [0, 1, 10_000, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 7])
@pytest.mark.parametrize("hint", [0, 1, 10_000, BLOCK, 100 * BLOCK])
def test_length_and_sums_whatever_the_hint(tmp_path: Path, length: int, hint: int) -> None:
    data = os.urandom(length)
    path = tmp_path / "f"
    path.write_bytes(data)
    if hint == 1:  # a byte at a time would take for ever
        hint = max(hint, length // 2)
    fd = os.open(path, os.O_RDONLY)
    os.lseek(fd, length, os.SEEK_SET)  # where the descriptor stands does not matter
    counts: list[int] = []
    try:
        hint = max(hint, 1000)
        md5, sha256 = hashlib.md5(data).hexdigest(), hashlib.sha256(data).hexdigest()
        assert digests_of(fd, hint, on_bytes=counts.append) == (length, Digests(md5))
        assert digests_of(fd, hint, sha256=True) == (length, Digests(md5, sha256))
    finally:
        os.close(fd)
    assert sum(counts) == length


def test_sums_agree_as_far_as_both_are_known() -> None:
    both, one = Digests("m", "s"), Digests("m")
    assert both.agree("m", None) and both.agree("m", "") and both.agree("m", "s")
    assert not both.agree("m", "t") and not both.agree("n", "s")
    assert one.agree("m", "s")  # it was not computed


def test_stopping_leaves_a_long_file_within_a_block(tmp_path: Path) -> None:
    path = tmp_path / "f"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    asked: list[int] = []
    fd = os.open(path, os.O_RDONLY)
    try:
        with pytest.raises(Stopped):
            digests_of(fd, stopping=lambda: len(asked) == 3, on_bytes=asked.append)
    finally:
        os.close(fd)
    assert len(asked) == 3


def test_a_directory_raises_instead_of_being_empty(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(IsADirectoryError):
            digests_of(fd)
    finally:
        os.close(fd)
