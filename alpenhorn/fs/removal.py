"""Removing files from a storage, and from no other.

What is removed is found relative to a descriptor of the root, in which the marker was read: should something else
be mounted at the root meanwhile, or a directory on the way be replaced by a symbolic link, nothing there is touched.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from types import TracebackType

from alpenhorn.errors import AlpenhornError, StorageError, UnsafePath
from alpenhorn.fs.directories import prune
from alpenhorn.fs.paths import Below, check_relative
from alpenhorn.fs.tree_lock import TreeLock

PATIENCE = (
    30.0  # seconds to wait for whoever places files, before empty directories are left to the next deletion
)


class Differs(AlpenhornError):
    """What is at a path is not the file that the index knows, and was left alone."""


class Removal:
    """Removes files below `root`; a context manager.

    `check` is given a descriptor of the directory and raises StorageError unless it is the right storage.
    Raises StorageError when it is not, and when there is no such directory.
    """

    def __init__(self, root: str, check: Callable[[int], None]) -> None:
        self._check = check
        self._directories: dict[str, None] = {}
        try:
            self._root = os.open(root, os.O_PATH | os.O_DIRECTORY)
        except OSError as error:
            raise StorageError(
                f"the root {root} cannot be opened: {error.strerror}; is its storage mounted?"
            ) from None
        self._below = Below(self._root)
        try:
            self.check()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Removal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._below.close()
        os.close(self._root)

    def check(self) -> None:
        """Raise StorageError when the storage cannot be used any more."""
        self._check(self._root)

    def remove(self, path: str, size_b: int | None) -> os.stat_result:
        """Remove a regular file, and return what it was.

        `size_b`: the length that it must have, None for any.  Raises FileNotFoundError or NotADirectoryError when
        it is not there, Differs when it is something else, UnsafePath, and OSError when it cannot be removed.
        """
        directory, name = self._below.parent(check_relative(path))
        self._directories[path.rpartition("/")[0]] = None
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if stat.S_ISLNK(status.st_mode):
            raise UnsafePath(f"{path!r}: {name!r} is a symbolic link, which is not followed")
        if not stat.S_ISREG(status.st_mode):
            raise Differs("it is not a regular file")
        if size_b is not None and status.st_size != size_b:
            raise Differs(f"its length is {status.st_size} bytes, the index says {size_b}")
        os.unlink(name, dir_fd=directory)
        return status

    def exists(self, path: str) -> bool:
        """Whether anything is at the path; raises OSError when that cannot be told, and UnsafePath."""
        directory, name = self._below.parent(path)
        try:
            os.stat(name, dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def prune(self) -> None:
        """Remove the directories that have become empty by what was removed, or was not there any more.

        Raises LockTimeout, StorageError, UnsafePath and OSError; the next deletion there tries again.
        """
        # The lock file too is that of this storage, whatever is mounted at the root by now.
        lock = TreeLock(f"/proc/self/fd/{self._root}")
        try:
            prune(self._root, self._directories, lock, PATIENCE)
        finally:
            lock.close()
