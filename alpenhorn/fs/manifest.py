"""The manifest of a node: the good copies on it, for whoever has the disk and not the index.

It is the file ROOT/.alpenhorn/manifest.md5; in ROOT, `md5sum -c .alpenhorn/manifest.md5` checks the files with it,
on any machine, and `alpenhorn db rebuild` fills an empty index.  Its format, version 2:

    # alpenhorn manifest 2 TOKEN
    # …                              what a reader should know
    # size LENGTH ACQ                for each file: its length, how many bytes of its path name its acquisition,
    MD5  PATH                        its MD5 sum and, below the root, its path
    # end FILES BYTES

Version 1, which is still read, has no ACQ.

All is bytes, the paths as `os.fsencode` gives them.  Lines that begin with # are comments to md5sum, and the others
are as it writes them: a path that holds a backslash, a newline or a carriage return stands there with \\\\, \\n and \\r
for these, and its line begins with a backslash (GNU coreutils manual, "md5sum invocation").  The last line tells a
manifest that was cut off.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from alpenhorn.fs.manifest_token import UNREADABLE, token_in
from alpenhorn.model.manifests import ManifestFile

NAME = "manifest.md5"
_LONGEST_LINE_B = 2**14  # a path has 320 characters at most in the index

_SIZE = re.compile(rb"# size ([0-9]{1,19})(?: ([0-9]{1,4}))?\n")
_SUM = re.compile(rb"(\\?)([0-9a-f]{32})  (.+)\n")
_END = re.compile(rb"# end ([0-9]+) ([0-9]+)\n")
_ESCAPES = {b"\\": b"\\\\", b"\n": b"\\n", b"\r": b"\\r"}
_ESCAPED = re.compile(rb"[\\\n\r]")
_PLAIN = {escaped: plain for plain, escaped in _ESCAPES.items()}
_ESCAPE = re.compile(rb"\\[\\nr]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")


class Entry(NamedTuple):
    """`key` stands for the path, as `key` makes it; `lines`: the two lines.  `acq_b`: how many bytes of the path name
    the acquisition, None in a manifest of version 1."""

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
    """The path with what marks it as escaped, as it stands in its line."""
    raw = os.fsencode(path)
    escaped = _ESCAPED.sub(lambda found: _ESCAPES[found[0]], raw)
    return escaped if escaped == raw else b"\\" + escaped


def heading(token: str, lines: tuple[str, ...]) -> bytes:
    """The lines at the beginning.  Whatever `lines` hold, each of them is one."""
    first = f"# alpenhorn manifest 2 {token}\n".encode()
    shown = (_CONTROL.sub(lambda found: repr(found[0])[1:-1], line) for line in lines)
    return first + b"".join(b"# " + line.encode(errors="surrogateescape") + b"\n" for line in shown)


def entry(file: ManifestFile) -> bytes:
    path = key(file.path)
    mark = b"\\" if path[:1] == b"\\" else b""
    return b"# size %d %d\n%b%b  %b\n" % (
        file.size_b,
        len(os.fsencode(file.path[: file.acq])),
        mark,
        file.md5sum.lower().encode(),
        path[len(mark) :],
    )


def end(files: int, size_b: int) -> bytes:
    return b"# end %d %d\n" % (files, size_b)


def entries(file: BinaryIO) -> Iterator[Entry]:
    """The entries of a manifest from its beginning on.

    Raises ValueError, after some of them perhaps, when it is not as it was written; OSError.
    """
    first = file.readline(_LONGEST_LINE_B)
    if token_in(first) == UNREADABLE:
        raise ValueError("it does not begin as one of ours")
    later = not first.startswith(b"# alpenhorn manifest 1 ")
    files = total_b = 0
    while line := file.readline(_LONGEST_LINE_B):
        if size := _SIZE.fullmatch(line):
            of_file = file.readline(_LONGEST_LINE_B)
            found = _SUM.fullmatch(of_file)
            if not found or (size[2] is None) is later:
                raise ValueError(f"it has a line that is not understood: {of_file[:80]!r}")
            files += 1
            total_b += int(size[1])
            yield Entry(
                found[1] + found[3],
                int(size[1]),
                line + of_file,
                found[2].decode(),
                int(size[2]) if later else None,
            )
        elif last := _END.fullmatch(line):
            if (int(last[1]), int(last[2])) != (files, total_b) or file.read(1):
                raise ValueError("its last line does not fit what it holds")
            return
        elif files or not line.startswith(b"# ") or not line.endswith(b"\n"):
            raise ValueError(f"it has a line that is not understood: {line[:80]!r}")
    raise ValueError("its end is missing")
