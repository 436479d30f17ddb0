"""Command lines of rclone, and what its log says.

Files are named on standard input, so that no name is taken for an option or a pattern.  Passwords are in rclone's own
configuration, and never in a command line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from alpenhorn import outside
from alpenhorn.errors import CommandFailed, CommandTimedOut, StorageError
from alpenhorn.fs.command import run

NOT_FOUND = (3, 4)  # exit status: no such directory, no such file
# A run tries again by itself.  Names are never altered; an encrypted configuration must not ask for its password.
_ALWAYS = (
    "--use-json-log",
    "--stats=0",
    "--retries=1",
    "--low-level-retries=3",
    "--contimeout=15s",
    "--timeout=60s",
    "--no-unicode-normalization",
    "--ask-password=false",
)
_FROM_INPUT = ("--files-from-raw=-", "--no-traverse")
_PASSWORD = re.compile(r"(?<=://)[^/@\s]*@")
_FULL = re.compile(
    r"no space left|insufficient storage|\b507\b|quota|storage ?full|not enough space", re.IGNORECASE
)
_ATTEMPT = re.compile(r"^Attempt \d+/\d+ failed with \d+ errors? and: ")
_DONE = ("Copied", "Moved", "Renamed")
_SUM = re.compile(r"([0-9a-f]{32})  (.+)")


class Program(NamedTuple):
    """How rclone is called.  `config`: the path of its configuration, "" for its own default."""

    argv: tuple[str, ...] = ("rclone",)
    config: str = ""

    def command(self, *arguments: str, rate: int = 0, files: bool = False) -> list[str]:
        """Return a command line.  `rate`: bytes per second, 0 for no limit; `files`: read names from standard input."""
        config = (f"--config={self.config}",) if self.config else ()
        limit = (f"--bwlimit={rate}B",) if rate else ()
        return [*self.argv, *arguments, *config, *_ALWAYS, *limit, *(_FROM_INPUT if files else ())]


class LogLine(NamedTuple):
    """A line of rclone's log.  `path`: the object that it is about, "" for none."""

    level: str
    text: str
    path: str = ""


class Answer(NamedTuple):
    """How rclone ended.  `output`: its standard output."""

    status: int
    output: str
    log: tuple[LogLine, ...]

    def done(self) -> set[str]:
        """Return the paths of the files that were copied or moved."""
        return {line.path for line in self.log if line.path and line.text.startswith(_DONE)}

    def failed(self) -> dict[str, str]:
        """Return the first error of each path."""
        found: dict[str, str] = {}
        for line in self.log:
            if line.path and line.level == "error":
                found.setdefault(line.path, line.text)
        return found

    def why(self) -> str:
        """Return the error of the whole call."""
        errors = [line for line in self.log if line.level in ("critical", "error")]
        general = [line for line in errors if not line.path] or errors
        return _ATTEMPT.sub("", general[-1].text) if general else f"exit status {self.status}"


def call(
    argv: Sequence[str],
    names: Iterable[str] = (),
    *,
    content: bytes | None = None,
    seconds: float | None,
    stopping: Callable[[], bool] | None = None,
    on_line: Callable[[str], None] | None = None,
) -> Answer:
    """Run rclone and return how it ended, whatever its status.

    `names`: for its standard input, one a line; `content`: other input; `on_line`: is called with each line of output,
    which is not kept.  Raises StorageError if it cannot be started or
    takes too long, and Stopped.
    """
    given = "".join(f"{name}\n" for name in names).encode() if content is None else content
    try:
        done = run(argv, timeout=seconds, stdin=given or None, stopping=stopping, on_line=on_line)
    except CommandFailed as error:
        return Answer(error.status, error.stdout, _log(error.stderr))
    except CommandTimedOut as error:
        raise StorageError(error.reason) from None
    return Answer(0, done.stdout, _log(done.stderr))


def _log(text: str) -> tuple[LogLine, ...]:
    return tuple(_line(raw) for raw in text.splitlines() if raw.strip())


def _line(raw: str) -> LogLine:
    try:
        found: Any = json.loads(raw)
        level, text, path = found["level"], found["msg"], found.get("object", "")
        kind = found.get("objectType", "")
    except (ValueError, TypeError, KeyError, AttributeError):
        return LogLine("error", printable(raw))
    # Other things than files are named in the same field.
    return LogLine(
        str(level), printable(str(text)), str(path) if str(kind).endswith("Object") or not kind else ""
    )


def printable(text: str) -> str:
    """Return a message of rclone without the passwords that a URL in it may contain."""
    return outside.text(_PASSWORD.sub("", text))


def means_full(text: str) -> bool:
    """Return whether an error of rclone means that the storage is full."""
    return bool(_FULL.search(text))


def sums(output: str) -> dict[str, str]:
    """Return the MD5 sums in the output of `rclone hashsum`, by path."""
    return {found[2]: found[1] for line in output.splitlines() if (found := _SUM.fullmatch(line))}
