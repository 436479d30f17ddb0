"""Compare parts of a node's tree with the index in both directions: missing or changed copies, and unknown files."""

from __future__ import annotations

import datetime
import os
import stat
from collections.abc import Iterable, Sequence
from errno import ENAMETOOLONG, ENOENT, ENOTDIR
from typing import Any

from alpenhorn.errors import UnsafePath
from alpenhorn.fs.paths import TreeOpener, check_relative
from alpenhorn.fs.settled import storage_now
from alpenhorn.io.base import DirectoryNode
from alpenhorn.model.nodes import MARKER
from alpenhorn.model.reconcile import (
    BACK,
    DARK,
    DIFFERING,
    MISSING,
    OTHER,
    UNREAD,
    DiskFinding,
    KnownCopy,
    ReconcileJob,
    ReconcileOutcome,
    TreePart,
)
from alpenhorn.model.tasks import Reporter
from alpenhorn.reasons import Code, Reason, Why
from alpenhorn.workers.tree_part import ENOUGH, MOST_ENTRIES, PartLimits, holding, ours

SECOND_NS = 10**9
NEVER_NS = 2**63  # later than any file's time
IMPOSSIBLE = "impossible"
FSCK = "lost+found"  # at the root of a file system, readable by root only

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY
_EPOCH = datetime.datetime(1970, 1, 1)
_WHAT = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symbolic link",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFBLK: "device",
    stat.S_IFCHR: "device",
}


def reconcile(job: ReconcileJob, node: DirectoryNode, report: Reporter) -> ReconcileOutcome:
    """Compare the parts of the job with the disk, without reading files or following symbolic links.

    Returns early if the run is asked to stop.  Raises StorageError if the node itself is or goes missing.
    """
    node.check()
    found = _Differences(job, node.root)
    with TreeOpener(node.root) as below:
        for part in job.parts:
            _Tree(part, below, found, report).compare()
            if found.stopped:
                break
    node.check()  # an unmounted disk must not make files look missing
    return ReconcileOutcome(
        found.looked, found.young, tuple(found.found), tuple(found.remaining), found.stopped
    )


class _Differences:
    """The differences found by one job."""

    def __init__(self, job: ReconcileJob, root: str) -> None:
        self.root = root
        self._old_ns = int((storage_now(root) - job.min_age) * SECOND_NS) if job.min_age else NEVER_NS
        # Rounded up past the present: a float does not hold nanoseconds.
        self._now_ns = self._old_ns + int(job.min_age * SECOND_NS) + SECOND_NS
        self._times: dict[Any, int] = {}
        self.looked = 0
        self.young = 0
        self.entries = 0
        self.found: list[DiskFinding] = []
        self.remaining: list[TreePart] = []
        self.stopped = False

    def since(self, moment: Any) -> int:
        """Return the end of the second of a naive UTC datetime or its text, in POSIX nanoseconds; NEVER_NS if
        unknown.
        """
        known = self._times.get(moment)
        if known is None:
            known = self._times[moment] = _end_of(moment)
        return known

    def enough(self) -> bool:
        return len(self.found) >= ENOUGH or self.entries >= MOST_ENTRIES

    def compare(self, row: KnownCopy, path: str, status: os.stat_result) -> None:
        """Compare a copy with the file at its path."""
        _, _, size_b, copy_id, has, moment = row
        if has == "Y":
            self.looked += 1
            if why := self._difference(size_b, moment, status):
                self.found.append(_finding(DIFFERING, path, status, copy_id, why))
        elif has == "N":
            if why := self._shape(size_b, status) or self._since_gone(moment, status):
                self.add_unknown(path, status, Code.NOT_THE_COPY_THAT_IS_GONE(why=why))
            else:
                self.found.append(_finding(BACK, path, status, copy_id, Code.RECORDED_AS_GONE()))

    def _difference(self, size_b: int | None, moment: Any, status: os.stat_result) -> Why:
        if why := self._shape(size_b, status):
            return why
        # Both times: a copy has the modification time of its source, which may lie in the future, and a new
        # hard link also changes the status change time.
        since = self.since(moment)
        if status.st_mtime_ns > since and status.st_ctime_ns > since:
            return Code.MODIFIED_AFTER_VERIFICATION(moment=moment)
        return ""

    def _shape(self, size_b: int | None, status: os.stat_result) -> Why:
        if not stat.S_ISREG(status.st_mode):
            return Code.DISK_FILE_NOT_REGULAR()
        if size_b is not None and status.st_size != size_b:
            return Code.DISK_FILE_LENGTH_WRONG(found=status.st_size, expected=size_b)
        return ""

    def _since_gone(self, moment: Any, status: os.stat_result) -> Why:
        """Return why the file may be another one, created after the copy was recorded as removed, or "".

        Otherwise it could be deleted or replaced later as if it were the copy.  An unmounted directory or a
        power cut changes no times.
        """
        if status.st_ctime_ns <= self.since(moment) < NEVER_NS:
            return ""
        return Code.APPEARED_AFTER_RECORD(moment=moment)

    def add_unknown(self, path: str, status: os.stat_result, why: Why = "") -> None:
        """Record a file that is no copy of this node."""
        changed = status.st_ctime_ns if status.st_ctime_ns <= self._now_ns else status.st_mtime_ns
        # A time in the future says nothing about the age, and must not hide the file for years.
        if self._old_ns < changed <= self._now_ns:
            self.young += 1
        else:
            self.found.append(_finding(DARK, path, status, 0, why))

    def add_unreadable(self, path: str, why: Reason, copies: int) -> None:
        self.found.append(DiskFinding(UNREAD, path, why=why, copies=copies))


