"""Making the directories that files are placed in, and removing those that became empty.

Making needs the node's tree lock *up*, removing needs it *down*.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from errno import EEXIST, ELOOP, ENOTDIR, ENOTEMPTY
from types import TracebackType

from alpenhorn.errors import UnsafePath
from alpenhorn.fs.paths import Below, check_relative, not_followed
from alpenhorn.fs.sharing import share
from alpenhorn.fs.syscalls import flush
from alpenhorn.fs.tree_lock import TreeLock

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


class Parents:
    """The directories below a root that are being filled: open, made where missing, flushed at the end.

    To be filled while the tree lock is held up; `flush` needs no lock.
    """

    def __init__(self, root_fd: int) -> None:
        self._open = {"": root_fd}

    def __enter__(self) -> Parents:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for directory, fd in self._open.items():
            if directory:
                os.close(fd)
        self._open = {}

    def __len__(self) -> int:
        return len(self._open)

    def of(self, path: str) -> tuple[int, str]:
        """A descriptor of the directory in which the file `path` is to lie, and the file's name in it.

        Raises UnsafePath where `path` does not stay below the root or meets a symbolic link, and OSError.
        """
        check_relative(path)
        directory, _, name = path.rpartition("/")
        fd = self._open.get(directory)
        if fd is None:
            fd = self._descend(directory)
        return fd, name

    def _descend(self, directory: str) -> int:
        above, _, name = directory.rpartition("/")
        parent = self._open.get(above)
        if parent is None:
            parent = self._descend(above)
        try:
            fd = os.open(name, _DIRECTORY, dir_fd=parent)
        except FileNotFoundError:
            made = False
            with suppress(FileExistsError):  # another worker was faster
                os.mkdir(name, dir_fd=parent)
                made = True
            fd = os.open(name, _DIRECTORY, dir_fd=parent)
            if made:
                share(fd, parent)
        except OSError as error:
            link = not_followed(parent, name, directory) if error.errno in (ELOOP, ENOTDIR) else None
            raise link or OSError(error.errno, error.strerror, directory) from None
        self._open[directory] = fd
        return fd

    def flush(self) -> None:
        """Make durable what was made and placed; raises OSError, which is final: nothing may be recorded.

        Directories that were there are flushed too: somebody else may have made them a moment ago.
        """
        for fd in self._open.values():
            flush(fd)


def prune(
    root: str | int, directories: Iterable[str], lock: TreeLock, timeout: float | None = None
) -> list[str]:
    """Remove those of `directories` (relative to `root`) that are empty, and every parent that becomes so.

    `root`: a path, or a directory's descriptor; it is never removed itself.  Returns what was removed.  Raises
    LockTimeout when the lock could not be had within `timeout` seconds; and, after all others were tried, the first
    UnsafePath or OSError other than "not empty" and "not there".
    """
    removed: list[str] = []
    first: OSError | UnsafePath | None = None
    with lock.down(timeout), Below(root) as below:
        for directory in directories:
            try:
                _prune(below, directory, removed)
            except (OSError, UnsafePath) as error:
                first = first or error
    if first is not None:
        raise first
    return removed


def _prune(below: Below, directory: str, removed: list[str]) -> None:
    while directory:
        try:
            parent, name = below.parent(check_relative(directory))
            os.rmdir(name, dir_fd=parent)
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno in (ENOTEMPTY, EEXIST):
                return
            raise OSError(error.errno, error.strerror, directory) from None
        else:
            removed.append(directory)
        directory = directory.rpartition("/")[0]
