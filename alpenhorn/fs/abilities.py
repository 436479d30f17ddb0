"""What the file system below a root cannot do: names that it refuses or takes for one another, links, modes, owners.

FAT, exFAT and some network file systems lack what ext4 and XFS have.  Which they lack is tried out where it matters,
since the same type behaves differently from driver to driver; a file system that is known to have it all is not asked.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from contextlib import suppress
from functools import cached_property

from alpenhorn.fs.syscalls import rename_noreplace
from alpenhorn.model.nodes import MARKER

POSIX = frozenset(
    {"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "tmpfs", "f2fs", "bcachefs", "lustre", "overlay"}
)
FAT = frozenset({"msdos", "vfat", "fuse.fusefat"})
TIMELESS = FAT | {"exfat", "fuseblk", "fuse.exfat", "fuse"}
"""Where a directory's times need not tell that a file was added: other systems leave them, and roots have none."""

LARGEST_ON_FAT_B = 2**32 - 1

UNSUPPORTED = frozenset({errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EMLINK})
"""Errors by which file systems say that they have no such thing as links, modes, owners or times."""

_ODD = re.compile(r'[\x00-\x1f"*:<>?\\|\x7f\ud800-\udfff]|[. ]\Z')
_NAMES_LONGEST = (
    120  # characters; a name may take 255 bytes, or 255 UTF-16 units, or fewer in a file of an archive
)


def kind_of(fd: int) -> str:
    """The type of the file system of an open file, as mount(8) names it; "" where /proc does not tell."""
    try:
        with open(f"/proc/self/fdinfo/{fd}") as info:
            mount = next((line.split()[1] for line in info if line.startswith("mnt_id:")), "")
        with open("/proc/self/mountinfo", errors="surrogateescape") as mounts:
            for line in mounts:
                if line.partition(" ")[0] == mount:
                    return line.partition(" - ")[2].partition(" ")[0]
    except OSError:
        pass
    return ""


class Abilities:
    """Those of the file system of a root; `scratch` is a directory on it in which files may be made.

    Both are descriptors, which stay the caller's.
    """

    def __init__(self, root: int, scratch: int) -> None:
        self._root = root
        self._scratch = scratch
        self._refused: dict[str, bool] = {}
        self._listed: dict[str, frozenset[str]] = {}

    @cached_property
    def kind(self) -> str:
        return kind_of(self._root)

    @property
    def name(self) -> str:
        """What to call it in a message."""
        return self.kind or "of an unknown type"

    @cached_property
    def largest_b(self) -> int | None:
        """The length of the largest file where that is known and small."""
        return LARGEST_ON_FAT_B if self.kind in FAT else None

    @cached_property
    def folds(self) -> bool:
        """Whether a file is found under names that differ from its own, in case for instance."""
        return folds(self._root)

    @cached_property
    def keeps_owners(self) -> bool:
        """Whether modes and owners can be set as a copy should have them, as this user."""
        if self.kind in POSIX:
            return True
        with self._file() as file:
            try:
                os.fchmod(file.fd, 0o640)
                if stat.S_IMODE(os.fstat(file.fd).st_mode) != 0o640:
                    return False
                if os.geteuid() == 0:
                    os.fchown(file.fd, 1, 1)
                    return os.fstat(file.fd).st_uid == 1
            except OSError:
                return False
        return True

    @cached_property
    def reserves(self) -> bool:
        """Whether a new name is reserved with an empty file, since neither renameat2 nor link can be had."""
        if self.kind in POSIX:
            return False
        with self._file() as file:
            try:
                rename_noreplace(file.name, file.other, self._scratch, self._scratch)
            except OSError:
                with suppress(OSError):
                    os.link(file.name, file.other, src_dir_fd=self._scratch, dst_dir_fd=self._scratch)
                    return False
                return True
        return False

    def refused(self, path: str) -> str:
        """The first element of `path` that cannot be a name there; "" when all can."""
        for element in path.split("/"):
            odd = "".join(sorted(set(_ODD.findall(element))))
            if len(element) > _NAMES_LONGEST:
                odd = element
            if odd and self.kind not in POSIX:
                if odd not in self._refused:
                    self._refused[odd] = not self._takes(element)
                if self._refused[odd]:
                    return element
        return ""

    def _takes(self, name: str) -> bool:
        try:
            fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600, dir_fd=self._scratch)
        except FileExistsError:
            return True
        except OSError as error:
            # A full disk, say, is nothing to blame a name for.
            return error.errno not in (
                *UNSUPPORTED,
                errno.ENOENT,
                errno.EILSEQ,
                errno.ENAMETOOLONG,
                errno.EACCES,
            )
        os.close(fd)
        try:
            os.unlink(name, dir_fd=self._scratch)
        except OSError:
            return False
        return True

    def alias(self, path: str) -> str:
        """What is really listed where `path` would be found, "" when nothing else is.

        Two names that are one to the file system must not be taken for two files: what is done to one is done to the
        other.
        """
        return alias(self._root, path, self._listed) if self.folds else ""

    def left_reserved(self, path: str) -> bool:
        """Whether an empty file at `path` is taken for a name that a pull reserved before it was killed."""
        try:
            status = os.stat(path, dir_fd=self._root, follow_symlinks=False)
        except OSError:
            return False
        return stat.S_ISREG(status.st_mode) and status.st_size == 0 and self.reserves

    def _file(self) -> _Scratch:
        return _Scratch(self._scratch)


class _Scratch:
    """A file to try things out on, removed at the end under both of its names."""

    def __init__(self, directory: int) -> None:
        self._directory = directory
        word = os.urandom(8).hex()
        self.name = f"try-{word}"
        self.other = f"tried-{word}"

    def __enter__(self) -> _Scratch:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        self.fd = os.open(self.name, flags, 0o600, dir_fd=self._directory)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)
        for name in (self.name, self.other):
            with suppress(OSError):
                os.unlink(name, dir_fd=self._directory)


def folds(root: int) -> bool:
    """Whether names below an open root that differ in case only are one; our own names are there to be found."""
    for name in (".ALPENHORN", MARKER.lower()):
        try:
            os.stat(name, dir_fd=root, follow_symlinks=False)
        except OSError:
            continue
        return name not in _names(root, "")
    return False


def alias(root: int, path: str, listed: dict[str, frozenset[str]]) -> str:
    """As `Abilities.alias`, on a file system that folds names; `listed` remembers directories."""
    directory = ""
    for element in path.split("/"):
        here = f"{directory}/{element}" if directory else element
        try:
            os.stat(here, dir_fd=root, follow_symlinks=False)
        except OSError:
            return ""
        names = listed.get(directory)
        if names is None or element not in names:  # it may have come since
            names = listed[directory] = _names(root, directory)
        if element not in names:
            folded = element.casefold().rstrip(". ")
            found = next(
                (name for name in sorted(names) if name.casefold().rstrip(". ") == folded), "another name"
            )
            return f"{directory}/{found}" if directory else found
        directory = here
    return ""


def _names(root: int, directory: str) -> frozenset[str]:
    fd = os.open(directory or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=root)
    try:
        return frozenset(os.listdir(fd))
    finally:
        os.close(fd)
