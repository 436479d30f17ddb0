"""Bringing files with rsync, many in one session: the command line, and what its end means.

rsync(1) describes the options, the exit statuses and, under --8-bit-output, how names are escaped in
messages.  What a session brought is known only from the files themselves, which the caller reads.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from alpenhorn.errors import CommandFailed
from alpenhorn.fs.command import run
from alpenhorn.model import Blame
from alpenhorn.reasons import Code
from alpenhorn.transfer.blame import TransferFailed, destination_failed, unwritable

CONNECT_TIMEOUT = 30  # seconds
ALIVE_INTERVAL = 15  # seconds; the connection is given up after four unanswered questions

_PARTIAL = frozenset({23, 24})
_CONNECTION = frozenset({5, 10, 12, 14, 30, 35, 126, 127, 255})
_DESTINATION_ERRORS = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EROFS,
        errno.EACCES,
        errno.EPERM,
        errno.EIO,
        errno.ENOENT,
        errno.ESTALE,
    }
)
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})

_ESCAPE = re.compile(rb"\\#([0-7]{3})")
_QUOTED = re.compile(r'"(.*)"', re.DOTALL)
_ERRNO = re.compile(r"\((\d+)\)\s*$")
_HERE = re.compile(r"\[(?:receiver|generator|Receiver)\]")


class Session(NamedTuple):
    """How a session ended: rsync's exit status (negative: a signal) and what it wrote to standard error."""

    status: int
    stderr: str


def command(
    rsync: str,
    source: str,
    stage: str,
    *,
    ssh: Sequence[str] | None = None,
    part: bool = False,
    rate: int = 0,
    owners: bool = True,
) -> tuple[str, ...]:
    """The argument list that brings the files named on standard input from below `source` to below `stage`.

    `source` is an absolute path, or `user@host:/path` together with `ssh`, the remote shell's argument
    list.  `part`: there is one file, written in place, so that an interrupted session leaves a part that
    the next one appends to.  `rate`: the most bytes per second, 0 for no limit; the sending side keeps to it, over
    the whole session.  Plain files get what `rsync -a` gives them; without `owners` only their times, for a file system
    that has no modes and owners.
    """
    return (
        rsync,
        "-tpgo" if owners else "-t",
        "--secluded-args",
        "--files-from=-",
        "--from0",
        "--no-implied-dirs",
        *(("--append", "--info=progress2", "--no-human-readable") if part else ("--whole-file",)),
        # %b makes rsync write the line when the file's bytes are here, not when it begins with it.
        "--out-format=%b %n",
        "--outbuf=L",
        # In units of 1,024 bytes, of which one is the least.
        *((f"--bwlimit={max(1, rate // 1024)}",) if rate else ()),
        *(("-e", remote_shell(ssh)) if ssh is not None else ()),
        "--",
        f"{source.rstrip('/')}/",
        f"{stage.rstrip('/')}/",
    )


def remote_shell(ssh: Sequence[str]) -> str:
    """The string for rsync's -e, which splits it at blanks; quotes as rsync(1) says under --rsh."""
    return " ".join(
        "'" + argument.replace("'", "''") + "'"
        if re.search(r"[\s'\"]", argument) or not argument
        else argument
        for argument in ssh_command(ssh)
    )


def ssh_command(ssh: Sequence[str]) -> tuple[str, ...]:
    """The configured ssh, never asking anything, and giving up on a host that does not answer."""
    return (
        ssh[0],
        "-oBatchMode=yes",
        *ssh[1:],
        f"-oConnectTimeout={CONNECT_TIMEOUT}",
        f"-oServerAliveInterval={ALIVE_INTERVAL}",
        "-oServerAliveCountMax=4",
    )


