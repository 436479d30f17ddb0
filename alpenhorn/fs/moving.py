"""Move files below a root to other paths below it, on that storage only, and never onto another file.

A file is renamed, so a crash leaves it whole under one of the two names; on file systems without a rename that never
replaces, it may be left under both.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

from alpenhorn.errors import AlpenhornError, UnsafePath
from alpenhorn.fs.abilities import alias, folds
from alpenhorn.fs.directories import OpenDirectories
from alpenhorn.fs.paths import check_relative
from alpenhorn.fs.placing import Occupied
from alpenhorn.fs.removal import FileDiffers, OpenRoot
from alpenhorn.fs.syscalls import rename_new
from alpenhorn.fs.tree_lock import LOCK_SECONDS, TreeLock
from alpenhorn.reasons import Code


class FileMove(NamedTuple):
    """A file, and the path to which it is moved; both relative to the root.  `status`: of the file when it was read."""

    path: str
    target: str
    status: os.stat_result


class Moving(OpenRoot):
    """An OpenRoot that also moves files."""

    def __init__(self, root: str, check: Callable[[int], None]) -> None:
        super().__init__(root, check)
        try:
            # The descriptor of OpenRoot cannot be flushed.
            self._readable = os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=self._root)
            self._at_end.callback(os.close, self._readable)
            self._folds = folds(self._root)
        except BaseException:
            self.close()
            raise

    def move(
        self, moves: Sequence[FileMove], stopping: Callable[[], bool] | None = None
    ) -> list[OSError | AlpenhornError | None]:
        """Rename flushed files, and flush the directories; return None or the error for each.

        Missing directories are created.  The error is Occupied if anything is at the target, FileDiffers if the file
        changed since it was read, UnsafePath, also if the file system ignores case and lists the target's directory
        under another name, or an OSError.  Raises LockTimeout, Stopped and StorageError.
        """
        # The lock file too must be on this storage, whatever is mounted at the root by now.
        lock = TreeLock(f"/proc/self/fd/{self._root}", LOCK_SECONDS, stopping)
        outcomes: list[OSError | AlpenhornError | None] = []
        try:
            with OpenDirectories(self._readable) as parents:
                with lock.up():
                    for one in moves:
                        try:
                            self._move(one, parents)
                        except FileExistsError:
                            outcomes.append(Occupied(Code.PATH_OCCUPIED(path=repr(one.target))))
                        except (OSError, AlpenhornError) as error:
                            outcomes.append(error)
                        else:
                            outcomes.append(None)
                try:
                    parents.flush()
                except OSError as error:
                    outcomes = [outcome or error for outcome in outcomes]
        finally:
            lock.close()
        return outcomes

    def _move(self, one: FileMove, parents: OpenDirectories) -> None:
        source, name = self._below.parent(check_relative(one.path))
        if _state(os.stat(name, dir_fd=source, follow_symlinks=False)) != _state(one.status):
            raise FileDiffers(Code.FOUND_FILE_CHANGING())
        directory, new_name = parents.of(one.target)
        if self._folds and (listed := alias(self._root, one.target.rpartition("/")[0], {})):
            raise UnsafePath(Code.FOUND_UNDER_OTHER_NAME(listed=listed))
        # A name reserved with an empty file would be imported after a crash.
        rename_new(name, new_name, source, directory, reserve=False)
        moved = os.stat(new_name, dir_fd=directory, follow_symlinks=False)
        if (moved.st_dev, moved.st_ino, moved.st_size) != (
            one.status.st_dev,
            one.status.st_ino,
            one.status.st_size,
        ):
            raise FileDiffers(Code.FILE_REPLACED_MEANWHILE())


def _state(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
