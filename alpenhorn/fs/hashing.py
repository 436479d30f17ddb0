"""MD5 and SHA-256 sums of files, both from one reading."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from typing import NamedTuple

from alpenhorn.errors import Stopped

BLOCK = 2**20


class Digests(NamedTuple):
    """The sums of some bytes, hexadecimal and in lower case.  `sha256`: "" if it was not computed."""

    md5: str
    sha256: str = ""

    def agree(self, md5sum: str, sha256: str | None) -> bool:
        """Return whether these are the sums that are known.  `sha256`: "" or None if none is known."""
        return self.md5 == md5sum and not self.other_sha256(sha256)

    def other_sha256(self, sha256: str | None) -> bool:
        """Return whether a SHA-256 sum is known, was computed, and is another one."""
        return bool(sha256 and self.sha256) and self.sha256 != sha256


class Hasher:
    """Computes the MD5 sum of the bytes that it is given and, if wanted, the SHA-256 sum."""

    def __init__(self, sha256: bool = False) -> None:
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha256 = hashlib.sha256(usedforsecurity=False) if sha256 else None

    def update(self, block: bytes | memoryview) -> None:
        self._md5.update(block)
        if self._sha256 is not None:
            self._sha256.update(block)

    def digests(self) -> Digests:
        return Digests(self._md5.hexdigest(), "" if self._sha256 is None else self._sha256.hexdigest())


def digests_of(
    fd: int,
    size_hint: int = BLOCK,
    stopping: Callable[[], bool] | None = None,
    on_bytes: Callable[[int], None] | None = None,
    *,
    sha256: bool = False,
) -> tuple[int, Digests]:
    """Read an open file completely; return its length and its MD5 sum and, if wanted, its SHA-256 sum.

    `size_hint`: the expected length, to avoid a large buffer for a small file, and a read that finds nothing.  After
    each block, `on_bytes` is called with the number of bytes, and `stopping` without arguments.  Raises OSError, and
    Stopped if `stopping` returns true.
    """
    hasher = Hasher(sha256)
    buffer = memoryview(bytearray(min(size_hint, BLOCK) + 1))
    length = 0
    while count := os.preadv(fd, [buffer], length):
        hasher.update(buffer[:count])
        length += count
        if on_bytes is not None:
            on_bytes(count)
        if stopping is not None and stopping():
            raise Stopped("the run was asked to stop while reading a file")
        if count < len(buffer) and length == size_hint:
            break  # less was read than requested, which is the end of a file
    return length, hasher.digests()
