"""Check the programs that pulls from other hosts use."""

from __future__ import annotations

import re
import shutil
from collections.abc import Generator, Sequence

from alpenhorn.config import Transfer
from alpenhorn.errors import AlpenhornError, CommandFailed, CommandTimedOut
from alpenhorn.fs.command import run
from alpenhorn.index.check import Finding, Level
from alpenhorn.reasons import Code, Reason
from alpenhorn.transfer import rsync

TOOL_SECONDS = 10.0
_NUMBER = re.compile(r"\d+(?:\.\d+)+\w*")


def tools(
    transfer: Transfer, needed: bool, seconds: float = TOOL_SECONDS
) -> Generator[Finding, None, frozenset[str]]:
    """Check rsync, ssh and bbcp; return the usable ones.  `needed`: pulls on this host use rsync or ssh."""
    usable = set()
    # An old rsync that lacks an option would fail only during pulls.
    options = rsync.command(transfer.rsync, "/", "/")[1:-3]
    wanted: list[tuple[str, str, tuple[str, ...]]] = [
        ("rsync", transfer.rsync, (*options, "--version")),
        ("ssh", transfer.ssh[0], ("-V",)),
    ]
    if transfer.bbcp is not None:
        wanted.append(("bbcp", transfer.bbcp, ("--version",)))
    for tool, program, arguments in wanted:
        finding = _tool(tool, program, arguments, needed and tool != "bbcp", seconds)
        yield finding
        if finding.level is Level.PASS:
            usable.add(tool)
    return frozenset(usable)


def _tool(tool: str, program: str, arguments: Sequence[str], needed: bool, seconds: float) -> Finding:
    bad = Level.FAIL if needed else Level.WARN
    path = shutil.which(program)
    if path is None:
        where = "is not on PATH" if "/" not in program else "does not exist, or is not executable"
        purpose = {
            "bbcp": "rsync is used instead",
            "rsync": "files cannot be pulled from other hosts",
            "ssh": "files cannot be pulled from other hosts",
        }[tool]
        return Finding(
            bad,
            Code.TOOL_MISSING(tool=tool, program=program, where=where, purpose=purpose),
            f"install {tool}, or set its path in [transfer] {tool}",
        )
    try:
        done = run((path, *arguments), timeout=seconds)
        said = done.stdout + done.stderr
    except CommandTimedOut:
        return Finding(
            bad,
            Code.TOOL_HANGS(tool=tool, path=path, seconds=seconds),
            f"run it to find out what it waits for: {path} {arguments[-1]}",
        )
    except CommandFailed as error:
        if tool == "rsync":
            found = rsync.version(path)
            if found and rsync.too_old(found):
                return _too_old(bad, path, found)
            return Finding(
                bad,
                Code.TOOL_TOO_OLD(tool=f"rsync {found} ({path})", said=_first(error.stderr)),
                "install a newer rsync",
            )
        said = error.stderr
    except AlpenhornError as error:
        return Finding(
            bad,
            Code.TOOL_FAILS(tool=tool, path=path, why=error),
            f"reinstall {tool}, or set another in [transfer] {tool}",
        )
    version = _NUMBER.search(_first(said))
    if tool == "rsync" and version and rsync.too_old(version[0]):
        return _too_old(bad, path, version[0])
    return Finding(Level.PASS, _with_version(tool, path, said))


def _too_old(bad: Level, path: str, version: str) -> Finding:
    text = f"rsync {version} ({path}) is too old: alpenhorn needs {rsync.OLDEST} or later"
    remedy = "install a newer rsync, or set its path in [transfer] rsync"
    return Finding(bad, Reason(text, Code.RSYNC_TOO_OLD), remedy)


def _with_version(tool: str, path: str, said: str) -> str:
    version = _NUMBER.search(_first(said))
    return f"{tool} {version[0]} ({path})" if version else f"{tool} ({path})"


def _first(text: str) -> str:
    return next(iter(text.strip().splitlines()), "")
