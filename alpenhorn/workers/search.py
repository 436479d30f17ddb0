"""Search for files: list directories, one level at a time."""

from __future__ import annotations

import os
import stat
from errno import ENAMETOOLONG, ENOENT, ENOTDIR

from alpenhorn.errors import UnsafePath
from alpenhorn.fs.abilities import TIMELESS, alias, folds, kind_of
from alpenhorn.fs.paths import TreeOpener
from alpenhorn.fs.settled import storage_now
from alpenhorn.io.base import DirectoryNode
from alpenhorn.model.nodes import MARKER
from alpenhorn.model.searches import FoundFile, SearchJob, SearchOutcome, Stamp
from alpenhorn.reasons import Code, Reason

NEVER = (ENOENT, ENOTDIR, ENAMETOOLONG)  # no file has that path
_MARKER_B = 256  # a marker's first line is a name of at most 64 characters
ENOUGH = 10_000  # files per job; the remaining paths are left to another job

# A directory's times show a change only if they differ from those seen before; the clock of some storages
# ticks every two seconds.
TICK_NS = 2 * 10**9


class _SearchResults:
    def __init__(self, node: DirectoryNode) -> None:
        self.node = node
        self.settled_ns = int(storage_now(node.root) * 1e9) - TICK_NS
        self.files: list[FoundFile] = []
        self.stamps: list[Stamp] = []
        self.declined: list[tuple[str, Reason]] = []
        self.failed: list[tuple[str, Reason]] = []
        self.others: list[tuple[str, str, str]] = []
        root = os.open(node.root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self.folds = folds(root)
            # On these, a directory's times may not change when a file is added, especially by other systems.
            self.timeless = kind_of(root) in TIMELESS
        finally:
            os.close(root)
        self._owners: dict[str, str | None] = {}  # by directory: the node whose root it is

    def other_root(self, path: str, directory: int, below: TreeOpener) -> tuple[str, str] | None:
        """Return the topmost directory on the way to `path` that is another node's root, and that node.

        `path` itself is the open `directory`, or a file (-1).
        """
        elements = path.split("/")
        for depth in range(1, len(elements)):
            above = "/".join(elements[:depth])
            if above not in self._owners:
                self._owners[above] = owner_of(above, below)
            owner = self._owners[above]
            if owner is not None:
                return above, owner
        owner = _owner(directory) if directory >= 0 else None
        return None if owner is None else (path, owner)


def search(job: SearchJob, node: DirectoryNode) -> SearchOutcome:
    """Search the paths of the job: return files, and list directories for their files and subdirectories.

    Does not follow symbolic links, and skips names that start with a dot.  Skips the roots of other nodes,
    whose files would be imported twice.  Raises StorageError if the node itself is gone.
    """
    node.check()
    findings = _SearchResults(node)
    rest: tuple[str, ...] = ()
    with TreeOpener(node.root) as below:
        for number, path in enumerate(job.paths):
            if len(findings.files) >= ENOUGH:
                rest = job.paths[number:]
                break
            try:
                _look(path, below, findings)
            except UnsafePath as error:
                findings.declined.append((path, error.reason))
            except OSError as error:
                if error.errno in NEVER:
                    findings.declined.append((path, Code.SEARCHED_PATH_EMPTY(why=error.strerror)))
                else:
                    # The other paths of the job are still looked at.
                    why = Code.SEARCHED_PATH_UNREADABLE(path=repr(path), why=error.strerror)
                    findings.failed.append((path, why))
    # Check again: a disk unmounted meanwhile looks like an empty tree.
    node.check()
    return SearchOutcome(
        tuple(findings.files),
        tuple(findings.stamps),
        tuple(findings.declined),
        tuple(findings.failed),
        rest,
        tuple(findings.others),
    )


def _look(path: str, below: TreeOpener, findings: _SearchResults) -> None:
    if any(element.startswith(".") or element == MARKER for element in path.split("/")):
        findings.declined.append((path, Code.NAME_NEVER_IMPORTED(marker=MARKER)))
        return
    if path:
        status, directory = _status(below, path)
        if findings.folds and (listed := _alias(path, findings.node.root)):
            if directory >= 0:
                os.close(directory)
            findings.declined.append((path, Code.FOUND_UNDER_OTHER_NAME(listed=listed)))
            return
        try:
            other = findings.other_root(path, directory, below)
            if other is not None:
                findings.others.append((path, *other))
                if path == other[0]:
                    # Listed by each run, so that the removal of its marker is noticed.
                    findings.stamps.append(Stamp(path, 0, 0))
            elif directory >= 0:
                _list(path, directory, findings)
            elif stat.S_ISREG(status.st_mode):
                findings.files.append(FoundFile(path, status.st_size))
            else:
                findings.declined.append((path, Code.FOUND_NOT_REGULAR()))
        finally:
            if directory >= 0:
                os.close(directory)
        return
    directory = os.open(findings.node.root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _list(path, directory, findings)
    finally:
        os.close(directory)


def _alias(path: str, root: str) -> str:
    directory = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return alias(directory, path, {})
    finally:
        os.close(directory)


def owner_of(directory: str, below: TreeOpener) -> str | None:
    """Return the name in the marker of a directory below a root, "" if it cannot be read; None without a marker."""
    try:
        fd = below.open(directory, os.O_PATH | os.O_DIRECTORY)
    except (OSError, UnsafePath):
        return None
    try:
        return _owner(fd)
    finally:
        os.close(fd)


def _owner(directory: int) -> str | None:
    """Return the name in the marker of an open directory, "" if it cannot be read; None without a marker."""
    try:
        fd = os.open(MARKER, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory)
    except FileNotFoundError:
        return None
    except OSError:
        return ""  # the directory is not an ordinary one in any case
    try:
        return os.read(fd, _MARKER_B).split(b"\n", 1)[0].decode("utf-8", "replace").strip()
    except OSError:
        return ""
    finally:
        os.close(fd)


def _status(below: TreeOpener, path: str) -> tuple[os.stat_result, int]:
    """Return the status of `path`, and a descriptor if it is a directory (else -1)."""
    parent, name = below.parent(path)
    status = os.stat(name, dir_fd=parent, follow_symlinks=False)
    if not stat.S_ISDIR(status.st_mode):
        return status, -1
    return status, below.open(path, os.O_RDONLY | os.O_DIRECTORY)


def _list(path: str, directory: int, findings: _SearchResults) -> None:
    prefix = f"{path}/" if path else ""
    names: list[str] = []
    files = findings.files
    # Taken before the listing, so that the next search sees changes made during it.
    before = os.fstat(directory)
    with os.scandir(directory) as entries:
        for entry in entries:
            name = entry.name
            if name[0] == "." or name == MARKER:
                continue
            try:
                if entry.is_dir(follow_symlinks=False):
                    names.append(name)
                elif entry.is_file(follow_symlinks=False):
                    files.append(FoundFile(prefix + name, entry.stat(follow_symlinks=False).st_size))
            except FileNotFoundError:
                continue  # removed between listing and look
    times = before.st_mtime_ns, before.st_ctime_ns
    findings.stamps.append(
        Stamp(
            path,
            *(times if max(times) < findings.settled_ns and not findings.timeless else (0, 0)),
            "/".join(names),
        )
    )
