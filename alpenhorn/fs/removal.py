"""Look at files of a storage, and remove them or move them to its trash, on that storage only.

Files are found relative to a descriptor of the root in which the marker was read.  If another file system is
mounted over the root meanwhile, or a directory is replaced by a symbolic link, nothing there is touched.
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
from alpenhorn.fs.paths import TreeOpener, check_relative, kind
from alpenhorn.fs.trash import BatchWriter, FileReplaced
from alpenhorn.fs.tree_lock import TreeLock
from alpenhorn.reasons import Code, Reason

LOCK_SECONDS = (
    30.0  # seconds to wait for pulls placing files; then empty directories are left to the next deletion
)


class FileDiffers(AlpenhornError):
    """A different file is at the path, and was left alone."""

    def __init__(self, why: Reason) -> None:
        super().__init__(why)


def accept(entry: DirectoryEntry) -> None:
    """Allow every removal."""


class DirectoryEntry(NamedTuple):
    """A name in a directory: the status of its file, and the directory's device and inode."""

    status: os.stat_result
    directory: tuple[int, int]
    name: str

    @property
    def inode(self) -> tuple[int, int]:
        return self.status.st_dev, self.status.st_ino

    def is_same_name(self, other: DirectoryEntry) -> bool:
        """Return whether both are the same name, found in two ways, and not two hard links of one file."""
        return (self.directory, self.name) == (other.directory, other.name)


class OpenRoot:
    """The opened root of a storage; a context manager.

    `check` gets a descriptor of the directory, and raises StorageError unless it is the right storage.
    Raises StorageError if it is not, or if there is no such directory.
    """

    def __init__(self, root: str, check: Callable[[int], None]) -> None:
        self._check = check
        try:
            self._root = os.open(root, os.O_PATH | os.O_DIRECTORY)
        except OSError as error:
            raise StorageError(Code.ROOT_NOT_OPENED(root=root, why=error.strerror)) from None
        self._at_end = ExitStack()
        self._at_end.callback(os.close, self._root)
        self._below = TreeOpener(self._root)
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
        """Raise StorageError if the storage cannot be used any more."""
        self._check(self._root)

    def look(self, path: str, size_b: int | None) -> DirectoryEntry:
        """Return the entry of a regular file without reading it.

        `size_b`: the length that it must have, None for any.  Raises FileNotFoundError or NotADirectoryError
        if it is missing, FileDiffers if something else is there, UnsafePath, and OSError if it cannot be looked
        at.
        """
        directory, name = self._below.parent(check_relative(path))
        return _look(directory, name, size_b)


class Removal(OpenRoot):
    """An OpenRoot that also removes files."""

    def __init__(self, root: str, check: Callable[[int], None]) -> None:
        super().__init__(root, check)
        self._path = root
        self._directories: dict[str, None] = {}
        self._listed: dict[str, frozenset[str]] = {}
        try:
            self._flusher = self._at_end.enter_context(Flusher(self._root))
            self._folds = folds(self._root)
        except BaseException:
            self.close()
            raise

    def trash(self, batch: str) -> BatchWriter:
        """Return an object that moves files into a new batch of the trash; it is closed with this one."""
        writer = BatchWriter(self._root, self._path, batch)
        self._at_end.callback(writer.close)
        return writer

    def remove(
        self,
        path: str,
        size_b: int | None,
        decide: Callable[[DirectoryEntry], None] = accept,
        trash: BatchWriter | None = None,
    ) -> os.stat_result:
        """Remove a regular file, and return its status.

        `decide` is called just before, and keeps the file by raising an exception.  `trash`: the file is moved there,
        unless its file system does not allow that.  `size_b` and exceptions: as for `look`, and OSError or NotTrashed
        if the file cannot be removed.
        """
        directory, name = self._below.parent(check_relative(path))
        if self._folds and (other := alias(self._root, path, self._listed)):
            raise FileDiffers(Code.FOUND_UNDER_OTHER_NAME(listed=other))
        self._directories[path.rpartition("/")[0]] = None
        entry = _look(directory, name, size_b)
        decide(entry)
        # The file may have been replaced during `decide`, which can wait for other storage.
        if _look(directory, name, size_b).inode != entry.inode:
            raise FileDiffers(Code.FILE_REPLACED_MEANWHILE())
        try:
            if trash is None or not trash.take(path, directory, name, entry.inode):
                os.unlink(name, dir_fd=directory)
        except FileReplaced as error:
            raise FileDiffers(error.reason) from None
        return entry.status

    def exists(self, path: str) -> bool:
        """Return whether anything is at the path; raises UnsafePath, and OSError if it cannot be determined."""
        directory, name = self._below.parent(path)
        try:
            os.stat(name, dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def flush(self, gone: Iterable[str]) -> None:
        """Flush the removal of these files.  Raises OSError, which is final."""
        for path in gone:
            self._flusher.add_name(path)
        self._flusher.flush()

    def prune(self, stopping: Callable[[], bool] | None = None) -> None:
        """Remove directories that became empty through these removals.

        Raises LockTimeout, Stopped, StorageError, UnsafePath and OSError; the next deletion tries again.
        """
        # The lock file too must be on this storage, whatever is mounted at the root by now.
        lock = TreeLock(f"/proc/self/fd/{self._root}", LOCK_SECONDS, stopping)
        try:
            prune(self._root, self._directories, lock)
        finally:
            lock.close()


def _look(directory: int, name: str, size_b: int | None) -> DirectoryEntry:
    status = os.stat(name, dir_fd=directory, follow_symlinks=False)
    if found := kind(status):
        raise FileDiffers(Code.COPY_IRREGULAR(found=found))
    if size_b is not None and status.st_size != size_b:
        raise FileDiffers(Code.COPY_LENGTH_WRONG(found=status.st_size, expected=size_b))
    parent = os.fstat(directory)
    return DirectoryEntry(status, (parent.st_dev, parent.st_ino), name)