def fetch(
    argv: Sequence[str],
    paths: Iterable[str],
    on_bytes: Callable[[int], None],
    on_file: Callable[[str], None],
    stopping: Callable[[], bool],
) -> Session:
    """Run a session for `paths`; raises Stopped, StorageError when rsync cannot be started, UnsafePath.

    `on_file` is told each path once its file is there under its name, while others are still on their way;
    the last one is left out.
    """
    part = "--append" in argv
    shown = 0
    received = ""

    def on_line(line: str) -> None:
        nonlocal shown, received
        first, _, rest = line.strip(" ").partition(" ")
        if not first.isdigit():
            return
        if not part:
            on_bytes(int(first))
            # It is renamed after its line was written, and before the next line is.
            if received:
                on_file(received)
            received = _unescaped(os.fsencode(rest)).removeprefix("./")
        elif "%" in rest:  # --info=progress2 tells the sum so far
            on_bytes(max(0, int(first) - shown))
            shown = max(shown, int(first))

    # With "./" before it, a name that begins with "#" or ";" is not taken for a comment.
    names = b"".join(b"./" + os.fsencode(path) + b"\0" for path in paths)
    try:
        done = run(argv, timeout=None, stdin=names, on_line=on_line, stopping=stopping)
    except CommandFailed as error:
        return Session(error.status, error.stderr)
    return Session(0, done.stderr)


def complaints(session: Session, paths: Iterable[str]) -> dict[str, TransferFailed]:
    """What the sending side said about single files of `paths`, if anything, and whose fault that is."""
    wanted = set(paths)
    found: dict[str, TransferFailed] = {}
    for line in _lines(session.stderr):
        quoted = _QUOTED.search(line)
        vanished = line.startswith("file has vanished")
        if quoted is None or not ("[sender]" in line or vanished):
            continue
        elements = quoted[1].split("/")
        path = next((p for i in range(len(elements)) if (p := "/".join(elements[i:])) in wanted), None)
        if path is not None:
            missing = vanished or _number(line) in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
            found[path] = (
                TransferFailed(Blame.SOURCE, Code.SOURCE_MISSING(why=line))
                if missing
                else TransferFailed(Blame.UNKNOWN, Code.SOURCE_UNREADABLE(why=line))
            )
    return found


def is_partial(session: Session) -> bool:
    """Whether the session went through, but for single files."""
    return session.status in _PARTIAL


def failure(session: Session, over_network: bool) -> TransferFailed:
    """Why a file did not arrive of which the session says nothing in particular."""
    lines = list(_lines(session.stderr))
    for line in lines:
        number = _number(line)
        if session.status != 0 and "[sender] change_dir" in line:
            return TransferFailed(Blame.UNKNOWN, Code.SOURCE_ROOT_ABSENT(why=line))
        about_a_file = _HERE.search(line) and _QUOTED.search(line)
        if session.status != 0 and about_a_file and number in (errno.EFBIG, errno.EMFILE, errno.ENFILE):
            return destination_failed(OSError(number, os.strerror(number)))
        if session.status != 0 and about_a_file and number in _DESTINATION_ERRORS:
            return unwritable(line, number in _FULL)
    text = _telling(lines)
    if session.status == 0:
        return TransferFailed(Blame.SOURCE, Code.SOURCE_NOT_SENT())
    if session.status < 0:
        return TransferFailed(Blame.UNKNOWN, Code.RSYNC_KILLED(signal=-session.status))
    if session.status == 11:
        return unwritable(text)
    if over_network and session.status in _CONNECTION:
        return TransferFailed(Blame.NETWORK, Code.CONNECTION_FAILED(why=text))
    return TransferFailed(Blame.UNKNOWN, Code.RSYNC_FAILED(status=session.status, why=text))


def _lines(stderr: str) -> Iterable[str]:
    for line in os.fsencode(stderr).splitlines():
        yield _unescaped(line).rstrip()


def _unescaped(text: bytes) -> str:
    return os.fsdecode(_ESCAPE.sub(lambda match: bytes([int(match[1], 8) & 255]), text))


def _number(line: str) -> int | None:
    """The errno that rsync puts at the end of a message."""
    match = _ERRNO.search(line)
    return int(match[1]) if match else None


def _telling(lines: Sequence[str]) -> str:
    """The line that says most: what ssh said last, else rsync's own words before its summing up."""
    said = [line for line in lines if line]
    for line in reversed(said):
        if not line.startswith("rsync"):
            return line
    return next(
        (line for line in said if not line.startswith("rsync error:")),
        said[-1] if said else "it said nothing",
    )
