"""Check what other users of this host can do to a node, or have done.  Used in workers only."""

from __future__ import annotations

import os
import shlex
import stat
from typing import NamedTuple

from alpenhorn.errors import StorageError
from alpenhorn.fs import identity
from alpenhorn.fs.own import open_own
from alpenhorn.fs.run_lock import RUN_LOCK
from alpenhorn.fs.tree_lock import LOCK_NAME
from alpenhorn.reasons import Code, Reason, within

LOCKS = (LOCK_NAME, RUN_LOCK)


class Danger(NamedTuple):
    """A risk from other users.  `refused`: runs refuse to work on the node until it is removed."""

    text: Reason
    remedy: str
    refused: bool = False


def dangers(root: str) -> tuple[Danger, ...]:
    """Check a root and alpenhorn's own files in it, without changing or locking anything."""
    try:
        status = os.stat(root)
    except OSError:
        return ()  # reported by the probe
    found = _root(root, status)
    for path in (*LOCKS, identity.PATH):
        try:
            fd = open_own(root, path, os.O_RDONLY)
        except StorageError as error:
            text, _, remedy = str(error).partition("; ")
            danger = Danger(within(error.reason, text), remedy, refused=True)
            # A fault of their directory would be reported once for each file.
            if danger not in found:
                found.append(danger)
        except OSError:
            continue  # not created yet, or reported as not writable
        else:
            try:
                if path in LOCKS:
                    found += _lock(f"{root}/{path}", os.fstat(fd), status)
            finally:
                os.close(fd)
    return tuple(found)


def _root(root: str, status: os.stat_result) -> list[Danger]:
    if not status.st_mode & stat.S_IWOTH:
        return []
    whose = ", but not replace or delete existing ones (sticky bit)" if status.st_mode & stat.S_ISVTX else ""
    return [
        Danger(
            Code.ROOT_OPEN_TO_ALL(root=root, whose=whose),
            f"chmod o-w {shlex.quote(root)} (for several users: a common group, and chmod 2770)",
        )
    ]


def _lock(path: str, status: os.stat_result, root: os.stat_result) -> list[Danger]:
    group = bool(root.st_mode & stat.S_IWGRP) or bool(status.st_mode & stat.S_IWGRP)
    open_to = stat.S_IRWXO if group else stat.S_IRWXO | stat.S_IRWXG
    if not status.st_mode & open_to & (stat.S_IROTH | stat.S_IWOTH | stat.S_IRGRP | stat.S_IWGRP):
        return []
    mode = "660" if group else "600"
    return [
        Danger(
            Code.LOCK_FILE_OPEN(path=path),
            f"run `alpenhorn sync` as its owner, or: chmod {mode} {shlex.quote(path)}",
        )
    ]
