"""Read files from a tar stream as it arrives.

POSIX describes the formats ustar and pax (pax(1), "Extended Description"); GNU tar and bsdtar write them with
--format=pax.  The module tarfile of the standard library reads far more of them, but takes five times as long.

Nothing in a stream is believed: tar pads files that shrink while it reads them, and cuts those that grow.  A
member is only a proposal for a file, which the caller verifies.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import NamedTuple

BLOCK = 512
RECORDS_LONGEST = 2**16  # bytes; the longest path has 4096
UNUSED_MOST = 64 * 2**20  # bytes of a stream besides the files asked for; thousands of headers take 6 MiB

_END = bytes(BLOCK)
_REGULAR = frozenset((b"0", b"\0"))
_SPARSE = b"GNU.sparse."


class Member(NamedTuple):
    """A regular file in a stream, with all its bytes.

    `path`: as it was asked for.  `user`, `group`: names, b"" if the other host knows none.
    """

    path: bytes
    data: bytes
    mode: int
    uid: int
    gid: int
    user: bytes
    group: bytes
    mtime_ns: int


class TarReader:
    """Reads a stream.  `ended`: the end of the archive was reached.  `broken`: the rest is of no use.

    `wanted`: the lengths of the files asked for, in bytes, by path.  All other members are skipped, also those of
    another length.  The stream has each path with a "./" before it.  Not more than one incomplete file is kept.
    """

    def __init__(self, wanted: Mapping[bytes, int]) -> None:
        self.ended = False
        self.broken = False
        self._wanted = wanted
        self._buffer = bytearray()
        self._needed = BLOCK  # bytes in the buffer for the next step
        self._left = sum(wanted.values()) + UNUSED_MOST  # bytes; an endless stream must end some time
        self._skip = 0  # bytes of a member that is not used
        self._records: dict[bytes, bytes] = {}  # about the next member
        self._sparse = False  # the next member has its data in a format of its own

    def feed(self, data: bytes | memoryview) -> list[Member]:
        """Take the next bytes of the stream, and return the files that are complete now."""
        found: list[Member] = []
        if self.ended or self.broken:
            return found
        self._left -= len(data)
        if self._left < 0:
            self.broken = True
            return found
        if self._skip >= len(data) and not self._buffer:
            self._skip -= len(data)
            return found
        self._buffer += data
        at = 0
        try:
            while not self.ended and len(self._buffer) - at >= self._needed:
                at = self._step(at, found)
        except (ValueError, OverflowError):
            self.broken = True
        if self.ended or self.broken:
            self._buffer.clear()
        else:
            del self._buffer[:at]
        return found

    def _step(self, at: int, found: list[Member]) -> int:
        """Read a header at an offset of the buffer, with what follows it; return the offset of the next one.

        If more bytes are needed, sets `_needed` and returns the same offset.  Raises ValueError and OverflowError
        for what tar does not write.
        """
        buffer = self._buffer
        if self._skip:
            step = min(self._skip, len(buffer) - at)
            self._skip -= step
            return at + step
        self._needed = BLOCK
        header = bytes(buffer[at : at + BLOCK])
        if header == _END:
            self.ended = True  # a second such block follows, and padding
            return at
        _check_sum(header)
        records = self._records
        size = int(records[b"size"]) if b"size" in records else _octal(header[124:136])
        data = at + BLOCK
        end = data + -(-size // BLOCK) * BLOCK
        kind = header[156:157]
        is_records = kind == b"x"
        if size < 0 or kind == b"g" or (is_records and size > RECORDS_LONGEST):
            raise ValueError(kind)
        path = b"" if is_records else _path(header, records)
        if is_records or (kind in _REGULAR and self._wanted.get(path) == size and not self._sparse):
            if len(buffer) < end:
                self._needed = end - at
                return at
            content = bytes(buffer[data : data + size])
            if is_records:
                self._records = _parse_records(content)
                self._sparse = _SPARSE in content and any(key.startswith(_SPARSE) for key in self._records)
                return end
            found.append(_member(header, records, path, content))
        else:
            self._skip = end - data
            end = data
        self._records = {}
        self._sparse = False
        return end


def _check_sum(header: bytes) -> None:
    """Raise ValueError unless the sum of the bytes is the one in the header, where its own field counts as blanks.

    The lower half of an Adler-32 sum is 1 plus the sum of the bytes, modulo 65521, and takes a fiftieth of the time
    of adding the bytes up in Python.
    """
    field = header[148:156]
    total = (zlib.adler32(header) & 0xFFFF) - 1
    if (total - sum(field) + 8 * ord(" ") - _octal(field)) % 65521:
        raise ValueError(field)


def _octal(field: bytes) -> int:
    return int(field.rstrip(b"\0 "), 8)


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _path(header: bytes, records: Mapping[bytes, bytes]) -> bytes:
    path = records.get(b"path")
    if path is None:
        path = _text(header[:100])
        if header[345] and header[257:263] == b"ustar\0":
            path = _text(header[345:500]) + b"/" + path
    return path[2:] if path[:2] == b"./" else b""


def _parse_records(data: bytes) -> dict[bytes, bytes]:
    """Return the records of an extended header, each "LENGTH KEY=VALUE\\n".  Raises ValueError."""
    records: dict[bytes, bytes] = {}
    at = 0
    while at < len(data):
        blank = data.index(b" ", at)
        end = at + int(data[at:blank])
        key, equals, value = data[blank + 1 : end - 1].partition(b"=")
        if end <= blank or not equals or data[end - 1 : end] != b"\n":
            raise ValueError(data)
        records[key] = value
        at = end
    return records


def _member(header: bytes, records: Mapping[bytes, bytes], path: bytes, data: bytes) -> Member:
    get = records.get
    uid, gid, mtime = get(b"uid"), get(b"gid"), get(b"mtime")
    return Member(
        path,
        data,
        _octal(header[100:108]) & 0o7777,
        _octal(header[108:116]) if uid is None else int(uid),
        _octal(header[116:124]) if gid is None else int(gid),
        get(b"uname") or _text(header[265:297]),
        get(b"gname") or _text(header[297:329]),
        _octal(header[136:148]) * 10**9 if mtime is None else _nanoseconds(mtime),
    )


def _nanoseconds(seconds: bytes) -> int:
    """Return a decimal number of seconds, such as b"1350244992.023960108", in nanoseconds."""
    whole, _, fraction = seconds.partition(b".")
    nanoseconds = int(whole) * 10**9
    if fraction:
        part = int(fraction[:9].ljust(9, b"0"))
        nanoseconds += -part if whole[:1] == b"-" else part
    return nanoseconds
