"""Flush files and removals below a root before the index records them.

A file that was read may exist in memory only, since its writer need not have flushed it; the same holds for
the removal of a name.  A failed flush is final: the kernel has dropped the pages, so a later flush that
succeeds proves nothing.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from types import TracebackType

from alpenhorn.errors import StorageError, UnsafePath
from alpenhorn.fs.paths import TreeOpener
from alpenhorn.fs.syscalls import flush, syncfs
from alpenhorn.reasons import Code

FEW = 8  # files flushed one by one; more are flushed with one call for the file system
FEW_DIRECTORIES = 2 * FEW

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY
_NOT_THERE = (FileNotFoundError, NotADirectoryError, UnsafePath)


class Flusher:
    """Collect files and names below `root` (a path or a directory's descriptor), and flush them together.

    Create it before reading the first file: the kernel reports failed writes only through descriptors that
    are already open.  Raises StorageError if the root cannot be opened.
    """

    def __init__(self, root: str | int) -> None:
        self._open: list[int] = []
        try:
            self._root = self._keep(
                os.open(root, _DIRECTORY) if isinstance(root, str) else os.open(".", _DIRECTORY, dir_fd=root)
            )
        except OSError as error:
            raise StorageError(Code.ROOT_NOT_OPENED(root=root, why=error.strerror)) from None
        self._below = TreeOpener(self._root)
        self._devices = {os.fstat(self._root).st_dev: self._root}
        self._writable = not _read_only(self._root)
        self._first: list[int] = []
        self._paths: list[str] = []
        self._directories: dict[str, None] = {}

    def _keep(self, fd: int) -> int:
        self._open.append(fd)
        return fd

    def __enter__(self) -> Flusher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._below.close()
        while self._open:
            os.close(self._open.pop())

    def add_file(self, fd: int, path: str, device: int) -> None:
        """Add a file that was read through `fd`, and the directories above it.  `device`: its `st_dev`."""
        self._paths.append(path)
        self.add_name(path)
        if len(self._paths) <= FEW:
            self._first.append(self._keep(os.dup(fd)))
        if device not in self._devices:
            self._devices[device] = self._keep(os.dup(fd))

    def add_name(self, path: str) -> None:
        """Add a name that was removed or not found; the directories above it may be missing."""
        self._directories.setdefault(path.rpartition("/")[0])

    def flush(self) -> None:
        """Flush everything added; does nothing if nothing was.

        Raises OSError, after dropping the files from the page cache, so that the next read is from the
        medium.
        """
        if not self._directories:
            return
        try:
            self._flush()
            # syncfs reports success on a file system made read-only by an error.
            if self._writable and any(map(_read_only, self._devices.values())):
                raise OSError(errno.EROFS, "became read-only during the flush")
        except OSError:
            self._forget_cached()
            raise

    def _flush(self) -> None:
        chain = {above for directory in self._directories for above in _chain(directory)}
        if len(self._paths) <= FEW and len(chain) <= FEW_DIRECTORIES:
            try:
                self._flush_each(sorted(chain, key=lambda path: -path.count("/") if path else 1))
                return
            except PermissionError:
                pass  # a directory may be searchable but not readable
        self._find_devices()
        for fd in self._devices.values():
            syncfs(fd)

    def _flush_each(self, directories: list[str]) -> None:
        """Flush the deepest directories first: if one is removed meanwhile, the flush of its parent covers that."""
        for fd in self._first:
            flush(fd)
        for directory in directories:
            if not directory:
                flush(self._root)
                continue
            try:
                fd = self._below.open(directory, _DIRECTORY)
            except _NOT_THERE:
                continue  # removed, which the flush of its parent covers
            try:
                flush(fd)
            finally:
                os.close(fd)

    def _find_devices(self) -> None:
        """Find the other file systems mounted below the root that hold any of the names."""
        for directory in self._directories:
            for above in _chain(directory):
                if not above:
                    break
                try:
                    fd = self._below.open(above, os.O_PATH | os.O_DIRECTORY)
                except _NOT_THERE:
                    continue
                try:
                    device = os.fstat(fd).st_dev
                    if device not in self._devices:
                        self._devices[device] = self._keep(os.open(".", _DIRECTORY, dir_fd=fd))
                finally:
                    os.close(fd)
                break

    def _forget_cached(self) -> None:
        for path in self._paths:
            with suppress(OSError, UnsafePath):
                fd = self._below.open(path, os.O_RDONLY | os.O_NONBLOCK)
                try:
                    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
                finally:
                    os.close(fd)


def _chain(directory: str) -> list[str]:
    """Return the directory and its parents, up to the root, which is ""."""
    chain = [directory]
    while directory:
        directory = directory.rpartition("/")[0]
        chain.append(directory)
    return chain


def _read_only(fd: int) -> bool:
    return bool(os.fstatvfs(fd).f_flag & os.ST_RDONLY)
