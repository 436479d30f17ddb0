from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from alpenhorn.errors import Stopped
from alpenhorn.fs.hashing import BLOCK, md5_of


@pytest.mark.parametrize("length", [0, 1, 10_000, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 7])
@pytest.mark.parametrize("hint", [0, 1, 10_000, BLOCK, 100 * BLOCK])
def test_length_and_md5_whatever_the_hint(tmp_path: Path, length: int, hint: int) -> None:
    data = os.urandom(length)
    path = tmp_path / "f"
    path.write_bytes(data)
    if hint == 1:  # a byte at a time would take for ever
        hint = max(hint, length // 2)
    fd = os.open(path, os.O_RDONLY)
    os.lseek(fd, length, os.SEEK_SET)  # where the descriptor stands does not matter
    counts: list[int] = []
    try:
        assert md5_of(fd, max(hint, 1000), on_bytes=counts.append) == (length, hashlib.md5(data).hexdigest())
    finally:
        os.close(fd)
    assert sum(counts) == length


def test_stopping_leaves_a_long_file_within_a_block(tmp_path: Path) -> None:
    path = tmp_path / "f"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    asked: list[int] = []
    fd = os.open(path, os.O_RDONLY)
    try:
        with pytest.raises(Stopped):
            md5_of(fd, stopping=lambda: len(asked) == 3, on_bytes=asked.append)
    finally:
        os.close(fd)
    assert len(asked) == 3


def test_a_directory_raises_instead_of_being_empty(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(IsADirectoryError):
            md5_of(fd)
    finally:
        os.close(fd)
