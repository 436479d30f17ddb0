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

from alpenhorn.errors import AlpenhornError, CommandFailed
from alpenhorn.fs.command import run
from alpenhorn.model.tasks import Blame
from alpenhorn.reasons import Code, Reason
from alpenhorn.transfer import ssh as remote
from alpenhorn.transfer.blame import TransferFailed, destination_failed, unwritable

OLDEST = "3.1.3"  # what RHEL 8 ships; earlier ones may lack options used here
VERSION_SECONDS = 10.0

_PARTIAL = frozenset({23, 24})
_CONNECTION = frozenset({2, 5, 10, 12, 14, 30, 35, 126, 127, 255})
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
# Before 3.2.0 messages do not name the side; only the sender's say these words.
_SENDER = re.compile(
    r"file has vanished: |rsync: (?:\[sender\] |(?:link_stat|readlink_stat|send_files|read errors|opendir)\b)"
)
_CHANGE_DIR = re.compile(r"rsync: (?:\[sender\] change_dir\b|change_dir(?:#3)? )")
_HERE = re.compile(r"rsync: (?:\[(?:receiver|generator|Receiver)\] |(?!\[))")
_VERSION = re.compile(r"rsync +version +v?(\d+(?:\.\d+)+)")
# What no shell changes.  Only other paths need --protect-args, which a key restricted with rrsync does not allow.
_PLAIN = re.compile(r"(?:[A-Za-z0-9_.:%-]+:|\[[A-Za-z0-9_.:%-]+\]:)?/[A-Za-z0-9_./+=,@%-]*")


class Session(NamedTuple):
    """How a session ended: rsync's exit status (negative: a signal), what it wrote to standard error, and why we ended
    it if we did."""

    status: int
    stderr: str
    given_up: Reason | None = None


def command(
    rsync: str,
    source: str,
    stage: str,
    *,
    ssh: Sequence[str] | None = None,
    user: str | None = None,
    part: bool = False,
    rate: int = 0,
    owners: bool = True,
) -> tuple[str, ...]:
    """The argument list that brings the files named on standard input from below `source` to below `stage`.

    `source` is an absolute path, or `host:/path` together with `ssh`, the remote shell's argument list, and `user`,
    the login there: rsync would take a part of some logins for the host.  `part`: there is one file, written in
    place, so that an interrupted session leaves a part that the next one appends to.  `rate`: the most bytes per
    second, 0 for no limit; the sending side keeps to it, over the whole session.  Plain files get what `rsync -a`
    gives them; without `owners` only their times, for a file system that has no modes and owners.
    """
    return (
        rsync,
        "-tpgo" if owners else "-t",
        # Its name since 3.2.6 is --secluded-args; the short ones are known to all.
        "--no-s" if _PLAIN.fullmatch(source) else "-s",
        "--files-from=-",
        "--from0",
        "--no-implied-dirs",
        *(("--append", "--info=progress2", "--no-human-readable") if part else ("--whole-file",)),
        # %b makes rsync write the line when the file's bytes are here, not when it begins with it.
        "--out-format=%b %n",
        "--outbuf=L",
        # In units of 1,024 bytes, of which one is the least.
        *((f"--bwlimit={max(1, rate // 1024)}",) if rate else ()),
        *(("-e", remote_shell(ssh, user)) if ssh is not None else ()),
        "--",
        f"{source.rstrip('/')}/",
        f"{stage.rstrip('/')}/",
    )


def remote_shell(ssh: Sequence[str], user: str | None = None) -> str:
    """The string for rsync's -e, which splits it at blanks; quotes as rsync(1) says under --rsh."""
    return " ".join(
        "'" + argument.replace("'", "''") + "'"
        if re.search(r"[\s'\"]", argument) or not argument
        else argument
        for argument in remote.command(ssh, user)
    )


def too_old(version: str) -> bool:
    """Whether a version such as "3.1.2" is older than the oldest that is supported."""
    return _numbers(version) < _numbers(OLDEST)


def version(rsync: str) -> str:
    """What that rsync calls its version; "" when it does not say."""
    try:
        said = run((rsync, "--version"), timeout=VERSION_SECONDS).stdout
    except AlpenhornError:
        return ""
    match = _VERSION.search(said)
    return match[1] if match else ""


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])  # 3.2.0pre1 counts as 3.2.0


def fetch(
    argv: Sequence[str],
    paths: Iterable[str],
    on_bytes: Callable[[int], None],
    on_file: Callable[[str], None],
    stopping: Callable[[], bool],
) -> Session:
    """Run a session for `paths`; raises Stopped, StorageError when rsync cannot be started, UnsafePath, and
    TransferFailed when rsync is too old.

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
        if "unknown option" in error.stderr and (found := version(argv[0])) and too_old(found):
            why = Code.RSYNC_TOO_OLD(rsync=argv[0], version=found, oldest=OLDEST)
            raise TransferFailed(Blame.UNKNOWN, why) from None
        return Session(error.status, error.stderr)
    return Session(0, done.stderr)


def complaints(session: Session, paths: Iterable[str]) -> dict[str, TransferFailed]:
    """What the sending side said about single files of `paths`, if anything, and whose fault that is."""
    wanted = set(paths)
    found: dict[str, TransferFailed] = {}
    for line in _lines(session.stderr):
        quoted = _QUOTED.search(line)
        vanished = line.startswith("file has vanished")
        if quoted is None or not _SENDER.match(line):
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


def failure(session: Session, host: str | None) -> TransferFailed:
    """Why a file did not arrive of which the session says nothing in particular; `host`: the other one, if any."""
    if session.given_up is not None:
        return TransferFailed(Blame.NETWORK, session.given_up)
    lines = list(_lines(session.stderr))
    for line in lines:
        number = _number(line)
        if session.status != 0 and _CHANGE_DIR.match(line):
            return TransferFailed(Blame.UNKNOWN, Code.SOURCE_ROOT_ABSENT(why=line))
        about_a_file = _HERE.match(line) and not _SENDER.match(line) and _QUOTED.search(line)
        if session.status != 0 and about_a_file and number in (errno.EFBIG, errno.EMFILE, errno.ENFILE):
            return destination_failed(OSError(number, os.strerror(number)))
        if session.status != 0 and about_a_file and number in _DESTINATION_ERRORS:
            return unwritable(line, number in _FULL)
    text = remote.cause(lines)
    if session.status == 0:
        return TransferFailed(Blame.SOURCE, Code.SOURCE_NOT_SENT())
    if session.status < 0:
        return TransferFailed(Blame.UNKNOWN, Code.RSYNC_KILLED(signal=-session.status))
    if session.status == 11:
        return unwritable(text)
    if host is not None and session.status in _CONNECTION:
        return TransferFailed(Blame.NETWORK, remote.failed(host, "\n".join(lines)))
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
