"""Compare objects with the index in both directions: missing or changed copies, and unknown objects.

The service is asked for lists, since one answer names many objects.  A copy that is in no list is looked at before it
counts as missing.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from functools import lru_cache

from alpenhorn.errors import Stopped, StorageError
from alpenhorn.io.objects import ObjectNode, SeenObject
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
from alpenhorn.reasons import Code, Why
from alpenhorn.workers.objects.batches import Efforts, batches
from alpenhorn.workers.tree_part import ENOUGH, MOST_ENTRIES, PartLimits, holding, ours

MOST_LISTS = 200  # per job, which has a deadline; the directories after these are left to other jobs
MOST_SKEW = 300.0  # seconds that the clock of a service may be ahead of this host's


def reconcile(
    job: ReconcileJob, node: ObjectNode, report: Reporter, deadline: float | None
) -> ReconcileOutcome:
    """Compare the parts of the job with the service, without reading objects.

    Returns early if the run is asked to stop.  Raises StorageError if the node itself is or goes missing.
    """
    node.check()
    found = _Differences(job.min_age)
    efforts = Efforts(deadline, report.stopping)
    stopped = False
    try:
        for number, part in enumerate(job.parts):
            if report.stopping():
                raise Stopped
            if found.enough():
                found.remaining += job.parts[number:]
                break
            _Part(part, node, found, efforts).compare()
            report.progress(len(part.known), 0)
    except Stopped:
        stopped = True
    node.check()  # lists have no witness: those of another storage must not make copies look present
    return ReconcileOutcome(found.looked, found.young, tuple(found.found), tuple(found.remaining), stopped)


class _Differences:
    """The differences found by one job.  `lists`: number of its lists; `entries`: what they named."""

    def __init__(self, min_age: float) -> None:
        now = time.time()
        self._old = now - min_age if min_age else float("inf")
        self._latest = now + MOST_SKEW
        self.looked = 0
        self.young = 0
        self.lists = 0
        self.entries = 0
        self.found: list[DiskFinding] = []
        self.remaining: list[TreePart] = []

    def enough(self) -> bool:
        return len(self.found) >= ENOUGH or self.entries >= MOST_ENTRIES or self.lists >= MOST_LISTS

    def compare(self, row: KnownCopy, path: str, seen: SeenObject) -> None:
        """Compare a copy with the object at its path."""
        _, _, size_b, copy_id, has, _ = row
        as_known = size_b is None or seen.size_b == size_b
        wrong = Code.DISK_FILE_LENGTH_WRONG(found=seen.size_b, expected=size_b)
        if has == "Y":
            self.looked += 1
            if not as_known:
                self.found.append(_finding(DIFFERING, path, seen, copy_id, wrong))
        elif has == "N" and as_known:
            self.found.append(_finding(BACK, path, seen, copy_id, Code.RECORDED_AS_GONE()))
        elif has == "N":
            self.add_unknown(path, seen, Code.NOT_THE_COPY_THAT_IS_GONE(why=wrong))

    def add_unknown(self, path: str, seen: SeenObject, why: Why = "") -> None:
        """Record an object that is no copy of this node."""
        # A time in the future says nothing about the age, and must not hide the object for years.
        if self._old < seen.modified <= self._latest:
            self.young += 1
        else:
            self.found.append(_finding(DARK, path, seen, 0, why))

    def add_missing(self, row: KnownCopy, path: str) -> None:
        self.looked += 1
        self.found.append(DiskFinding(MISSING, path, row[3], why=Code.NO_SUCH_FILE()))

    def add_unreadable(self, path: str, why: Why, copies: int = 0) -> None:
        self.found.append(DiskFinding(UNREAD, path, why=why, copies=copies))


@lru_cache(maxsize=4)
def _divided(excluded: frozenset[str]) -> set[str]:
    """Return the directories with objects of other parts.  The parts of a job share one set of a whole node."""
    return holding(excluded)


class _TooMany(Exception):
    """The list is too long for a job."""


class _Part:
    """The comparison of one part."""

    def __init__(self, part: TreePart, node: ObjectNode, found: _Differences, efforts: Efforts) -> None:
        self._part = part
        self._node = node
        self._found = found
        self._efforts = efforts
        self._limits = PartLimits(part)
        self._divided = _divided(part.excluded)
        self._known: dict[str, list[KnownCopy]] = {}  # two acquisitions may share a path
        for row in part.known:
            self._known.setdefault(f"{part.path}/{row[1]}" if part.path else row[1], []).append(row)

    def compare(self) -> None:
        known = holding(path.rpartition("/")[0] for path in self._known)
        left = [self._part.path]
        while left:
            path = left.pop()
            if path not in known and path != self._part.path and self._found.enough():
                self._found.remaining.append(self._part._replace(path=path, known=()))
                continue
            left += self._list(path)
        self._look()

    def _list(self, path: str) -> list[str]:
        """Compare the objects in a directory, and below it if it is all of this part; return the directories to list
        next.
        """
        if path and (why := self._node.refuses(path)):
            if path != self._part.path:
                self._found.add_unreadable(path, why)
            return []
        if path not in self._divided and not self._limits.divide(path):
            try:
                self._compare(self._listed(path, recursive=True))
                return []
            except _TooMany:
                pass  # one level at a time, so that other jobs can have a share
            except StorageError:
                self._node.check()  # a single directory may be unreadable
        try:
            return self._compare(self._listed(path, recursive=False))
        except StorageError as error:
            self._node.check()
            self._found.add_unreadable(path, error.reason)
            return []

    def _listed(self, path: str, recursive: bool) -> dict[str, SeenObject | None]:
        """Return the objects of this part, and directories as None.  Raises _TooMany and StorageError."""
        listed: dict[str, SeenObject | None] = {}
        entries = 0

        def take(name: str, seen: SeenObject | None) -> None:
            nonlocal entries
            entries += 1
            if recursive and entries > MOST_ENTRIES:
                raise _TooMany
            if self._belongs(name, seen):
                listed[name] = seen

        self._found.lists += 1
        self._node.listed(path, recursive, take, self._efforts.next())
        self._found.entries += entries
        return listed

    def _belongs(self, path: str, seen: SeenObject | None) -> bool:
        if ours("", path.partition("/")[0]):
            return False
        if seen is None:
            return path not in self._part.excluded and self._limits.may_hold(path)
        return path in self._known or _marks(path) or self._limits.belongs(path)

    def _compare(self, listed: dict[str, SeenObject | None]) -> list[str]:
        others = {path.rpartition("/")[0] for path, seen in listed.items() if seen and _marks(path)}
        for path in others:
            self._found.found.append(DiskFinding(OTHER, path, why=Code.OTHER_NODES_ROOT()))
        directories = []
        for path, seen in listed.items():
            if seen is not None and path in self._known:
                for row in self._known.pop(path):
                    self._found.compare(row, path, seen)
            elif others and not others.isdisjoint(_above(path)):
                continue
            elif seen is None:
                directories.append(path)
            else:
                self._found.add_unknown(path, seen)
        return directories

    def _look(self) -> None:
        """Look at the good copies that were in no list."""
        wanted: list[str] = []
        for path, rows in self._known.items():
            good = sum(row[4] == "Y" for row in rows)
            if good and (why := self._node.refuses(path)):
                # No such object can exist, so it must not keep the comparison from being complete.
                self._found.add_unreadable(path, why, good)
                self._found.looked += good
            elif good:
                wanted.append(path)
        for some in batches(self._node, wanted):
            self._compare_looked(some, self._node.look(some, self._efforts.next()))

    def _compare_looked(self, paths: Sequence[str], seen: dict[str, SeenObject]) -> None:
        for path in paths:
            for row in self._known[path]:
                if path in seen:
                    self._found.compare(row, path, seen[path])
                elif row[4] == "Y":
                    self._found.add_missing(row, path)


def _marks(path: str) -> bool:
    """Return whether the object is the marker of a node below this one."""
    return path.endswith(f"/{MARKER}")


def _above(path: str) -> Iterable[str]:
    """Yield the directories above a path."""
    while path:
        path = path.rpartition("/")[0]
        yield path


def _finding(kind: str, path: str, seen: SeenObject, copy_id: int, why: Why) -> DiskFinding:
    return DiskFinding(kind, path, copy_id, "object", seen.size_b, int(seen.modified * 1e9), why)
