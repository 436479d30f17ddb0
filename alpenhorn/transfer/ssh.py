"""Sessions with other hosts over ssh: the command, and the reasons for failures.

ssh(1) and ssh_config(5) describe the options.  The messages were tested with OpenSSH 9.2, rsync 3.2.3, 3.2.7
and 3.5.0, and their rrsync.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence

from alpenhorn.reasons import Code, Reason

CONNECT_TIMEOUT = 30  # seconds
ALIVE_INTERVAL = 15  # seconds; the connection ends after four unanswered messages

# See mallopt(3); C libraries other than glibc ignore it.  ssh frees and allocates buffers for each packet.  Without
# this, it returns them to the kernel each time, which takes a third of its processor time.
_KEEP_MEMORY = {"MALLOC_TRIM_THRESHOLD_": "67108864", "MALLOC_MMAP_THRESHOLD_": "33554432"}

_ODD = re.compile(rb"[^A-Za-z0-9/._-]")

# The first pattern found in a session's standard error gives the reason.
_CAUSES = tuple(
    (re.compile(pattern, re.IGNORECASE), code)
    for pattern, code in (
        ("IDENTIFICATION HAS CHANGED", Code.HOST_KEY_CHANGED),
        ("Host key verification failed", Code.HOST_KEY_UNKNOWN),
        (r"Permission denied \([a-z]|Too many authentication failures", Code.HOST_REFUSES_LOGIN),
        (
            # rrsync, and sshd with internal-sftp.
            r"SSH_ORIGINAL_COMMAND does not|has been disabled on this server|rsync-command syntax"
            r"|--server option is not|allows sftp connections only",
            Code.HOST_RESTRICTS_COMMANDS,
        ),
        (
            r"rsync: (command )?not found|command not found: rsync|Unknown command:? .?rsync"
            r"|exec: .?rsync.?: not found|rsync: No such file",
            Code.HOST_WITHOUT_RSYNC,
        ),
        (r"is your shell clean|protocol version mismatch", Code.HOST_PRINTS_AT_LOGIN),
        (
            "connect to host|Could not resolve|Name or service not known|No route to host|Network is unreachable"
            "|Connection refused|banner exchange|kex_exchange_identification|Connection timed out",
            Code.HOST_UNREACHABLE,
        ),
    )
)
# Searched in the most specific line only: rsync prints some of these whenever a session fails.
_LOST = re.compile(
    r"client_loop|Timeout, server|Broken pipe|Connection reset|closed by remote host|unexpectedly closed"
    r"|timeout in data send",
    re.IGNORECASE,
)
_CONNECT = re.compile(r"ssh: connect to host (\S+) port (\S+): (.+)")
_NO_CAUSE = re.compile(r"rsync error: |\(see the rsync man|\s*$")


def command(ssh: Sequence[str], user: str | None = None) -> tuple[str, ...]:
    """Return the arguments of the configured ssh, as `user` if given.

    It never prompts, never allocates a terminal (which would change bytes), runs our command whatever its
    configuration says, and gives up on a host that does not answer.
    """
    return (
        ssh[0],
        "-oBatchMode=yes",
        *ssh[1:],
        "-T",
        "-oRemoteCommand=none",
        f"-oConnectTimeout={CONNECT_TIMEOUT}",
        f"-oServerAliveInterval={ALIVE_INTERVAL}",
        "-oServerAliveCountMax=4",
        *(("-l", user) if user is not None else ()),
    )


def in_octal(path: bytes) -> bytes:
    """Return a path for the %b of printf on the other host, which no shell interprets on the way."""
    return _ODD.sub(lambda match: b"\\0%03o" % match[0][0], path)


def environment() -> dict[str, str]:
    """Return the environment for a session that transfers data: that of this process, and what makes it faster."""
    return {**_KEEP_MEMORY, **os.environ}


def failed(host: str | None, stderr: str) -> Reason:
    """Return why a session with that host failed."""
    detail = cause(stderr.splitlines())
    otherwise = Code.CONNECTION_LOST if _LOST.search(detail) else Code.HOST_SESSION_FAILED
    code = next((code for pattern, code in _CAUSES if pattern.search(stderr)), otherwise)
    return code(host=host, detail=detail)


def cause(lines: Iterable[str]) -> str:
    """Return the most specific line: the last one of ssh or the other side's shell, else the first one of rsync."""
    said = [line.strip() for line in lines if not _NO_CAUSE.match(line)]
    line = next((line for line in reversed(said) if not line.startswith("rsync")), said[0] if said else "")
    if match := _CONNECT.fullmatch(line):
        address, port, why = match.groups()
        return f"{why} (address {address}, port {port})"
    return line.removeprefix("ssh: ") or "no message"
