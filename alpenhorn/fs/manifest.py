"""The manifest of a node, ROOT/.alpenhorn/manifest.md5: its good copies, for use without the index.

In ROOT, `md5sum -c .alpenhorn/manifest.md5` checks the files on any machine, and `alpenhorn db rebuild` fills
an empty index from it.  Its format, version 2:

    # alpenhorn manifest 2 TOKEN
    # …                              comments
    # size LENGTH ACQ                per file: its length, and the bytes of its path that name the acquisition
    MD5  PATH                        per file: its MD5 sum, and its path below the root
    # end FILES BYTES

Version 1, which can still be read, has no ACQ.

All is bytes; paths are encoded with `os.fsencode`.  Lines with # are comments to md5sum.  The others are in
its format: a path with a backslash, newline or carriage return has \\\\, \\n and \\r instead, and its line
begins with a backslash (GNU coreutils manual, "md5sum invocation").  The last line shows that the manifest is
complete.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from alpenhorn.fs.manifest_token import UNREADABLE, token_in
from alpenhorn.model.manifests import ManifestFile

NAME = "manifest.md5"
_LONGEST_LINE_B = 2**14  # paths in the index have at most 320 characters

_SIZE = re.compile(rb"# size ([0-9]{1,19})(?: ([0-9]{1,4}))?\n")
_SUM = re.compile(rb"(\\?)([0-9a-f]{32})  (.+)\n")
_END = re.compile(rb"# end ([0-9]+) ([0-9]+)\n")
_ESCAPES = {b"\\": b"\\\\", b"\n": b"\\n", b"\r": b"\\r"}
_ESCAPED = re.compile(rb"[\\\n\r]")
_PLAIN = {escaped: plain for plain, escaped in _ESCAPES.items()}
_ESCAPE = re.compile(rb"\\[\\nr]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")


class ManifestEntry(NamedTuple):
    """An entry of a manifest.

    `key`: the path as returned by `key`.  `lines`: its two lines.  `acq_b`: the bytes of the path that name
    the acquisition, None in version 1.
    """

    key: bytes
    size_b: int
    lines: bytes
    md5sum: str
    acq_b: int | None

    @property
    def path(self) -> bytes:
        if self.key[:1] != b"\\":
            return self.key
        return _ESCAPE.sub(lambda found: _PLAIN[found[0]], self.key[1:])


def key(path: str) -> bytes:
    """Return the path as in its line, with the leading backslash if it is escaped."""
    raw = os.fsencode(path)
    if _ESCAPED.search(raw) is None:
        return raw
    return b"\\" + _ESCAPED.sub(lambda found: _ESCAPES[found[0]], raw)


def heading(token: str, lines: tuple[str, ...]) -> bytes:
    """Return the first lines; control characters in `lines` are escaped."""
    first = f"# alpenhorn manifest 2 {token}\n".encode()
    shown = (_CONTROL.sub(lambda found: repr(found[0])[1:-1], line) for line in lines)
    return first + b"".join(b"# " + line.encode(errors="surrogateescape") + b"\n" for line in shown)


def entry(file: ManifestFile) -> bytes:
    path = key(file.path)
    mark = b"\\" if path[:1] == b"\\" else b""
    acq = file.path[: file.acq]
    return b"# size %d %d\n%b%b  %b\n" % (
        file.size_b,
        len(acq) if acq.isascii() else len(os.fsencode(acq)),
        mark,
        file.md5sum.lower().encode(),
        path[len(mark) :],
    )


def end(files: int, size_b: int) -> bytes:
    return b"# end %d %d\n" % (files, size_b)


def entries(file: BinaryIO) -> Iterator[ManifestEntry]:
    """Yield the entries of a manifest, read from its start.

    Raises ValueError, possibly after some entries, if it is damaged; OSError.
    """
    first = file.readline(_LONGEST_LINE_B)
    if token_in(first) == UNREADABLE:
        raise ValueError("not an alpenhorn manifest")
    later = not first.startswith(b"# alpenhorn manifest 1 ")
    files = total_b = 0
    while line := file.readline(_LONGEST_LINE_B):
        if size := _SIZE.fullmatch(line):
            of_file = file.readline(_LONGEST_LINE_B)
            found = _SUM.fullmatch(of_file)
            if not found or (size[2] is None) is later:
                raise ValueError(f"invalid line: {of_file[:80]!r}")
            files += 1
            total_b += int(size[1])
            yield ManifestEntry(
                found[1] + found[3],
                int(size[1]),
                line + of_file,
                found[2].decode(),
                int(size[2]) if later else None,
            )
        elif last := _END.fullmatch(line):
            if (int(last[1]), int(last[2])) != (files, total_b) or file.read(1):
                raise ValueError("last line does not match the contents")
            return
        elif files or not line.startswith(b"# ") or not line.endswith(b"\n"):
            raise ValueError(f"invalid line: {line[:80]!r}")
    raise ValueError("last line is missing")
