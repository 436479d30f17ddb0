"""Place finished files, so that no incomplete file ever has its final name.

Files arrive in a stage, a private directory ROOT/.alpenhorn/NAME on the node's own file system.  There they
are verified and flushed before they are renamed; then the directories are flushed.  A failed flush is final:
the kernel has dropped the pages, so a later flush that succeeds proves nothing.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable, Mapping, Sequence
from math import inf
from types import TracebackType
from typing import NamedTuple

from alpenhorn.errors import AlpenhornError, StorageError, UnsafePath
from alpenhorn.fs import descriptors, own
from alpenhorn.fs.abilities import Abilities
from alpenhorn.fs.directories import OpenDirectories
from alpenhorn.fs.syscalls import flush, rename_exchange, rename_new, syncfs
from alpenhorn.fs.tree_lock import TreeLock
from alpenhorn.reasons import Code

PRIVATE = own.PRIVATE
PARTS = "part-"  # prefix of a stage for one big file, kept for later runs

MOST_ASIDE = 1000  # changed files of one name and second
MOST_NAME_BYTES = 255
_OPEN_DIRECTORIES = 200  # fewer if the limit on open files is low


class Occupied(AlpenhornError):
    """The path is occupied."""

    code = Code.PATH_OCCUPIED


class Replacement(NamedTuple):
    """The permission to replace what is at a path.

    `since`: POSIX seconds; a regular file that was written since then is the work of its owner and stays.  `aside`: a
    regular file is renamed, whatever its times.
    """

    since: float = inf
    aside: bool = False


class KeptAside(NamedTuple):
    """The outcome for a placed file whose predecessor was renamed; `path`: the new one, relative to the root."""

    path: str


Outcome = OSError | UnsafePath | Occupied | KeptAside | None
"""The outcome for a file: None or KeptAside if it was placed, or else the error."""


class StatusAround:
    """The statuses of a file right before and right after it gets its name; None if it got none.

    `expected`: refuse a file that was changed since it had this status; None to take any.
    """

    __slots__ = ("after", "before", "expected")

    def __init__(self, expected: os.stat_result | None = None) -> None:
        self.expected = expected
        self.before: os.stat_result | None = None
        self.after: os.stat_result | None = None

    def begin(self, before: os.stat_result) -> None:
        """Raises ESTALE if the file was changed."""
        if self.expected is not None and before.st_ctime_ns != self.expected.st_ctime_ns:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        self.before = before


Around = Mapping[int, StatusAround]
"""By number: the files of which the statuses are wanted."""

NONE_WANTED: Around = {}


class Stage:
    """The directory ROOT/.alpenhorn/NAME, created if missing; the root is never created.

    `path` is for programs that write into it, `fd` for everything else: it stays valid even if another file
    system is mounted over the root.  `private`: a descriptor of the directory above it.  Raises StorageError and
    OSError.
    """

    def __init__(self, root: str, name: str) -> None:
        if not os.path.isabs(root):
            raise StorageError(Code.ROOT_NOT_ABSOLUTE(root=root))
        if not name or "/" in name or name in (".", ".."):
            raise StorageError(Code.STAGE_NAME_IMPOSSIBLE(name=name))
        self.name = name
        self.path = os.path.join(root, PRIVATE, name)
        self._open: list[int] = []
        try:
            try:
                self._root = self._keep(os.open(root, os.O_RDONLY | os.O_DIRECTORY))
            except FileNotFoundError:
                raise StorageError(Code.ROOT_NOT_THERE(root=root)) from None
            self.private = self._keep(own.open_directory(self._root, PRIVATE, root))
            self.fd = self._keep(own.open_directory(self.private, name, f"{root}/{PRIVATE}"))
            self.abilities = Abilities(self._root, self.fd)
        except BaseException:
            self.close()
            raise

    def _keep(self, fd: int) -> int:
        self._open.append(fd)
        return fd

    def __enter__(self) -> Stage:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        while self._open:
            os.close(self._open.pop())

    @property
    def keeps_parts(self) -> bool:
        return self.name.startswith(PARTS)

    def flush(self) -> None:
        """Flush everything written here, with one call for the whole file system.

        For a few files, fsync of each is faster, as it does not wait for data of other writers.
        """
        syncfs(self.fd)

    def place(
        self,
        moves: Sequence[tuple[str, str, Replacement | None]],
        lock: TreeLock,
        around: Around = NONE_WANTED,
    ) -> list[Outcome]:
        """Rename flushed files of the stage to their final paths, and flush the directories.

        `moves`: (name in the stage, path below the root, permission to replace a file there).  Missing
        directories are created.  Holds the tree lock up during the renames.  `around`: gets the statuses.
        """

        def move(number: int, directory: int, name: str) -> KeptAside | None:
            source, path, replacement = moves[number]
            kept: KeptAside | None = None
            if (wanted := around.get(number)) is not None:
                wanted.begin(os.stat(source, dir_fd=self.fd, follow_symlinks=False))
            if replacement is not None:
                kept = _replace(source, self.fd, name, directory, path, replacement)
            else:
                rename_new(source, name, self.fd, directory)
            if wanted is not None:
                wanted.after = os.stat(name, dir_fd=directory, follow_symlinks=False)
            return kept

        paths = [path for _, path, _ in moves]
        return self._put(paths, move, lock)

    def link(
        self,
        links: Sequence[tuple[int, str, Replacement | None]],
        lock: TreeLock,
        around: Around = NONE_WANTED,
    ) -> list[Outcome]:
        """Hard link open files of this file system; `links` has descriptors instead of names, otherwise as `place`.

        Links the opened file, whatever its name refers to by now.  `around`: gets the statuses.
        """

        def link(number: int, directory: int, name: str) -> KeptAside | None:
            fd, path, replacement = links[number]
            kept: KeptAside | None = None
            if (wanted := around.get(number)) is not None:
                wanted.begin(os.fstat(fd))
            if replacement is not None:
                staged = f"link-{number}"
                os.link(f"/proc/self/fd/{fd}", staged, dst_dir_fd=self.fd)
                kept = _replace(staged, self.fd, name, directory, path, replacement)
            else:
                os.link(f"/proc/self/fd/{fd}", name, dst_dir_fd=directory)
            if wanted is not None:
                wanted.after = os.fstat(fd)
            return kept

        paths = [path for _, path, _ in links]
        return self._put(paths, link, lock)

    def _put(
        self, paths: Sequence[str], act: Callable[[int, int, str], KeptAside | None], lock: TreeLock
    ) -> list[Outcome]:
        outcomes: list[Outcome] = []
        most = descriptors.share(_OPEN_DIRECTORIES)
        while len(outcomes) < len(paths):
            first = len(outcomes)
            with OpenDirectories(self._root) as parents:
                with lock.up():
                    while len(outcomes) < len(paths) and len(parents) <= most:
                        number = len(outcomes)
                        outcome = _attempt(act, number, paths[number], parents)
                        if isinstance(outcome, OSError) and outcome.errno == errno.EMFILE and number > first:
                            break  # retried after closing the directories of the files before it
                        outcomes.append(outcome)
                try:
                    parents.flush()
                except OSError as error:
                    outcomes[first:] = [
                        error if outcome is None or isinstance(outcome, KeptAside) else outcome
                        for outcome in outcomes[first:]
                    ]
        return outcomes

    def publish(self, name: str) -> None:
        """Move a flushed file of the stage into the private directory, replacing any existing one, and flush
        the directories.
        """
        os.rename(name, name, src_dir_fd=self.fd, dst_dir_fd=self.private)
        flush(self.private)
        flush(self._root)

    def clear(self) -> None:
        """Remove the stage with its contents, and close it."""
        for _, directories, files, fd in os.fwalk(".", topdown=False, dir_fd=self.fd):
            for file in files:
                os.unlink(file, dir_fd=fd)
            for directory in directories:
                try:
                    os.rmdir(directory, dir_fd=fd)
                except NotADirectoryError:  # a symbolic link to a directory
                    os.unlink(directory, dir_fd=fd)
        os.rmdir(self.name, dir_fd=self.private)
        self.close()


def _attempt(
    act: Callable[[int, int, str], KeptAside | None], number: int, path: str, parents: OpenDirectories
) -> Outcome:
    try:
        directory, name = parents.of(path)
        return act(number, directory, name)
    except FileExistsError:
        return Occupied(Code.PATH_OCCUPIED(path=repr(path)))
    except UnsafePath as error:
        return error
    except OSError as error:
        return OSError(error.errno, error.strerror, path)


def _replace(
    source: str, source_dir: int, name: str, directory: int, path: str, replacement: Replacement
) -> KeptAside | None:
    """Rename over an existing file or link; remove an empty directory first.

    Raises FileExistsError if the owner of the file has changed it.
    """
    from alpenhorn.fs.newer import written_since  # few pulls replace a file

    try:
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        rename_new(source, name, source_dir, directory)
        return None
    if not stat.S_ISREG(status.st_mode):
        _replace_irregular(source, source_dir, name, directory, path)
    elif replacement.aside:
        kept = _put_aside(name, directory, directory, name, status)
        rename_new(source, name, source_dir, directory)
        return KeptAside(os.path.join(os.path.dirname(path), kept))
    elif written_since(status, replacement.since):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
    else:
        _exchange(source, source_dir, name, directory, status, replacement.since)
    return None


def _exchange(
    source: str, source_dir: int, name: str, directory: int, before: os.stat_result, since: float
) -> None:
    """Replace the file with the status `before`, but not one that its owner puts there at the same moment."""
    if not rename_exchange(source, name, source_dir, directory):
        os.rename(source, name, src_dir_fd=source_dir, dst_dir_fd=directory)
        return
    old = os.stat(source, dir_fd=source_dir, follow_symlinks=False)
    # The exchange itself sets the status change time.
    if not unchanged(old, before) and old.st_mtime >= since:
        ours = os.stat(name, dir_fd=directory, follow_symlinks=False)
        rename_exchange(source, name, source_dir, directory)
        back = os.stat(source, dir_fd=source_dir, follow_symlinks=False)
        if not unchanged(back, ours):  # the owner has replaced it once more
            _put_aside(source, source_dir, directory, name, back)
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)
    os.unlink(source, dir_fd=source_dir)


def unchanged(now: os.stat_result, before: os.stat_result) -> bool:
    """Return whether a file with the status `now` is the one that had the status `before`, and was not written since.

    A rename or hard link may have changed its status change time.
    """
    return (now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns) == (
        before.st_dev,
        before.st_ino,
        before.st_size,
        before.st_mtime_ns,
    )


def _put_aside(source: str, source_dir: int, directory: int, name: str, status: os.stat_result) -> str:
    """Rename a changed file to a new name beside `name`, and return that name.

    Imports ignore it, since it begins with a dot.  Never replaces anything.
    """
    at = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(status.st_mtime))
    for number in range(1, MOST_ASIDE):
        ending = f".changed-{at}" + (f"-{number}" if number > 1 else "")
        stem = os.fsencode(name)[: MOST_NAME_BYTES - len(ending) - 1].decode(errors="ignore")
        kept = f".{stem}{ending}"
        try:
            rename_new(source, kept, source_dir, directory)
        except FileExistsError:
            continue
        return kept
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)


def _replace_irregular(source: str, source_dir: int, name: str, directory: int, path: str) -> None:
    try:
        os.rename(source, name, src_dir_fd=source_dir, dst_dir_fd=directory)
    except IsADirectoryError:
        try:
            os.rmdir(name, dir_fd=directory)
        except OSError as error:
            raise UnsafePath(Code.PATH_IS_DIRECTORY(path=path, why=error.strerror)) from None
        os.rename(source, name, src_dir_fd=source_dir, dst_dir_fd=directory)
