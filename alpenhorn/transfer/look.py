"""Look at files on another host over ssh, many in one session: the command, its input and its answer.

The command is a constant.  Paths reach the other host on standard input only, each ended by a NUL, and are passed on as
arguments: no shell interprets them.  The other host needs sh, xargs, head, tr and GNU stat.

Markers are read before the files are looked at and again afterwards: a missing file is a lost one only between two
right markers; otherwise its storage may have been unmounted meanwhile.
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

# xargs calls the script with as many words as fit, in order.  A word is a path to look at, or a marker's path behind a
# letter; b: it is read before this call's paths are looked at, a: after that.  Every answer ends with a NUL and begins
# with a letter; b and a: the path of a marker, followed by an answer that is the beginning of its content; s: what stat
# says of a path; x: a path that does not exist.  The first NUL ends whatever the shell there has printed as it started.
#
# The user's shell there may be any: with neither single quotes, exclamation marks nor newlines in the script, sh, csh
# and fish all pass it on unchanged.
_SCRIPT = " ".join(
    (
        r'printf "\0";',
        # Not a fifo, which would be read for ever, nor a link to the marker of another storage.
        r'mark() { if [ -f "${1#?}" ]; then [ -L "${1#?}" ] ||',
        r'{ printf "%s\0" "$1"; head -c 256 "${1#?}" | tr -d "\000"; printf "\0"; }; fi; };',
        r'for w do case $w in b*) mark "$w";; esac; done;',
        # It fails for the markers' words, too.  Sorting them out here would take minutes for many paths.
        r'stat --printf "s%f %s %d %i %n\0" -- "$@" 2>/dev/null ||',
        # One process for each path that did not answer, which are few.
        r'for w do case $w in /*) [ -e "$w" ] || [ -L "$w" ] || case $(stat -- "$w" 2>&1) in',
        r'*": No such file or directory" | *": Not a directory") printf "x%s\0" "$w";; esac;; esac; done;',
        r'for w do case $w in a*) mark "$w";; esac; done; exit 0',
    )
)
COMMAND = f"exec env LC_ALL=C xargs -0 sh -c '{_SCRIPT}' look"

BASE_SECONDS = 30.0
SECONDS_PER_FILE = 0.05
GRACE_SECONDS = 10.0  # for a session that does not end when it should

_STATUS = re.compile(r"s([0-9a-f]{1,8}) ([0-9]{1,20}) ([0-9]{1,20}) ([0-9]{1,20}) (/.*)", re.DOTALL)


class Found(NamedTuple):
    """The status of what is at a path; a symbolic link itself, not what it leads to."""

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


class Answer(NamedTuple):
    """`before` and `after`: the first bytes of each marker that could be read.  A path in neither `found` nor `missing`
    could not be looked at."""

    before: dict[str, bytes]
    after: dict[str, bytes]
    found: dict[str, Found]
    missing: frozenset[str]


def command(ssh: Sequence[str], node: NodeFact) -> tuple[str, ...]:
    """The argument list of a session with a node's host; raises StorageError when it has no usable address."""
    user, address = login(node)
    return (*remote.command(ssh, user), "--", address, COMMAND)


def question(markers: Iterable[str], paths: Iterable[str]) -> bytes:
    """The standard input of a session that reads `markers` and looks at `paths`, all absolute and without a NUL."""
    marked = [os.fsencode(marker) for marker in markers]
    words = [
        *(b"b" + marker for marker in marked),
        *map(os.fsencode, paths),
        *(b"a" + marker for marker in marked),
    ]
    return b"".join(word + b"\0" for word in words)


def answer(text: str) -> Answer:
    """Parse the standard output of a session; whatever is no answer in it is ignored."""
    found: dict[str, Found] = {}
    missing: set[str] = set()
    markers: dict[str, dict[str, bytes]] = {"b": {}, "a": {}}
    # Before the first NUL is what the shell printed; what does not end with one was cut off.
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
            found[path] = Found(int(mode, 16), int(size_b), int(device), int(inode))
    return Answer(markers["b"], markers["a"], found, frozenset(missing))


def seconds(files: int) -> float:
    """The time that a session which looks at the copies of so many files may take."""
    return BASE_SECONDS + SECONDS_PER_FILE * files
