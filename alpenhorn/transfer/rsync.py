"""Fetch files with rsync, many in one session: the command line, and the meaning of its exit status.

rsync(1) describes the options, the exit statuses and, for --8-bit-output, the escapes of names in messages.
Only the files show what a session has transferred; the caller verifies them.
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
from alpenhorn.transfer.address import name_list
from alpenhorn.transfer.blame import TransferFailed, destination_failed, unwritable

OLDEST = "3.1.3"  # the version in RHEL 8; earlier ones may lack options used here
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
# Before 3.2.0, messages do not name the side; only the sender's have these words.
_SENDER = re.compile(
    r"file has vanished: |rsync: (?:\[sender\] |(?:link_stat|readlink_stat|send_files|read errors|opendir)\b)"
)
_CHANGE_DIR = re.compile(r"rsync: (?:\[sender\] change_dir\b|change_dir(?:#3)? )")
_HERE = re.compile(r"rsync: (?:\[(?:receiver|generator|Receiver)\] |(?!\[))")
_VERSION = re.compile(r"rsync +version +v?(\d+(?:\.\d+)+)")
# Paths that no shell changes.  All others need --protect-args, which keys restricted with rrsync do not
# allow.
_PLAIN = re.compile(r"(?:[A-Za-z0-9_.:%-]+:|\[[A-Za-z0-9_.:%-]+\]:)?/[A-Za-z0-9_./+=,@%-]*")


class SessionEnd(NamedTuple):
    """The end of a session: rsync's exit status (negative: a signal), its standard error, and why alpenhorn
    ended it, if it did.
    """

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
    """Return the arguments for fetching the files named on standard input from below `source` to below `stage`.

    `source`: an absolute path, or `host:/path` together with `ssh`, the arguments of the remote shell, and
    `user`, the login there (rsync would read a part of some logins as the host).  `part`: there is one file,
    written in place, so that an interrupted session leaves a partial file to which the next one appends.
    `rate`: maximum bytes per second, 0 for no limit; the sender observes it over the whole session.  Files
    get the attributes of `rsync -a`; without `owners` only their times, for a file system without modes and
    owners.
    """
    return (
        rsync,
        "-tpgo" if owners else "-t",
        # Named --secluded-args since 3.2.6; all versions know the short options.
        "--no-s" if _PLAIN.fullmatch(source) else "-s",
        "--files-from=-",
        "--from0",
        "--no-implied-dirs",
        # --size-only: a complete part still gets the attributes.
        *(
            ("--append", "--size-only", "--info=progress2", "--no-human-readable")
            if part
            else ("--whole-file",)
        ),
        # %b makes rsync print the line after the file's transfer instead of before.
        "--out-format=%b %n",
        "--outbuf=L",
        # In units of 1,024 bytes, with a minimum of one.
        *((f"--bwlimit={max(1, rate // 1024)}",) if rate else ()),
        *(("-e", remote_shell(ssh, user)) if ssh is not None else ()),
        "--",
        f"{source.rstrip('/')}/",
        f"{stage.rstrip('/')}/",
    )


def remote_shell(ssh: Sequence[str], user: str | None = None) -> str:
    """Return the string for rsync's -e, which splits it at blanks; quoted as in rsync(1) under --rsh."""
    return " ".join(
        "'" + argument.replace("'", "''") + "'"
        if re.search(r"[\s'\"]", argument) or not argument
        else argument
        for argument in remote.command(ssh, user)
    )


def too_old(version: str) -> bool:
    """Return whether a version such as "3.1.2" is older than the oldest supported one."""
    return _numbers(version) < _numbers(OLDEST)


def version(rsync: str) -> str:
    """Return the version reported by rsync; "" for none."""
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
) -> SessionEnd:
    """Run a session for `paths`.

    Calls `on_file` with the path of each file once it has its name, except for the last one, while others are
    still being transferred.  Raises Stopped, StorageError if rsync cannot be started, UnsafePath, and
    TransferFailed if rsync is too old.
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
            # It is renamed after its line was printed, and before the next line is.
            if received:
                on_file(received)
            received = _unescaped(os.fsencode(rest)).removeprefix("./")
        elif "%" in rest:  # --info=progress2 reports the total so far
            on_bytes(max(0, int(first) - shown))
            shown = max(shown, int(first))

    try:
        done = run(
            argv,
            timeout=None,
            stdin=name_list(paths),
            env=remote.environment(),
            on_line=on_line,
            stopping=stopping,
        )
    except CommandFailed as error:
        if "unknown option" in error.stderr and (found := version(argv[0])) and too_old(found):
            why = Code.RSYNC_TOO_OLD(rsync=argv[0], version=found, oldest=OLDEST)
            raise TransferFailed(Blame.UNKNOWN, why) from None
        return SessionEnd(error.status, error.stderr)
    return SessionEnd(0, done.stderr)


def complaints(session: SessionEnd, paths: Iterable[str]) -> dict[str, TransferFailed]:
    """Return the failures that the sender reported for single files of `paths`."""
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


def is_partial(session: SessionEnd) -> bool:
    """Return whether the session completed except for single files."""
    return session.status in _PARTIAL


def failure(session: SessionEnd, host: str | None) -> TransferFailed:
    """Return why a file did not arrive that the session did not mention; `host`: the other host, if any."""
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
    """Return the errno at the end of a message of rsync."""
    match = _ERRNO.search(line)
    return int(match[1]) if match else None
