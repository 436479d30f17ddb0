"""Create the directories for placed files, and remove those that became empty.

Creating needs the node's tree lock *up*, removing needs it *down*.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from errno import EEXIST, ELOOP, ENOTDIR, ENOTEMPTY
from types import TracebackType

from alpenhorn.errors import UnsafePath
from alpenhorn.fs.paths import TreeOpener, check_relative, not_followed
from alpenhorn.fs.sharing import share
from alpenhorn.fs.syscalls import flush
from alpenhorn.fs.tree_lock import TreeLock

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


class OpenDirectories:
    """Open directories below a root: created if missing, and flushed at the end.

    Hold the tree lock up while calling `of`; `flush` needs no lock.
    """

    def __init__(self, root_fd: int) -> None:
        self._open = {"": root_fd}

    def __enter__(self) -> OpenDirectories:
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
        """Return a descriptor of the directory of the file `path`, and the file's name in it.

        Raises UnsafePath if `path` leads out of the root or through a symbolic link, and OSError.
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
        """Flush the directories; raises OSError, which is final: nothing may be recorded.

        Existing directories are flushed too, since another worker may just have created them.
        """
        for fd in self._open.values():
            flush(fd)


def prune(
    root: str | int, directories: Iterable[str], lock: TreeLock, timeout: float | None = None
) -> list[str]:
    """Remove those of `directories` (relative to `root`) that are empty, and all parents that become empty.

    `root`: a path, or a directory's descriptor; never removed itself.  Returns the removed directories.
    Raises LockTimeout if the lock is not taken within `timeout` seconds.  After trying all directories,
    raises the first UnsafePath or OSError other than "not empty" and "not found".
    """
    removed: list[str] = []
    first: OSError | UnsafePath | None = None
    with lock.down(timeout), TreeOpener(root) as below:
        for directory in directories:
            try:
                _prune(below, directory, removed)
            except (OSError, UnsafePath) as error:
                first = first or error
    if first is not None:
        raise first
    return removed


def _prune(below: TreeOpener, directory: str, removed: list[str]) -> None:
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
