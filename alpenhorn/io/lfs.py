"""Command lines and output of Lustre's `lfs`: lfs-quota(1), lfs-hsm(1), and lfs_hsm_state(), lfs_hsm_action()
and lfs_hsm_request() in lustre/utils/lfs.c.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import NamedTuple

from alpenhorn.errors import StorageError
from alpenhorn.reasons import Code

FLAGS = {"user": "-u", "group": "-g", "project": "-p"}
DEFAULT_QUOTA = "using default block quota setting"
_COLUMNS = 8  # used, quota, limit, grace, files, quota, limit, grace
_USED = re.compile(r"(\d+)\*?")

# After the path: the flags as a number and as words.
STATE = re.compile(r": \(0x[0-9a-f]+\)((?: [a-z_]+)*)(?:, archive_id:[0-9]+)?\n")
RELEASED, ARCHIVED, DIRTY = "released", "archived", "dirty"
NEVER_RELEASE, LOST = "never_release", "lost_from_hsm"
# After the path: "NOOP", or the action and its progress.
ACTION = re.compile(r": ([A-Z]+)\b[^\n]*\n")
RESTORE = "RESTORE"

MOST_PATHS = 100  # per call
MOST_BYTES = 100_000  # of paths per call; a command line holds about 128 KiB where stacks are small
_GONE = ("No such file or directory", "Not a directory")


class Quota(NamedTuple):
    """Quota in KiB.  `limit`: 0 for no limit, None if the reported limit is not the real one."""

    used: int
    limit: int | None


def quota_argv(lfs: str, quota_type: str, quota_id: str, path: str) -> list[str]:
    return [lfs, "quota", "-q", FLAGS[quota_type], quota_id, path]


def parse_quota(answer: str, path: str) -> Quota:
    """Parse the output of `lfs quota -q` for a path; raises StorageError if it is anything else.

    lfs prints a path of more than 15 characters on a line of its own.  Numbers in brackets are rejected: lfs
    prints them when a server did not answer.
    """
    begin, found, rest = answer.lstrip().partition(path)
    columns = rest.split()[:_COLUMNS]
    used = _USED.fullmatch(columns[0]) if columns else None
    limits = [columns[n] for n in (1, 2)] if len(columns) == _COLUMNS else []
    if begin or not found or used is None or not limits or not all(limit.isdecimal() for limit in limits):
        raise StorageError(Code.LFS_QUOTA_UNCLEAR(answer=answer.strip()[:200]))
    soft, hard = map(int, limits)
    return Quota(int(used[1]), None if DEFAULT_QUOTA in rest else hard or soft)


def hsm_argv(lfs: str, verb: str, paths: Sequence[str]) -> list[str]:
    """Return the command line of hsm_state, hsm_action, hsm_restore or hsm_release; `paths` are absolute."""
    return [lfs, verb, *paths]


def batch(paths: Sequence[str]) -> Sequence[str]:
    """Return the first of the paths, as many as fit into one call."""
    size_b = 0
    for number, path in enumerate(paths[:MOST_PATHS]):
        size_b += len(os.fsencode(path)) + 1
        if size_b > MOST_BYTES and number:
            return paths[:number]
    return paths[:MOST_PATHS]


def answers(output: str, paths: Sequence[str], line: re.Pattern[str]) -> tuple[list[re.Match[str]], str]:
    """Return the answers for the first paths, in order, each a match of `line`, and the remaining text.

    Answers are located by the requested paths, since a path may contain anything, newlines included.
    """
    found: list[re.Match[str]] = []
    at = 0
    for path in paths:
        match = line.match(output, at + len(path)) if output.startswith(path, at) else None
        if match is None:
            break
        found.append(match)
        at = match.end()
    return found, output[at:]


def refusal(said: str, path: str) -> str:
    """Return the reason on standard error for a path ("can't get hsm state for PATH: REASON"); "" for none."""
    found = re.search(re.escape(path) + r"['\"]?: *(\S[^\n]*)", said)
    return found[1].strip() if found else ""


def is_gone(reason: str) -> bool:
    """Return whether the reason says that the file does not exist."""
    return reason.startswith(_GONE)
