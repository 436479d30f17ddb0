"""The abilities of the file system below a root: valid names, case sensitivity, links, modes, owners.

FAT, exFAT and some network file systems lack abilities of ext4 and XFS.  These are tested where they matter,
since drivers of one type differ; file systems known to have them all are not tested.
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
"""File systems where adding a file may not change the directory's times."""

LARGEST_ON_FAT_B = 2**32 - 1

UNSUPPORTED = frozenset({errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EMLINK})
"""Errors by which file systems report that they do not support links, modes, owners or times."""

_ODD = re.compile(r'[\x00-\x1f"*:<>?\\|\x7f\ud800-\udfff]|[. ]\Z')
_NAMES_LONGEST = 120  # characters; the limit is 255 bytes or UTF-16 units, or less in encrypted file systems


def kind_of(fd: int) -> str:
    """Return the type of the file system of an open file, as named by mount(8); "" if unknown."""
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
    """The abilities of the file system of `root`; `scratch` is a directory on it for test files.

    Both are descriptors, which the caller closes.
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
        """The name of the type, for messages."""
        return self.kind or "of an unknown type"

    @cached_property
    def largest_b(self) -> int | None:
        """The maximum length of a file, if it is known and small."""
        return LARGEST_ON_FAT_B if self.kind in FAT else None

    @cached_property
    def folds(self) -> bool:
        """Whether files are also found under other names, such as in another case."""
        return folds(self._root)

    @cached_property
    def keeps_owners(self) -> bool:
        """Whether this user can set modes and owners of copies."""
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
        """Whether new names are reserved with an empty file, since neither renameat2 nor link is supported."""
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
        """Return the first element of `path` that is not a valid name; "" if all are valid."""
        if self.kind in POSIX:
            return ""
        for element in path.split("/"):
            odd = "".join(sorted(set(_ODD.findall(element))))
            if len(element) > _NAMES_LONGEST:
                odd = element
            if odd:
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
            # Errors such as a full disk do not make a name invalid.
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
        """Return the listed path that `path` refers to if it differs, else "".

        Two names of one file must not count as two files: changes to one affect the other.
        """
        return alias(self._root, path, self._listed) if self.folds else ""

    def left_reserved(self, path: str) -> bool:
        """Return whether an empty file at `path` is a name reserved by a pull that was killed."""
        try:
            status = os.stat(path, dir_fd=self._root, follow_symlinks=False)
        except OSError:
            return False
        return stat.S_ISREG(status.st_mode) and status.st_size == 0 and self.reserves

    def _file(self) -> _Scratch:
        return _Scratch(self._scratch)


class _Scratch:
    """A file for tests, removed at the end under both of its names."""

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
    """Return whether names below an open root are case insensitive, tested with alpenhorn's own names."""
    for name in (".ALPENHORN", MARKER.lower()):
        try:
            os.stat(name, dir_fd=root, follow_symlinks=False)
        except OSError:
            continue
        return name not in _names(root, "")
    return False


def alias(root: int, path: str, listed: dict[str, frozenset[str]]) -> str:
    """See `Abilities.alias`; for file systems that fold names.  `listed`: cache of directory listings."""
    directory = ""
    for element in path.split("/"):
        here = f"{directory}/{element}" if directory else element
        try:
            os.stat(here, dir_fd=root, follow_symlinks=False)
        except OSError:
            return ""
        names = listed.get(directory)
        if names is None or element not in names:  # it may have been added since
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
