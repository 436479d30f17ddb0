"""The files in the trash of a node (`alpenhorn.fs.trash`): list them, move them back, and delete them.

Nothing is found, moved or deleted but relative to descriptors below the directory of the trash, without following
links, and on the mount of that directory.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from typing import NamedTuple

from alpenhorn.errors import AlpenhornError, StorageError, UnsafePath
from alpenhorn.fs.directories import OpenDirectories
from alpenhorn.fs.flushing import Flusher
from alpenhorn.fs.own import PRIVATE, open_directory
from alpenhorn.fs.paths import TreeOpener, check_relative, kind
from alpenhorn.fs.removal import OpenRoot
from alpenhorn.fs.syscalls import rename_new
from alpenhorn.fs.trash import NAME, PATH
from alpenhorn.fs.tree_lock import TreeLock
from alpenhorn.model.nodes import TrashBatch
from alpenhorn.model.trash import Restored, TrashedFile, deleted_at
from alpenhorn.reasons import Code, Reason, Why

DEEPEST = 400  # levels of directories; a path in the index has at most 160

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Emptied(NamedTuple):
    """`whole`: nothing of the batch is left; `why`: why something of it could not be deleted, "" if nothing."""

    whole: bool
    paths: list[str]
    freed_b: int
    why: Why = ""


class Trash(OpenRoot):
    """The trash of an open root; without a directory for it, it has no batches."""

    def __init__(self, root: str, check: Callable[[int], None]) -> None:
        super().__init__(root, check)
        self._trash = -1
        self._mount = ""
        try:
            with suppress(FileNotFoundError):
                private = open_directory(self._root, PRIVATE, root, make=False)
                self._at_end.callback(os.close, private)
                self._trash = open_directory(private, NAME, f"{root}/{PRIVATE}", make=False)
                self._at_end.callback(os.close, self._trash)
                self._mount = _mount(self._trash)
        except BaseException:
            self.close()
            raise

    def batches(self) -> list[TrashBatch]:
        """Return the batches; whatever else is in the directory is not ours."""
        found: list[TrashBatch] = []
        if self._trash < 0:
            return found
        with os.scandir(self._trash) as entries:
            for entry in entries:
                if deleted_at(entry.name) is not None and entry.is_dir(follow_symlinks=False):
                    with suppress(FileNotFoundError):
                        found.append(TrashBatch(entry.name, entry.stat(follow_symlinks=False).st_mtime))
        return found

    def begin_age(self, batch: str) -> None:
        """Set the time of the last change of a batch to now."""
        with suppress(OSError):  # of another user; then it is kept
            os.utime(batch, dir_fd=self._trash, follow_symlinks=False)

    def files(self, batch: str) -> Iterator[tuple[str, os.stat_result]]:
        """Yield path and status of the regular files of a batch.  Raises OSError."""
        with self._opened(batch) as fd:
            yield from self._files(fd, "", 0)

    def _files(self, directory: int, prefix: str, depth: int) -> Iterator[tuple[str, os.stat_result]]:
        for name, status in _entries(directory):
            if stat.S_ISREG(status.st_mode):
                yield prefix + name, status
            elif stat.S_ISDIR(status.st_mode):
                with self._enter(directory, name, depth) as fd:
                    yield from self._files(fd, f"{prefix}{name}/", depth + 1)

    def remove_directories(self, batch: str) -> bool:
        """Remove a batch that has only directories; return whether it is gone."""
        try:
            with self._opened(batch) as fd:
                self._remove_directories(fd, 0)
            os.rmdir(batch, dir_fd=self._trash)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True

    def _remove_directories(self, directory: int, depth: int) -> None:
        for name, status in _entries(directory):
            if stat.S_ISDIR(status.st_mode):
                with self._enter(directory, name, depth) as fd:
                    self._remove_directories(fd, depth + 1)
                os.rmdir(name, dir_fd=directory)

    def empty(
        self,
        batch: str,
        needed: Container[str],
        room_b: float,
        space_used: Callable[[os.stat_result], int],
        stopping: Callable[[], bool],
    ) -> Emptied:
        """Delete what is in a batch, and the batch itself, until `room_b` bytes are freed or the run is stopping.

        `needed`: paths that stay.
        """
        emptying = _Emptying(needed, room_b, space_used, stopping)
        try:
            with self._opened(batch) as fd:
                whole = self._empty(fd, "", 0, emptying)
            if whole:
                os.rmdir(batch, dir_fd=self._trash)
        except FileNotFoundError:
            return Emptied(True, emptying.paths, emptying.freed_b)
        except (OSError, StorageError) as error:
            return Emptied(False, emptying.paths, emptying.freed_b, why_not(error))
        return Emptied(whole, emptying.paths, emptying.freed_b)

    def _empty(self, directory: int, prefix: str, depth: int, emptying: _Emptying) -> bool:
        """Delete what is in an open directory; return whether that is all."""
        all_of_it = True
        for name, status in _entries(directory):
            if emptying.enough():
                return False
            if not stat.S_ISDIR(status.st_mode):
                if prefix + name in emptying.needed:
                    all_of_it = False
                    continue
                os.unlink(name, dir_fd=directory)
                emptying.note(prefix + name, status)
                continue
            with self._enter(directory, name, depth) as fd:
                whole = self._empty(fd, f"{prefix}{name}/", depth + 1, emptying)
            if whole:
                os.rmdir(name, dir_fd=directory)
            all_of_it = all_of_it and whole
        return all_of_it

    def restore(
        self, files: Sequence[TrashedFile], lock: TreeLock, stopping: Callable[[], bool]
    ) -> list[tuple[TrashedFile, Restored, Why]]:
        """Move files back to their paths, where nothing must be, and flush the directories.

        A file that is at its path, and not in the trash any more, was moved by a run that was killed.  Holds the tree
        lock up.  Raises OSError if the directories cannot be flushed, StorageError.
        """
        results: list[tuple[TrashedFile, Restored, Why]] = []
        with ExitStack() as at_end:
            # Directories that are open as a path only cannot be flushed.
            root = os.open(".", _DIRECTORY, dir_fd=self._root)
            at_end.callback(os.close, root)
            parents = at_end.enter_context(OpenDirectories(root))
            flusher = at_end.enter_context(Flusher(root))
            with lock.up():
                for file in files:
                    if stopping():
                        break
                    try:
                        outcome, why = self._restore(file, parents)
                    except (OSError, UnsafePath) as error:
                        outcome, why = Restored.FAILED, why_not(error)
                    results.append((file, outcome, why))
                    if outcome is Restored.BACK:
                        flusher.add_name(f"{PATH}/{file.batch}/{file.path}")
            parents.flush()
            flusher.flush()
        return results

    def _restore(self, file: TrashedFile, parents: OpenDirectories) -> tuple[Restored, Why]:
        name = check_relative(file.path).rpartition("/")[2]
        try:
            with self._opened(file.batch) as fd, TreeOpener(fd) as below:
                source, _ = below.parent(file.path)
                if found := kind(os.stat(name, dir_fd=source, follow_symlinks=False)):
                    return Restored.FAILED, Code.COPY_IRREGULAR(found=found)
                target, _ = parents.of(file.path)
                rename_new(name, name, source, target)
        except (FileNotFoundError, NotADirectoryError):
            return self._without(file)
        except FileExistsError:
            return Restored.OCCUPIED, Code.PATH_OCCUPIED(path=repr(file.path))
        return Restored.BACK, ""

    def _without(self, file: TrashedFile) -> tuple[Restored, Why]:
        """Return the outcome for a file that is not in the trash."""
        try:
            status = self.look(file.path, file.size_b).status
        except (OSError, AlpenhornError):
            status = None
        if status is None:
            return Restored.GONE, Code.NOT_IN_TRASH(path=repr(file.path))
        return Restored.BACK, ""

    def _opened(self, batch: str) -> AbstractContextManager[int]:
        if self._trash < 0 or deleted_at(batch) is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), batch)
        return self._enter(self._trash, batch, 0)

    @contextmanager
    def _enter(self, directory: int, name: str, depth: int) -> Iterator[int]:
        """Open a directory below; raises StorageError if another file system, or tree, is mounted there."""
        if depth > DEEPEST:
            raise OSError(errno.ELOOP, "directories are nested too deeply", name)
        fd = os.open(name, _DIRECTORY, dir_fd=directory)
        try:
            if _mount(fd) != self._mount:
                raise StorageError(Code.MOUNTED_IN_TRASH(name=repr(name)))
            yield fd
        finally:
            os.close(fd)


class _Emptying:
    """The state of emptying a batch."""

    def __init__(
        self,
        needed: Container[str],
        room_b: float,
        space_used: Callable[[os.stat_result], int],
        stopping: Callable[[], bool],
    ) -> None:
        self.needed = needed
        self.paths: list[str] = []
        self.freed_b = 0
        self._room_b = room_b
        self._space_used = space_used
        self._stopping = stopping

    def enough(self) -> bool:
        return self.freed_b >= self._room_b or self._stopping()

    def note(self, path: str, status: os.stat_result) -> None:
        self.paths.append(path)
        # The space is not freed while the file has another hard link.
        if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
            self.freed_b += self._space_used(status)


def _entries(directory: int) -> list[tuple[str, os.stat_result]]:
    """Return name and status of everything in an open directory, sorted."""
    found = []
    with os.scandir(directory) as entries:
        names = sorted(entry.name for entry in entries)
    for name in names:
        with suppress(FileNotFoundError):
            found.append((name, os.stat(name, dir_fd=directory, follow_symlinks=False)))
    return found


def _mount(fd: int) -> str:
    """Return the number of the mount of an open file: bind mounts of the same file system differ in it."""
    with open(f"/proc/self/fdinfo/{fd}") as info:
        return next((line for line in info if line.startswith("mnt_id:")), "")


def why_not(error: OSError | AlpenhornError) -> Reason:
    """Return why something in the trash could not be done."""
    if isinstance(error, AlpenhornError):
        return error.reason
    return Code.SYSTEM_ERROR(why=error.strerror or error)