class _Tree:
    """The comparison of one part."""

    def __init__(self, part: TreePart, below: TreeOpener, found: _Differences, report: Reporter) -> None:
        self._part = part
        self._below = below
        self._found = found
        self._report = report
        self._limits = PartLimits(part)
        self._known: dict[str, dict[str, KnownCopy]] = {}  # by directory and name
        self._twins: dict[str, list[KnownCopy]] = {}  # two acquisitions may share a path
        self._closed: dict[str, OSError] = {}  # directories that could not be opened
        self._sort(part.known)

    def _sort(self, known: Sequence[KnownCopy]) -> None:
        top = self._part.path
        prefix = f"{top}/" if top else ""
        # A shortcut for acquisitions with all files in one directory, which takes a fifth of the time.
        flat = {row[1]: row for row in known}
        if known and len(flat) == len(known) and not any("/" in name for name in flat):
            self._known[top] = flat
            return
        for row in known:
            directory, slash, name = row[1].rpartition("/")
            at = self._known.setdefault(prefix + directory if slash else top, {})
            if at.setdefault(name, row) is not row:
                self._twins.setdefault(prefix + row[1], []).append(row)

    def compare(self) -> None:
        with_copies = holding(self._known)
        left = [self._part.path]
        while left:
            if self._report.stopping():
                self._found.stopped = True
                return
            path = left.pop()
            if path not in with_copies and path != self._part.path and self._found.enough():
                self._found.remaining.append(self._part._replace(path=path, known=()))
                continue
            left += self._open(path, True)
        # Directories not reached by the walk: they are missing, or below another node's root.
        for path in list(self._known):
            if self._report.stopping():
                self._found.stopped = True
                return
            if path in self._known:
                self._look_for(path)
        for path, error in self._closed.items():
            if path != FSCK:
                self._found.add_unreadable(path, Code.DIRECTORY_UNREADABLE(why=error.strerror), 0)

    def _open(self, path: str, everything: bool) -> list[str]:
        """List a directory; return the directories below it to list next."""
        try:
            fd = self._opened(path)
        except (FileNotFoundError, NotADirectoryError, UnsafePath):
            return []  # gone meanwhile, or never there; `_look_for` reports its copies
        except OSError as error:
            self._closed[path] = error
            return []
        try:
            return self._list(path, fd, everything)
        except OSError as error:
            self._closed[path] = error
            return []
        finally:
            os.close(fd)

    def _opened(self, path: str) -> int:
        return self._below.open(path, _DIRECTORY) if path else os.open(self._found.root, _DIRECTORY)

    def _list(self, path: str, fd: int, everything: bool) -> list[str]:
        found = self._found
        known = self._known.get(path, {})
        before = len(known)
        prefix = f"{path}/" if path else ""
        directories: list[str] = []
        dark: list[tuple[str, os.stat_result]] = []
        failed: dict[str, list[int]] = {}
        entries = 0
        marked = False
        since, times = found.since, found._times
        with os.scandir(fd) as listing:
            for entry in listing:
                entries += 1
                name = entry.name
                row = known.get(name)
                try:
                    if row is not None:
                        status = entry.stat(follow_symlinks=False)
                        del known[name]
                        # The usual case first, without a call, for speed.
                        moment = row[5]
                        if (
                            row[4] == "Y"
                            and status.st_size == row[2]
                            and stat.S_ISREG(status.st_mode)
                            and status.st_mtime_ns <= (times.get(moment) or since(moment))
                        ):
                            found.looked += 1
                        else:
                            found.compare(row, prefix + name, status)
                        if self._twins:
                            self._compare_twins(prefix + name, status)
                    elif not everything:
                        continue
                    elif entry.is_dir(follow_symlinks=False):
                        if name == MARKER and path:
                            marked = True
                        elif not ours(path, name) and self._may_hold(prefix + name):
                            directories.append(prefix + name)
                    elif name == MARKER and path:
                        marked = True
                    elif not ours(path, name) and self._limits.belongs(prefix + name):
                        dark.append((prefix + name, entry.stat(follow_symlinks=False)))
                except FileNotFoundError:
                    continue  # removed between listing and look
                except OSError as error:
                    known.pop(name, None)
                    failed.setdefault(error.strerror or str(error), []).append(_good(row))
        found.entries += entries
        self._gone(path, fd, known)
        self._known.pop(path, None)
        for why, copies in failed.items():
            found.add_unreadable(path, Code.FILES_IN_DIRECTORY_UNREADABLE(why=why), sum(copies))
        if marked:
            found.found.append(DiskFinding(OTHER, path, why=Code.OTHER_NODES_ROOT()))
            directories = []
        else:
            for one, status in dark:
                found.add_unknown(one, status)
        if before:
            self._report.progress(before, 0)
        return directories

    def _compare_twins(self, path: str, status: os.stat_result) -> None:
        for twin in self._twins.pop(path, ()):
            self._found.compare(twin, path, status)

    def _gone(self, path: str, fd: int, known: dict[str, KnownCopy]) -> None:
        """Find out what happened to the copies that were not in the directory's listing."""
        prefix = f"{path}/" if path else ""
        for name, row in known.items():
            full = prefix + name
            rows = [row, *self._twins.pop(full, ())]
            if why := _impossible(full):
                self._no_file(full, rows, why)
                continue
            try:
                # Look again: a file being replaced may be missing from the listing, and some file systems
                # list names in another spelling.
                status = os.stat(name, dir_fd=fd, follow_symlinks=False)
            except OSError as error:
                if error.errno in (ENOENT, ENAMETOOLONG):
                    self._missing(full, rows, Code.NO_SUCH_FILE())
                else:
                    self._unread(full, rows, Code.FILE_STATUS_UNREADABLE(why=error.strerror))
            else:
                for one in rows:
                    self._found.compare(one, full, status)

    def _look_for(self, path: str) -> None:
        """Find out what happened to a directory that has copies and was not listed."""
        if path in self._closed:
            self._give_up(path, Code.DIRECTORY_UNREADABLE(why=self._closed.pop(path).strerror), UNREAD)
            return
        if why := _impossible(f"{path}/x" if path else "x"):
            self._give_up(path, why, IMPOSSIBLE)
            return
        try:
            fd = self._opened(path)
        except UnsafePath as error:
            self._give_up(path, error.reason, DIFFERING)
        except OSError as error:
            if error.errno in (ENOENT, ENOTDIR, ENAMETOOLONG):
                self._give_up(path, Code.NO_SUCH_DIRECTORY(), MISSING)
            else:
                self._give_up(path, Code.DIRECTORY_UNREADABLE(why=error.strerror), UNREAD)
        else:
            os.close(fd)
            self._open(path, False)
            if path in self._closed:
                self._look_for(path)

    def _give_up(self, path: str, why: Reason, kind: str) -> None:
        """Report the same difference for all copies in a directory."""
        prefix = f"{path}/" if path else ""
        known = self._known.pop(path)
        pairs = [
            (prefix + name, one)
            for name, row in known.items()
            for one in (row, *self._twins.pop(prefix + name, ()))
        ]
        if kind in (UNREAD, IMPOSSIBLE):
            copies = sum(_good(row) for _, row in pairs)
            self._found.add_unreadable(path, why, copies)
            self._found.looked += copies if kind == IMPOSSIBLE else 0
        else:
            for full, row in pairs:
                if row[4] == "Y":
                    self._found.looked += 1
                    self._found.found.append(DiskFinding(kind, full, row[3], why=why))
        self._report.progress(len(pairs), 0)

    def _missing(self, path: str, rows: Iterable[KnownCopy], why: Reason) -> None:
        for row in rows:
            if row[4] == "Y":
                self._found.looked += 1
                self._found.found.append(DiskFinding(MISSING, path, row[3], why=why))

    def _no_file(self, path: str, rows: Iterable[KnownCopy], why: Reason) -> None:
        """Report copies whose path no file can have; nothing is there to look at or to delete."""
        self._unread(path, rows, why)
        self._found.looked += sum(map(_good, rows))

    def _unread(self, path: str, rows: Iterable[KnownCopy], why: Reason) -> None:
        if copies := sum(map(_good, rows)):
            self._found.add_unreadable(path, why, copies)

    def _may_hold(self, path: str) -> bool:
        """Return whether a directory may hold files of this part."""
        return path not in self._part.excluded and self._limits.may_hold(path)


def _impossible(path: str) -> Why:
    """Return why no file below a root can have that path; "" if one can."""
    try:
        check_relative(path)
    except UnsafePath as error:
        return Code.PATH_UNSAFE_IN_INDEX(detail=error)
    return ""


def _good(row: KnownCopy | None) -> int:
    return int(row is not None and row[4] == "Y")


def _finding(kind: str, path: str, status: os.stat_result, copy_id: int, why: Why) -> DiskFinding:
    what = _WHAT.get(stat.S_IFMT(status.st_mode), "other")
    return DiskFinding(kind, path, copy_id, what, status.st_size, status.st_mtime_ns, why)


def _end_of(moment: Any) -> int:
    if isinstance(moment, str):
        try:
            moment = datetime.datetime.fromisoformat(moment)
        except ValueError:
            return NEVER_NS
    if not isinstance(moment, datetime.datetime):
        return NEVER_NS
    # The index holds whole seconds: a write later in that second may already be included.
    whole = moment.replace(microsecond=0, tzinfo=None) - _EPOCH
    return (whole.days * 86_400 + whole.seconds + 1) * SECOND_NS
