"""Paths from the index: checked, and opened so that they cannot lead out of their root.

Others can write to the index and to a node's tree: a path may be anything, and any directory on it may have
been replaced by a symbolic link.  So every element is opened relative to the one above it, without following
links.  (This costs 2 µs for two directories; openat2 through ctypes would save half.)
"""

from __future__ import annotations

import os
import re
import stat
from errno import ELOOP, ENOTDIR
from types import TracebackType

from alpenhorn.errors import UnsafePath
from alpenhorn.model.nodes import MARKER
from alpenhorn.reasons import Code

_OWN = re.compile(rf"(?:\.alpenhorn[^/]*|{MARKER})(?:/|\Z)")
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW


def check_relative(path: str) -> str:
    """Return `path` if it is valid as a file's path below a root; raises UnsafePath otherwise."""
    _check_shape(path)
    if is_own(path):
        raise UnsafePath(Code.PATH_IS_OURS(path=path))
    return path


def is_own(path: str) -> bool:
    """Return whether a path below a root is one of alpenhorn's own files or directories, or below one."""
    return _OWN.match(path) is not None


def _check_shape(path: str) -> None:
    elements = f"/{path}/"
    if "//" in elements or "/./" in elements or "/../" in elements or "\0" in elements:
        raise UnsafePath(Code.PATH_NOT_BELOW_ROOT(path=path))
    if not path.isascii():
        try:
            os.fsencode(path)
        except UnicodeEncodeError:
            raise UnsafePath(Code.PATH_NOT_ENCODABLE(path=path)) from None


def open_below(root: str | int, path: str, flags: int, mode: int = 0o600) -> int:
    """Open `path` below `root` (a path or a directory's descriptor) without following symbolic links.

    Returns a descriptor that the caller closes.  Raises UnsafePath for a path that leads out of the root or
    through a symbolic link, and OSError.
    """
    with TreeOpener(root) as below:
        return below.open(path, flags, mode)


class TreeOpener:
    """Open paths below a root; the last directory stays open for the next file in it."""

    def __init__(self, root: str | int) -> None:
        self._owned = isinstance(root, str)
        self._root = os.open(root, os.O_PATH | os.O_DIRECTORY) if isinstance(root, str) else root
        self._last: str | None = None
        self._last_fd = -1

    def __enter__(self) -> TreeOpener:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._forget()
        if self._owned:
            os.close(self._root)
            self._owned = False

    def _forget(self) -> None:
        if self._last is not None:
            os.close(self._last_fd)
            self._last = None

    def open(self, path: str, flags: int, mode: int = 0o600) -> int:
        """See `open_below`."""
        directory, name = self.parent(path)
        try:
            return os.open(name, flags | os.O_NOFOLLOW, mode, dir_fd=directory)
        except OSError as error:
            raise _explained(error, directory, name, path) from None

    def parent(self, path: str) -> tuple[int, str]:
        """Return a descriptor (O_PATH) of the directory of `path`, closed by this object, and the name in it."""
        _check_shape(path)
        directory, _, name = path.rpartition("/")
        if not directory:
            return self._root, name
        if directory != self._last:
            fd = self._walk(directory, path)
            self._forget()
            self._last, self._last_fd = directory, fd
        return self._last_fd, name

    def _walk(self, directory: str, path: str) -> int:
        fd = self._root
        for element in directory.split("/"):
            try:
                below = os.open(element, _DIRECTORY, dir_fd=fd)
            except OSError as error:
                raise _explained(error, fd, element, path) from None
            finally:
                if fd != self._root:
                    os.close(fd)
            fd = below
        return fd


def _explained(error: OSError, directory: int, name: str, path: str) -> OSError | UnsafePath:
    """Return the error with the whole path; UnsafePath for a symbolic link."""
    if error.errno in (ELOOP, ENOTDIR):
        return not_followed(directory, name, path) or OSError(error.errno, error.strerror, path)
    return OSError(error.errno, error.strerror, path)


def not_followed(directory: int, name: str, path: str) -> UnsafePath | None:
    """Return UnsafePath if `name` in `directory`, an element of `path`, is a symbolic link."""
    try:
        link = stat.S_ISLNK(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)
    except OSError:
        return None
    return UnsafePath(Code.SYMBOLIC_LINK_ON_PATH(path=repr(path), name=repr(name))) if link else None


_KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def irregular(root: str, path: str) -> str:
    """Return what is at a path instead of a regular file; "" for a regular file, and if it cannot be determined."""
    try:
        with TreeOpener(root) as below:
            directory, name = below.parent(path)
            return kind(os.stat(name, dir_fd=directory, follow_symlinks=False))
    except (OSError, UnsafePath):
        return ""


def kind(status: os.stat_result) -> str:
    """Return the kind of file of a status; "" for a regular file."""
    return _KINDS.get(stat.S_IFMT(status.st_mode), "")
