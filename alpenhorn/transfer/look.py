"""Look at files on another host over ssh, many in one session: the command, its input and its output.

The command is constant.  Paths reach the other host only on standard input, each ended by a NUL, and are
passed on as arguments, so that no shell interprets them.  The other host needs sh, xargs, head, tr and GNU
stat.

Markers are read before and after looking at the files: a missing file is lost only between two right markers;
otherwise its storage may have been unmounted meanwhile.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from alpenhorn.model.nodes import NodeFact
from alpenhorn.transfer import ssh as remote
from alpenhorn.transfer.address import login

# xargs calls the script with as many words as fit, in order.  A word is a path to look at, or a letter with
# the path of a marker: b to read it before the paths of this call, a after them.  Every answer ends with a
# NUL and begins with a letter: b and a for the path of a marker, followed by an answer with the start of its
# contents; s for the output of stat for a path; x for a path that does not exist.  The first NUL ends
# whatever the shell printed at its start.  The user's shell may be any: without single quotes, exclamation
# marks and newlines in the script, sh, csh and fish all pass it on unchanged.
_SCRIPT = " ".join(
    (
        r'printf "\0";',
        # A fifo would block, and a link could lead to the marker of another storage.
        r'mark() { if [ -f "${1#?}" ]; then [ -L "${1#?}" ] ||',
        r'{ printf "%s\0" "$1"; head -c 256 "${1#?}" | tr -d "\000"; printf "\0"; }; fi; };',
        r'for w do case $w in b*) mark "$w";; esac; done;',
        # stat also fails for the words of markers.  Removing those first would take minutes for many paths.
        r'stat --printf "s%f %s %d %i %n\0" -- "$@" 2>/dev/null ||',
        # One process for each path without an answer, which are few.
        r'for w do case $w in /*) [ -e "$w" ] || [ -L "$w" ] || case $(stat -- "$w" 2>&1) in',
        r'*": No such file or directory" | *": Not a directory") printf "x%s\0" "$w";; esac;; esac; done;',
        r'for w do case $w in a*) mark "$w";; esac; done; exit 0',
    )
)
COMMAND = f"exec env LC_ALL=C xargs -0 sh -c '{_SCRIPT}' look"

BASE_SECONDS = 30.0
SECONDS_PER_FILE = 0.05
GRACE_SECONDS = 10.0  # for a session that does not end in time

_STATUS = re.compile(r"s([0-9a-f]{1,8}) ([0-9]{1,20}) ([0-9]{1,20}) ([0-9]{1,20}) (/.*)", re.DOTALL)


class RemoteStatus(NamedTuple):
    """The status of a path; for a symbolic link that of the link itself."""

    mode: int
    size_b: int
    device: int
    inode: int

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.mode)

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)

    @property
    def is_link(self) -> bool:
        return stat.S_ISLNK(self.mode)


class LookAnswer(NamedTuple):
    """The answer of a session.

    `before`, `after`: the first bytes of each readable marker.  A path that is neither in `found` nor in
    `missing` could not be looked at.
    """

    before: dict[str, bytes]
    after: dict[str, bytes]
    found: dict[str, RemoteStatus]
    missing: frozenset[str]


def command(ssh: Sequence[str], node: NodeFact) -> tuple[str, ...]:
    """Return the arguments of a session with a node's host; raises StorageError if it has no usable address."""
    user, address = login(node)
    return (*remote.command(ssh, user), "--", address, COMMAND)


def session_input(markers: Iterable[str], paths: Iterable[str]) -> bytes:
    """Return the standard input of a session that reads `markers` and looks at `paths`, all absolute and
    without NUL.
    """
    marked = [os.fsencode(marker) for marker in markers]
    words = [
        *(b"b" + marker for marker in marked),
        *map(os.fsencode, paths),
        *(b"a" + marker for marker in marked),
    ]
    return b"".join(word + b"\0" for word in words)


def parse_output(text: str) -> LookAnswer:
    """Parse the standard output of a session, ignoring anything else in it."""
    found: dict[str, RemoteStatus] = {}
    missing: set[str] = set()
    markers: dict[str, dict[str, bytes]] = {"b": {}, "a": {}}
    # The shell's output precedes the first NUL; a record without a final NUL is incomplete.
    records = iter(text.split("\0")[1:-1])
    for record in records:
        letter, path = record[:1], record[1:]
        if letter in markers:
            content = next(records, None)
            if content is not None:
                markers[letter][path] = os.fsencode(content)
        elif letter == "x":
            missing.add(path)
        elif status := _STATUS.fullmatch(record):
            mode, size_b, device, inode, path = status.groups()
            found[path] = RemoteStatus(int(mode, 16), int(size_b), int(device), int(inode))
    return LookAnswer(markers["b"], markers["a"], found, frozenset(missing))


def seconds(files: int) -> float:
    """Return the maximum duration of a session that looks at the copies of this number of files."""
    return BASE_SECONDS + SECONDS_PER_FILE * files
