"""The memory of searches: the directories below a root, and their times when nothing was left to do in them.

It is the file ROOT/.alpenhorn/searched.  Its format, version 1:

    alpenhorn searched 1 NUL heading NUL { mtime blank ctime blank path NUL below NUL } checksum

Times in nanoseconds; paths are relative to the root ("" is the root); `below` holds the names of a directory's
subdirectories, joined by slashes; all as `os.fsencode` gives them.  The checksum is the CRC-32 of all before it
in eight hexadecimal digits, so that no directory gets lost with the end of a file that was cut off.

Every subdirectory of a directory that stands here stands here too, and is looked at by itself: that is why an
unchanged directory need not be listed.
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

Entry = tuple[bytes, bytes]
"""(times and path, below), as they stand in the file."""


class Memory:
    """An open memory.  A context manager; `heading` is as `write` was given it."""

    def __init__(self, root: str) -> None:
        """Raises LookupError when nothing is remembered, which is also so when anything is wrong with it."""
        try:
            self._fd = open_below(root, f"{PRIVATE}/{NAME}", os.O_RDONLY | os.O_NONBLOCK)
        except (OSError, UnsafePath) as error:
            raise LookupError(str(error)) from None
        try:
            self._end = os.fstat(self._fd).st_size - _CHECKSUM_B
            head = os.pread(self._fd, len(_MAGIC) + _LONGEST_HEADING_B, 0)
            magic, heading, end = head[: len(_MAGIC)], *head[len(_MAGIC) :].partition(b"\0")[:2]
            if magic != _MAGIC or not end:
                raise LookupError("it has no heading of ours")
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

    def whole(self) -> bool:
        """Read all of it, and tell whether it is as it was written.  Raises OSError."""
        checksum, offset = 0, 0
        while offset < self._end:
            block = os.pread(self._fd, min(_BLOCK_B, self._end - offset), offset)
            if not block:
                return False
            checksum = zlib.crc32(block, checksum)
            offset += len(block)
        return os.pread(self._fd, _CHECKSUM_B + 1, offset) == _in_digits(checksum)

    def some(self, offset: int) -> tuple[list[Entry], int]:
        """A few thousand entries from `offset` on, and the offset behind them; none: it has no more.

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

    def entries(self) -> Iterator[Entry]:
        """All of them.  Raises OSError."""
        offset = self.start
        while True:
            entries, offset = self.some(offset)
            if not entries:
                return
            yield from entries


def fields(entry: Entry) -> tuple[bytes, bytes, bytes]:
    """Mtime, ctime and path.  Raises ValueError where the entry is none."""
    mtime, ctime, path = entry[0].split(b" ", 2)
    return mtime, ctime, path


def stamp(entry: Entry) -> Stamp:
    """Raises ValueError where the entry is none."""
    mtime, ctime, path = fields(entry)
    return Stamp(os.fsdecode(path), int(mtime), int(ctime), os.fsdecode(entry[1]))


def entry_of(one: Stamp) -> Entry:
    return b"%d %d %s" % (one.mtime_ns, one.ctime_ns, os.fsencode(one.path)), os.fsencode(one.below)


def write(fd: int, heading: str, entries: Iterable[Entry]) -> None:
    """Write a memory to an empty open file.  It need not be flushed: what a power cut leaves of it is found
    to be wrong.  Raises OSError."""
    checksum = 0
    with open(fd, "wb", buffering=_BLOCK_B, closefd=False) as file:
        for part in _parts(heading, entries):
            checksum = zlib.crc32(part, checksum)
            file.write(part)
        file.write(_in_digits(checksum))


def _parts(heading: str, entries: Iterable[Entry]) -> Iterator[bytes]:
    yield _MAGIC + os.fsencode(heading) + b"\0"
    for times_and_path, below in entries:
        yield times_and_path + b"\0" + below + b"\0"


def _in_digits(checksum: int) -> bytes:
    return b"%08x" % checksum
