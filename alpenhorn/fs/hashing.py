"""The MD5 of a file, which is how the index knows one file's bytes from another's."""

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
    """Read an open file from its first byte to its last; return its length and its MD5 (hex, lower case).

    `size_hint`: the length it should have, which spares a small file a large buffer.  `stopping` is asked
    and `on_bytes` told the number of bytes after each block.  Raises OSError, and Stopped when `stopping`
    says so.
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
            raise Stopped("the run was asked to stop while a file was being read")
    return length, digest.hexdigest()
