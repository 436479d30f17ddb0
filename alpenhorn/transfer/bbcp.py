"""Fetch a file with bbcp: the command line, and the meaning of its exit status.

The options are those of bbcp 17 (`bbcp -h`).  As for every method, the caller verifies the file.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence

from alpenhorn.errors import CommandFailed
from alpenhorn.fs.command import run
from alpenhorn.model.tasks import Blame
from alpenhorn.reasons import Code
from alpenhorn.transfer import ssh as remote_shell
from alpenhorn.transfer.blame import TransferFailed, unwritable

LEAST_RATE = 10 * 1024  # bytes per second; minimum for bbcp's option -x
MOST_RATE = 2**30

# bbcp passes paths to a shell on the other host; rsync transfers all other paths.
_PLAIN = re.compile(r"/[A-Za-z0-9_./+=,@%-]*")
_LOGIN = re.compile(r"[A-Za-z0-9_.-]+@[A-Za-z0-9_.-]+")

_FULL = re.compile(r"no space left|quota exceeded|file too large", re.IGNORECASE)
_DESTINATION = re.compile(r"read-only file system", re.IGNORECASE)
_MISSING = re.compile(r"no such file|does not exist", re.IGNORECASE)


def accepts(login: str, *paths: str) -> bool:
    """Return whether bbcp can handle these absolute paths and that login (`user@address`)."""
    return _LOGIN.fullmatch(login) is not None and all(_PLAIN.fullmatch(path) for path in paths)


def keeps(rate: int) -> bool:
    """Return whether bbcp can observe that bandwidth limit in bytes per second; 0 for none."""
    return rate == 0 or rate >= LEAST_RATE


def command(bbcp: str, source: str, target: str, ssh: Sequence[str], rate: int = 0) -> tuple[str, ...]:
    """Return the arguments for fetching `source` (`user@host:/path`) to the absolute path `target`.

    -f overwrites leftovers of an interrupted attempt, -p keeps mode and times, -z lets the receiving host
    open the connection (through ports allowed by its firewall), -W and -s set window and streams, -S is the
    command that starts bbcp on the other host (%I identity, %U user, %H host), -x the maximum bytes per
    second (0: no limit).
    """
    remote = f"{shlex.join(remote_shell.command(ssh))} -x -a %I -l %U %H bbcp"
    limit = ("-x", str(min(rate, MOST_RATE))) if rate else ()
    return (bbcp, "-f", "-p", "-z", "-W", "4M", "-s", "16", *limit, "-S", remote, source, target)


def fetch(argv: Sequence[str], host: str | None, stopping: Callable[[], bool]) -> TransferFailed | None:
    """Run bbcp, with `host` as the other host; return why nothing arrived, or None.

    Raises Stopped, and StorageError if it cannot be started.
    """
    try:
        run(argv, timeout=None, stopping=stopping)
    except CommandFailed as error:
        return failure(error, host)
    return None


def failure(error: CommandFailed, host: str | None) -> TransferFailed:
    text = error.stderr.strip()
    last = text.splitlines()[-1] if text else str(error)
    if error.status < 0:
        return TransferFailed(Blame.UNKNOWN, error.reason)
    if _FULL.search(text):
        return unwritable(last, full=True)
    if _DESTINATION.search(text):
        return unwritable(last)
    if _MISSING.search(text):
        return TransferFailed(Blame.SOURCE, Code.SOURCE_MISSING(why=last))
    return TransferFailed(Blame.NETWORK, remote_shell.failed(host, text or str(error)))
