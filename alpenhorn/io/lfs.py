"""The program `lfs` of the Lustre file system: its command lines, and what it answers (lfs-quota(1))."""

from __future__ import annotations

import re
from typing import NamedTuple

from alpenhorn.errors import StorageError

FLAGS = {"user": "-u", "group": "-g", "project": "-p"}
DEFAULT_QUOTA = "using default block quota setting"
_COLUMNS = 8  # used, quota, limit, grace, files, quota, limit, grace
_USED = re.compile(r"(\d+)\*?")


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
        raise StorageError(f"lfs quota gave an answer that is not understood: {answer.strip()[:200]!r}")
    soft, hard = map(int, limits)
    return Quota(int(used[1]), None if DEFAULT_QUOTA in rest else hard or soft)
