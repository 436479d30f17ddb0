"""`alpenhorn doctor`: what other users of this host could do to a node, or have done.  Used in workers only."""

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
    """`refused`: a run does not work on the node as it is."""

    text: Reason
    remedy: str
    refused: bool = False


def dangers(root: str) -> tuple[Danger, ...]:
    """Look at a root and at our own files there; nothing is made or changed, and no lock is taken."""
    try:
        status = os.stat(root)
    except OSError:
        return ()  # told by the probe
    found = _root(root, status)
    for path in (*LOCKS, identity.PATH):
        try:
            fd = open_own(root, path, os.O_RDONLY)
        except StorageError as error:
            text, _, remedy = str(error).partition("; ")
            danger = Danger(within(error.reason, text), remedy, refused=True)
            # Several files may have one fault: that of their directory.
            if danger not in found:
                found.append(danger)
        except OSError:
            continue  # it is not there yet, or is told as what cannot be written
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
    whose = (
        ", though not replace or remove what is there (sticky bit)" if status.st_mode & stat.S_ISVTX else ""
    )
    return [
        Danger(
            Code.ROOT_OPEN_TO_ALL(root=root, whose=whose),
            f"chmod o-w {shlex.quote(root)} (for several users: a group of theirs, and chmod 2770)",
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
            f"alpenhorn sync as its owner sets that right, or: chmod {mode} {shlex.quote(path)}",
        )
    ]
