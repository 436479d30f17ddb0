"""Estimates for the display of a run: the fraction done, rates, and the time left.

Work is weighed in bytes, with FILE_B more for each file, so that many small files count.

**The fraction never falls.**  The amount of work is not known at the start: searches find files, and imports lead to
pulls.  Done divided by known would fall each time that work is added.  Instead, each piece of finished work fills its
share of the part of the bar that is still empty: the fraction f grows by (1 - f) * piece / (piece + remaining).  If
nothing is added, that is exactly done divided by known; if work is added, the bar continues from where it is, more
slowly.  How much was added is shown beside it.

**The time left** is the sum over the kinds of work, each at its own rate: files are imported at another rate than they
are pulled.  A rate is the work done per second of one worker, and the sum is divided by the average number of busy
workers.  There is no estimate while a kind with work left has not been measured.  A single long job bounds it from
below, since no other worker can help.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from alpenhorn.coordinator.amounts import COUNTED, Amounts
from alpenhorn.model.tasks import TaskKind
from alpenhorn.workers.pool import Activity

FILE_B = 128 * 1024  # bytes that can be copied in the time that the opening and closing of a file takes
HALF_LIFE = 15.0  # seconds after which a measurement counts half
LEAST_MEASURED = 1.0  # seconds of one worker; less gives no rate


class KindProgress(NamedTuple):
    """The progress of one kind of work.

    `files`, `bytes`: done; `known_files`, `known_bytes`: done and left; `added`: files added since the kind was first
    shown.
    """

    kind: TaskKind
    files: int
    bytes: int
    known_files: int
    known_bytes: int
    added: int


class RunProgress(NamedTuple):
    """The progress of a run.

    `fraction`: from 0 to 1, never falls; `bytes_per_second`, `files_per_second`: of the last HALF_LIFE seconds or so;
    `left`: seconds, None if unknown.
    """

    fraction: float
    bytes_per_second: float
    files_per_second: float
    left: float | None
    kinds: tuple[KindProgress, ...]


class _Measured:
    """One kind of work: `files`, `bytes` and `work` done so far, and recently `done` in `spent` seconds of workers.

    `at_first`: files known when it was first shown; `total_spent`: seconds of workers since then.
    """

    def __init__(self, at_first: int) -> None:
        self.at_first = at_first
        self.files = 0
        self.bytes = 0
        self.work = 0
        self.remaining = 0
        self.done = 0.0
        self.spent = 0.0
        self.total_spent = 0.0

    def rate(self) -> float | None:
        """Return the work per second of one worker, None if unknown."""
        enough = self.total_spent >= LEAST_MEASURED and self.spent > 0
        return self.done / self.spent if enough and self.done > 0 else None


class Estimates:
    """The estimates of a run that began at the time `now`, in seconds of a monotonic clock."""

    def __init__(self, now: float) -> None:
        self._at = now
        self._fraction = 0.0
        self._kinds: dict[TaskKind, _Measured] = {}
        self._seconds = 0.0  # of the following, decayed
        self._busy = 0.0
        self._files = 0.0
        self._bytes = 0.0

    def update(self, amounts: Amounts, activity: Sequence[Activity], now: float) -> RunProgress:
        """Return the progress at a time, which must not be before that of the last call."""
        passed, self._at = now - self._at, now
        faded = 0.5 ** (passed / HALF_LIFE)
        running = _running(activity)
        piece = files = size_b = 0
        shown = []
        for kind, amount in amounts.kinds.items():
            known_files, known_b = amount.known
            measured = self._kinds.get(kind)
            if measured is None:
                if known_files == 0:
                    continue
                measured = self._kinds[kind] = _Measured(known_files)
            busy, active_files, active_b = running.get(kind, (0, 0, 0))
            # A task that fails may have reported more than is recorded of it at its end.
            done_files = max(measured.files, amount.finished[0] + active_files)
            done_b = max(measured.bytes, amount.finished[1] + active_b)
            work = done_b + FILE_B * done_files
            if busy or work > measured.work:
                measured.spent = measured.spent * faded + busy * passed
                measured.done = measured.done * faded + work - measured.work
                measured.total_spent += busy * passed
            piece += work - measured.work
            files += done_files - measured.files
            size_b += done_b - measured.bytes
            measured.files, measured.bytes, measured.work = done_files, done_b, work
            measured.remaining = max(0, known_b - done_b) + FILE_B * max(0, known_files - done_files)
            shown.append(
                KindProgress(
                    kind,
                    done_files,
                    done_b,
                    max(known_files, done_files),
                    max(known_b, done_b),
                    max(0, known_files - measured.at_first),
                )
            )
        self._seconds = self._seconds * faded + passed
        self._busy = self._busy * faded + passed * sum(busy for busy, _, _ in running.values())
        self._files = self._files * faded + files
        self._bytes = self._bytes * faded + size_b
        expected = _expected(amounts)
        remaining = sum(one.remaining for one in self._kinds.values()) + expected
        if piece > 0:
            self._fraction += (1 - self._fraction) * piece / (piece + remaining)
        seconds = self._seconds or 1.0
        return RunProgress(
            self._fraction,
            self._bytes / seconds,
            self._files / seconds,
            self._left(activity, expected),
            tuple(shown),
        )

    def _left(self, activity: Sequence[Activity], expected: int) -> float | None:
        """Return the seconds for the remaining work and for the `expected` pulls; None if unknown."""
        left = {kind: measured.remaining for kind, measured in self._kinds.items() if measured.remaining}
        if expected:
            left[TaskKind.PULL] = left.get(TaskKind.PULL, 0) + expected
        spent = 0.0
        for kind, work in left.items():
            rate = self._kinds[kind].rate() if kind in self._kinds else None
            if rate is None:
                return None
            spent += work / rate
        if not left:
            return None
        at_once = max(1.0, self._busy / self._seconds if self._seconds else 1.0)
        return max(spent / at_once, max(map(_seconds_left, activity), default=0.0))


def _running(activity: Sequence[Activity]) -> Mapping[TaskKind, tuple[int, int, int]]:
    """Return the numbers of workers, files and bytes of the running tasks, by kind."""
    found: dict[TaskKind, tuple[int, int, int]] = {}
    for worker in activity:
        task = worker.task
        if task is not None and task.kind in COUNTED:
            busy, files, size_b = found.get(task.kind, (0, 0, 0))
            found[task.kind] = (
                busy + 1,
                files + min(worker.files, task.files),
                size_b + min(worker.bytes, task.bytes),
            )
    return found


def _seconds_left(worker: Activity) -> float:
    """Return the seconds that a worker needs for the rest of its task at the rate so far; 0 if unknown."""
    task = worker.task
    if task is None or worker.seconds < LEAST_MEASURED or not 0 < worker.bytes < task.bytes:
        return 0.0
    return (task.bytes - worker.bytes) * worker.seconds / worker.bytes


def _expected(amounts: Amounts) -> int:
    """Return the work of the pulls that will follow the imports and are not requested yet."""
    imports = amounts.kinds.get(TaskKind.IMPORT)
    if imports is None or not amounts.copied_on:
        return 0
    pulls = amounts.of(TaskKind.PULL).known
    (files, size_b) = imports.known
    return max(0, size_b - pulls[1]) + FILE_B * max(0, files - pulls[0])
