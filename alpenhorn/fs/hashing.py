"""MD5 sums of files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable

from alpenhorn.errors import Stopped

BLOCK = 2**20


def md5_of(
    fd: int,
    size_hint: int = BLOCK,
    stopping: Callable[[], bool] | None = None,
    on_bytes: Callable[[int], None] | None = None,
) -> tuple[int, str]:
    """Read an open file completely; return its length and its MD5 sum (hexadecimal, lower case).

    `size_hint`: the expected length, to avoid a large buffer for a small file.  After each block, `on_bytes`
    is called with the number of bytes, and `stopping` without arguments.  Raises OSError, and Stopped if
    `stopping` returns true.
    """
    digest = hashlib.md5(usedforsecurity=False)
    buffer = memoryview(bytearray(min(size_hint, BLOCK) + 1))
    length = 0
    while count := os.preadv(fd, [buffer], length):
        digest.update(buffer[:count])
        length += count
        if on_bytes is not None:
            on_bytes(count)
        if stopping is not None and stopping():
            raise Stopped("the run was asked to stop while reading a file")
    return length, digest.hexdigest()
