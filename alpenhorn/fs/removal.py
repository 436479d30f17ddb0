"""Looking at files of a storage, and removing them, on that storage and on no other.

What is looked at or removed is found relative to a descriptor of the root, in which the marker was read: should
something else be mounted at the root meanwhile, or a directory on the way be replaced by a symbolic link, nothing
there is touched.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from types import TracebackType
from typing import NamedTuple, Self

from alpenhorn.errors import AlpenhornError, StorageError
from alpenhorn.fs.abilities import alias, folds
from alpenhorn.fs.directories import prune
from alpenhorn.fs.flushing import Flusher
from alpenhorn.fs.paths import Below, check_relative, kind
from alpenhorn.fs.tree_lock import TreeLock
from alpenhorn.reasons import Code, Reason

PATIENCE = (
    30.0  # seconds to wait for whoever places files, before empty directories are left to the next deletion
)


class Differs(AlpenhornError):
    """What is at a path is not the file that the index knows, and was left alone."""

    def __init__(self, why: Reason) -> None:
        super().__init__(why)


def accept(entry: Entry) -> None:
    """Nothing speaks against a removal."""


class Entry(NamedTuple):
    """A name in a directory: the status of what it names, and the directory's device and inode."""

    status: os.stat_result
    directory: tuple[int, int]
    name: str

    @property
    def inode(self) -> tuple[int, int]:
        return self.status.st_dev, self.status.st_ino

    def is_same_name(self, other: Entry) -> bool:
        """Whether the two are one and the same name, seen by two ways, and not two names of one file."""
        return (self.directory, self.name) == (other.directory, other.name)


class OpenRoot:
    """The root of a storage, held open; a context manager.

    `check` is given a descriptor of the directory and raises StorageError unless it is the right storage.
    Raises StorageError when it is not, and when there is no such directory.
    """

    def __init__(self, root: str, check: Callable[[int], None]) -> None:
        self._check = check
        try:
            self._root = os.open(root, os.O_PATH | os.O_DIRECTORY)
        except OSError as error:
            raise StorageError(Code.ROOT_NOT_OPENED(root=root, why=error.strerror)) from None
        self._at_end = ExitStack()
        self._at_end.callback(os.close, self._root)
        self._below = Below(self._root)
        self._at_end.callback(self._below.close)
        try:
            self.check()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._at_end.close()

    def check(self) -> None:
        """Raise StorageError when the storage cannot be used any more."""
        self._check(self._root)

    def look(self, path: str, size_b: int | None) -> Entry:
        """Return what is known of a regular file without reading it.

        `size_b`: the length that it must have, None for any.  Raises FileNotFoundError or NotADirectoryError when it
        is not there, Differs when it is something else, UnsafePath, and OSError when it cannot be looked at.
        """
        directory, name = self._below.parent(check_relative(path))
        return _look(directory, name, size_b)


class Removal(OpenRoot):
    """As OpenRoot; removes files as well."""

    def __init__(self, root: str, check: Callable[[int], None]) -> None:
        super().__init__(root, check)
        self._directories: dict[str, None] = {}
        self._listed: dict[str, frozenset[str]] = {}
        try:
            self._flusher = self._at_end.enter_context(Flusher(self._root))
            self._folds = folds(self._root)
        except BaseException:
            self.close()
            raise

    def remove(
        self, path: str, size_b: int | None, decide: Callable[[Entry], None] = accept
    ) -> os.stat_result:
        """Remove a regular file, and return what it was.

        `decide` is called last before that, and keeps the file by raising something.  `size_b` and what is raised:
        as for `look`, and OSError when the file cannot be removed.
        """
        directory, name = self._below.parent(check_relative(path))
        if self._folds and (other := alias(self._root, path, self._listed)):
            raise Differs(Code.FOUND_UNDER_OTHER_NAME(listed=other))
        self._directories[path.rpartition("/")[0]] = None
        entry = _look(directory, name, size_b)
        decide(entry)
        # Deciding takes its time where other storages have to answer.
        if _look(directory, name, size_b).inode != entry.inode:
            raise Differs(Code.FILE_REPLACED_MEANWHILE())
        os.unlink(name, dir_fd=directory)
        return entry.status

    def exists(self, path: str) -> bool:
        """Whether anything is at the path; raises OSError when that cannot be told, and UnsafePath."""
        directory, name = self._below.parent(path)
        try:
            os.stat(name, dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def flush(self, gone: Iterable[str]) -> None:
        """Make it durable that there are no such files any more.  Raises OSError, which is final."""
        for path in gone:
            self._flusher.add_name(path)
        self._flusher.flush()

    def prune(self, stopping: Callable[[], bool] | None = None) -> None:
        """Remove the directories that have become empty by what was removed, or was not there any more.

        Raises LockTimeout, Stopped, StorageError, UnsafePath and OSError; the next deletion there tries again.
        """
        # The lock file too is that of this storage, whatever is mounted at the root by now.
        lock = TreeLock(f"/proc/self/fd/{self._root}", PATIENCE, stopping)
        try:
            prune(self._root, self._directories, lock)
        finally:
            lock.close()


def _look(directory: int, name: str, size_b: int | None) -> Entry:
    status = os.stat(name, dir_fd=directory, follow_symlinks=False)
    if found := kind(status):
        raise Differs(Code.COPY_IRREGULAR(found=found))
    if size_b is not None and status.st_size != size_b:
        raise Differs(Code.COPY_LENGTH_WRONG(found=status.st_size, expected=size_b))
    parent = os.fstat(directory)
    return Entry(status, (parent.st_dev, parent.st_ino), name)
