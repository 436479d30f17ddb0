"""The program `lfs` of the Lustre file system: its command lines, and what it answers (lfs-quota(1), lfs-hsm(1), and
lfs_hsm_state(), lfs_hsm_action() and lfs_hsm_request() in lustre/utils/lfs.c)."""

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

# What follows the path: the flags, and the same in words.
STATE = re.compile(r": \(0x[0-9a-f]+\)((?: [a-z_]+)*)(?:, archive_id:[0-9]+)?\n")
RELEASED, ARCHIVED, DIRTY = "released", "archived", "dirty"
NEVER_RELEASE, LOST = "never_release", "lost_from_hsm"
# What follows the path: "NOOP", or what is done and how far it is.
ACTION = re.compile(r": ([A-Z]+)\b[^\n]*\n")
RESTORE = "RESTORE"

MOST_PATHS = 100  # in one call
MOST_BYTES = 100_000  # of paths, of which a command line may hold some 128 KiB where stacks are small
_GONE = ("No such file or directory", "Not a directory")


class Quota(NamedTuple):
    """In KiB.  `limit` 0: there is none; None: what is reported is not the real one."""

    used: int
    limit: int | None


def quota_argv(lfs: str, quota_type: str, quota_id: str, path: str) -> list[str]:
    return [lfs, "quota", "-q", FLAGS[quota_type], quota_id, path]


def parse_quota(answer: str, path: str) -> Quota:
    """Raises StorageError for anything that is not what `lfs quota -q` prints for that path.

    A path of more than 15 characters stands on a line of its own.  A number in brackets is one that lfs does
    not vouch for, as a server did not answer, and is not taken.
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
    """`verb`: hsm_state, hsm_action, hsm_restore or hsm_release; `paths` are absolute."""
    return [lfs, verb, *paths]


def batch(paths: Sequence[str]) -> Sequence[str]:
    """The first of the paths, as many as are asked for in one call."""
    size_b = 0
    for number, path in enumerate(paths[:MOST_PATHS]):
        size_b += len(os.fsencode(path)) + 1
        if size_b > MOST_BYTES and number:
            return paths[:number]
    return paths[:MOST_PATHS]


def answers(output: str, paths: Sequence[str], line: re.Pattern[str]) -> tuple[list[re.Match[str]], str]:
    """The answers for the first of the paths, in their order, each a match of `line`; and the text behind them.

    They are found by the paths that were asked for, since a path may hold all that an answer does, line ends too.
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
    """The reason that lfs gives for a path on standard error ("can't get hsm state for PATH: REASON"); "" for none."""
    found = re.search(re.escape(path) + r"['\"]?: *(\S[^\n]*)", said)
    return found[1].strip() if found else ""


def is_gone(reason: str) -> bool:
    """Whether a refusal says that there is no such file."""
    return reason.startswith(_GONE)
