"""Move deleted files to the trash of a node: ROOT/.alpenhorn/trash/BATCH/ACQ/NAME.

A file keeps, in a batch (`alpenhorn.model.trash`), the path that it had below the root, so that it can be identified
without the index.  `alpenhorn.fs.trashed` reads and empties the trash.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

from alpenhorn.errors import AlpenhornError, StorageError
from alpenhorn.fs.own import PRIVATE, open_directory
from alpenhorn.fs.sharing import share
from alpenhorn.fs.syscalls import rename_new
from alpenhorn.reasons import Code, Why

NAME = "trash"
PATH = f"{PRIVATE}/{NAME}"

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# The file is on another file system than the trash, or there is no room for the directories of the trash.
_UNMOVABLE = frozenset({errno.EXDEV, errno.ENOSPC, errno.EDQUOT, errno.EMLINK, errno.ENAMETOOLONG})


class NotTrashed(AlpenhornError):
    """A file cannot be moved to the trash, and was left alone."""


class FileReplaced(AlpenhornError):
    """The file was replaced by another one just before it was moved; that one is at its place."""


class BatchWriter:
    """Moves files of an open root into a new batch, which is made for the first of them.

    `root`: its descriptor, which the caller closes; `path`: its path, for messages.  `taken`: paths of the files moved.
    `unmovable`: why the last file could not be moved, "" for none.
    """

    def __init__(self, root: int, path: str, batch: str) -> None:
        self._root = root
        self._path = path
        self._batch = batch
        self._open: list[int] = []
        self._made = -1
        self._last: tuple[str, int] | None = None
        self.taken: set[str] = set()
        self.unmovable: Why = ""

    def close(self) -> None:
        self._forget()
        while self._open:
            os.close(self._open.pop())

    def take(self, path: str, directory: int, name: str, inode: tuple[int, int]) -> bool:
        """Move the file `name` of an open directory to the batch; return False if its file system does not allow that.

        `inode`: device and inode of what was found there.  Raises NotTrashed for other errors, FileReplaced, and
        FileNotFoundError if it is gone.
        """
        try:
            at = self._directory(path.rpartition("/")[0])
            rename_new(name, name, directory, at)
            moved = os.stat(name, dir_fd=at, follow_symlinks=False)
            replaced = (moved.st_dev, moved.st_ino) != inode
            if replaced:
                rename_new(name, name, at, directory)
        except OSError as error:
            # Without a directory of the trash the error is the same, and the file is not gone.
            os.stat(name, dir_fd=directory, follow_symlinks=False)
            return self._failed(path, error, error.strerror or str(error))
        except StorageError as error:
            return self._failed(path, error.__cause__, error.reason)
        if replaced:
            raise FileReplaced(Code.FILE_REPLACED_MEANWHILE())
        self.taken.add(path)
        return True

    def _failed(self, path: str, error: BaseException | None, why: str) -> bool:
        if isinstance(error, OSError) and error.errno in _UNMOVABLE:
            self.unmovable = Code.SYSTEM_ERROR(why=why)
            return False
        raise NotTrashed(Code.NOT_MOVED_TO_TRASH(path=repr(path), trash=f"{self._path}/{PATH}", why=why))

    def new_paths(self) -> Iterator[str]:
        """Yield the new paths of the moved files, relative to the root."""
        return (f"{PATH}/{self._batch}/{path}" for path in self.taken)

    def _directory(self, path: str) -> int:
        """Return a descriptor of a directory of the batch, made if missing."""
        if self._last is not None and self._last[0] == path:
            return self._last[1]
        self._forget()
        fd = self._batch_fd()
        for element in path.split("/"):
            made = True
            try:
                os.mkdir(element, dir_fd=fd)
            except FileExistsError:
                made = False
            try:
                below = os.open(element, _DIRECTORY, dir_fd=fd)
                if made:
                    share(below, fd)
            finally:
                if fd != self._made:
                    os.close(fd)
            fd = below
        self._last = path, fd
        return fd

    def _batch_fd(self) -> int:
        if self._made < 0:
            at, where = self._root, self._path
            for name in (PRIVATE, NAME, self._batch):
                at = open_directory(at, name, where)
                self._open.append(at)
                where += f"/{name}"
            self._made = at
        return self._made

    def _forget(self) -> None:
        if self._last is not None:
            os.close(self._last[1])
            self._last = None
