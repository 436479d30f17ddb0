"""The memory of searches, ROOT/.alpenhorn/searched: the directories below a root and their times when last listed.

Its format, version 1:

    alpenhorn searched 1 NUL heading NUL { mtime blank ctime blank path NUL below NUL } checksum

Times are in nanoseconds; paths are relative to the root ("" is the root); `below` has the names of a
directory's subdirectories, joined by slashes; all are encoded with `os.fsencode`.  The checksum is the CRC-32
of everything before it in eight hexadecimal digits, so that a truncated file is detected.

Every subdirectory of a directory in the memory is in the memory too, and is looked at itself; so an unchanged
directory need not be listed.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Iterator
from types import TracebackType

from alpenhorn.errors import UnsafePath
from alpenhorn.fs.paths import open_below
from alpenhorn.fs.placing import PRIVATE
from alpenhorn.model.searches import Stamp

NAME = "searched"
_MAGIC = b"alpenhorn searched 1\0"
_CHECKSUM_B = 8
_LONGEST_HEADING_B = 2**16
_BLOCK_B = 2**18

MemoryEntry = tuple[bytes, bytes]
"""(times and path, below), as in the file."""


class Memory:
    """An open memory, a context manager.  `heading`: as passed to `write`."""

    def __init__(self, root: str) -> None:
        """Raises LookupError if there is no memory, or it is damaged."""
        try:
            self._fd = open_below(root, f"{PRIVATE}/{NAME}", os.O_RDONLY | os.O_NONBLOCK)
        except (OSError, UnsafePath) as error:
            raise LookupError(str(error)) from None
        try:
            self._end = os.fstat(self._fd).st_size - _CHECKSUM_B
            head = os.pread(self._fd, len(_MAGIC) + _LONGEST_HEADING_B, 0)
            magic, heading, end = head[: len(_MAGIC)], *head[len(_MAGIC) :].partition(b"\0")[:2]
            if magic != _MAGIC or not end:
                raise LookupError("no valid heading")
            self.heading = os.fsdecode(heading)
            self.start = len(_MAGIC) + len(heading) + 1
        except OSError as error:
            os.close(self._fd)
            raise LookupError(str(error)) from None
        except BaseException:
            os.close(self._fd)
            raise

    def __enter__(self) -> Memory:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)

    def is_intact(self) -> bool:
        """Read the whole file, and return whether its checksum is right.  Raises OSError."""
        checksum, offset = 0, 0
        while offset < self._end:
            block = os.pread(self._fd, min(_BLOCK_B, self._end - offset), offset)
            if not block:
                return False
            checksum = zlib.crc32(block, checksum)
            offset += len(block)
        return os.pread(self._fd, _CHECKSUM_B + 1, offset) == _in_digits(checksum)

    def read_some(self, offset: int) -> tuple[list[MemoryEntry], int]:
        """Return some thousand entries from `offset` on, and the offset after them; no entries at the end.

        Raises OSError.
        """
        length = _BLOCK_B
        while True:
            data = os.pread(self._fd, max(0, min(length, self._end - offset)), offset)
            split = data.split(b"\0")
            pairs = (len(split) - 1) // 2
            if pairs or len(data) < length:
                break
            length *= 2
        used = split[: 2 * pairs]
        return list(zip(used[::2], used[1::2], strict=True)), offset + sum(map(len, used)) + len(used)

    def entries(self) -> Iterator[MemoryEntry]:
        """Yield all entries.  Raises OSError."""
        offset = self.start
        while True:
            entries, offset = self.read_some(offset)
            if not entries:
                return
            yield from entries


def fields(entry: MemoryEntry) -> tuple[bytes, bytes, bytes]:
    """Return mtime, ctime and path.  Raises ValueError for an invalid entry."""
    mtime, ctime, path = entry[0].split(b" ", 2)
    return mtime, ctime, path


def stamp(entry: MemoryEntry) -> Stamp:
    """Raises ValueError for an invalid entry."""
    mtime, ctime, path = fields(entry)
    return Stamp(os.fsdecode(path), int(mtime), int(ctime), os.fsdecode(entry[1]))


def entry_of(one: Stamp) -> MemoryEntry:
    return b"%d %d %s" % (one.mtime_ns, one.ctime_ns, os.fsencode(one.path)), os.fsencode(one.below)


def write(fd: int, heading: str, entries: Iterable[MemoryEntry]) -> None:
    """Write a memory to an empty open file.  Raises OSError.

    Needs no flush: the checksum detects what a power cut leaves of it.
    """
    checksum = 0
    with open(fd, "wb", buffering=_BLOCK_B, closefd=False) as file:
        for part in _parts(heading, entries):
            checksum = zlib.crc32(part, checksum)
            file.write(part)
        file.write(_in_digits(checksum))


def _parts(heading: str, entries: Iterable[MemoryEntry]) -> Iterator[bytes]:
    yield _MAGIC + os.fsencode(heading) + b"\0"
    for times_and_path, below in entries:
        yield times_and_path + b"\0" + below + b"\0"


def _in_digits(checksum: int) -> bytes:
    return b"%08x" % checksum
