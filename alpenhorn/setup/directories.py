"""Inspection of directories that may become the roots of nodes, and of the mounted file systems.

Every access to a disk is in a worker, because a dead mount does not answer.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable, Iterable
from typing import NamedTuple

import psutil

from alpenhorn.coordinator.roots import SeenRoot, in_workers, look
from alpenhorn.fs.paths import is_own

# Mount points of the operating system, on which nobody keeps copies.
SYSTEM = ("/boot", "/dev", "/etc", "/proc", "/run/credentials", "/snap", "/sys", "/usr", "/var/lib/docker")
# File systems without a device that hold data.
SHARED = ("9p", "beegfs", "ceph", "cifs", "fuse.sshfs", "glusterfs", "lustre", "nfs", "nfs4", "smb3")


class SeenDirectory(NamedTuple):
    """A directory as it was found.

    `fault`: why it cannot be the root of a new node, "" if it can.  `disks`: the names of the disks that hold it, or
    of the device of its file system.  `loose`, `hidden`, `links`: numbers of files, of names that begin with a dot, and
    of symbolic links, directly in it.
    """

    root: SeenRoot
    fault: str
    disks: frozenset[str]
    loose: int = 0
    hidden: int = 0
    links: int = 0


class FileSystem(NamedTuple):
    """A mounted file system; sizes in bytes."""

    mount: str
    device: str
    kind: str
    total_b: int
    free_b: int


def directories(paths: Iterable[str], before_fork: Callable[[], None]) -> dict[str, SeenDirectory]:
    """Inspect each path; those that do not answer in time are left out."""
    return in_workers(paths, _directory, before_fork)


def file_systems(before_fork: Callable[[], None]) -> list[FileSystem]:
    """Return the mounted file systems that this user can write to, the one with the most free space first."""
    mounted = {
        one.mountpoint: one
        for one in psutil.disk_partitions(all=True)
        if (one.device.startswith("/") or one.fstype in SHARED)
        and "ro" not in one.opts.split(",")
        and not f"{one.mountpoint}/".startswith(tuple(f"{place}/" for place in SYSTEM))
    }
    found = in_workers(mounted, _space, before_fork)
    usable = [
        FileSystem(mount, mounted[mount].device, mounted[mount].fstype, *space)
        for mount, space in found.items()
        if space is not None
    ]
    return sorted(usable, key=lambda one: one.free_b, reverse=True)


def is_writable(directory: str | os.PathLike[str]) -> bool:
    """Return whether this user can create a file in a directory, by creating one that has no name, or is removed."""
    try:
        with tempfile.TemporaryFile(dir=directory):
            return True
    except OSError:
        return False


# --- in a worker ---------------------------------------------------------------------------------------


def _space(mount: str) -> tuple[int, int] | None:
    """Return total and free bytes of a file system; None if it is of no use."""
    if not os.path.isdir(mount) or not os.access(mount, os.W_OK | os.X_OK):
        return None
    space = os.statvfs(mount)
    return space.f_blocks * space.f_frsize, space.f_bavail * space.f_frsize


def _directory(path: str) -> SeenDirectory:
    try:
        status = os.stat(path)
        if not stat.S_ISDIR(status.st_mode):
            return SeenDirectory(look(path), "not a directory", frozenset())
        fault = _fault(path)
        counts = _top(path) if os.access(path, os.R_OK | os.X_OK) else (0, 0, 0)
    except FileNotFoundError:
        # Not created: a disk that is not mounted would be replaced by a directory of the system's disk.
        return SeenDirectory(look(path), "no such directory; create it, or mount its disk", frozenset())
    except OSError as error:
        return SeenDirectory(look(path), f"cannot be read: {error.strerror}", frozenset())
    return SeenDirectory(look(path), fault, disks(path, status.st_dev), *counts)


def _fault(path: str) -> str:
    space = os.statvfs(path)
    if space.f_flag & os.ST_RDONLY:
        return "the file system is read-only; mount it writable, or choose another directory"
    if not os.access(path, os.R_OK | os.X_OK) or (space.f_bavail and not is_writable(path)):
        return "this user may not read and write there; change its owner or mode"
    if (space.f_blocks and not space.f_bavail) or (space.f_files and not space.f_favail):
        return "the file system is full; free some space, or choose another directory"
    return ""


def _top(path: str) -> tuple[int, int, int]:
    loose = hidden = links = 0
    with os.scandir(path) as entries:
        for entry in entries:
            if is_own(entry.name):
                continue
            if entry.name.startswith("."):
                hidden += 1
            elif entry.is_symlink():
                links += 1
            elif entry.is_file():
                loose += 1
    return loose, hidden, links


def disks(path: str, device: int) -> frozenset[str]:
    """Return the names of the disks below a file system, such as {"sda"}, of which partitions, volumes and arrays are
    parts; the number of its device if there is none, as for a directory of a server.
    """
    block = _block(device) or _source(path)
    return frozenset(_whole(block)) if block else frozenset({f"device {device}"})


def _block(device: int) -> str:
    path = f"/sys/dev/block/{os.major(device)}:{os.minor(device)}"
    return os.path.realpath(path) if os.path.exists(path) else ""


def _source(path: str) -> str:
    """Return the block device that is mounted above `path`; btrfs has device numbers of its own."""
    real = os.path.realpath(path)
    above = [
        one
        for one in psutil.disk_partitions(all=True)
        if real == one.mountpoint or real.startswith(f"{one.mountpoint.rstrip('/')}/")
    ]
    # Of mounts at the same place, the last one hides the others.
    device = max(reversed(above), key=lambda one: len(one.mountpoint)).device if above else ""
    try:
        status = os.stat(device)
    except (OSError, ValueError):
        return ""
    return _block(status.st_rdev) if stat.S_ISBLK(status.st_mode) else ""


def _whole(block: str) -> set[str]:
    parts = os.path.join(block, "slaves")
    below = os.listdir(parts) if os.path.isdir(parts) else []
    if below:
        return set().union(*(_whole(os.path.realpath(os.path.join(parts, name))) for name in below))
    if os.path.exists(os.path.join(block, "partition")):
        block = os.path.dirname(block)
    return {os.path.basename(block)}
