"""The amounts of work of a run: what is known, and what is done, by kind of work."""

from __future__ import annotations

from alpenhorn.model.tasks import Task, TaskKind

COUNTED = frozenset(
    {
        TaskKind.IMPORT,
        TaskKind.CHECK,
        TaskKind.DELETE,
        TaskKind.PULL,
        TaskKind.TAPE,
        TaskKind.COMPARE,
        TaskKind.LOOK,
        TaskKind.SEPARATE,
    }
)
"""The kinds whose files are counted; the others prepare or conclude these, or their amount is not known before."""


class Amount:
    """The work of one kind: files and bytes.

    `planned`: given to the pool so far, without what was withdrawn; `finished`: of these, the tasks that have ended.
    `pending`: known from the index and not planned yet; estimated, and counted only for a display.
    """

    def __init__(self) -> None:
        self.planned = (0, 0)
        self.finished = (0, 0)
        self.pending = (0, 0)
        self._passed = (0, 0)

    @property
    def known(self) -> tuple[int, int]:
        """Files and bytes, planned and pending."""
        return _sum(self.planned, self.pending)

    def expect(self, files: int, size_b: int) -> None:
        """Set what is pending at the start of a round, without what the last round decided not to do."""
        self.pending = _difference((files, size_b), self._passed)
        self._passed = (0, 0)

    def passed(self, files: int, size_b: int) -> None:
        """Take pending work off that was decided not to be done in this round."""
        self._passed = _sum(self._passed, (files, size_b))
        self.pending = _difference(self.pending, (files, size_b))

    def plan(self, files: int, size_b: int) -> None:
        """Move pending work to the planned work, and add what was not known to be pending."""
        self.pending = _difference(self.pending, (files, size_b))
        self.planned = _sum(self.planned, (files, size_b))

    def withdraw(self, files: int, size_b: int) -> None:
        """Take planned work off that was not started."""
        self.planned = _difference(self.planned, (files, size_b))

    def finish(self, files: int, size_b: int) -> None:
        self.finished = _sum(self.finished, (files, size_b))


class Amounts:
    """The amounts of all kinds of work, by the kind of task.

    `copied_on`: an autosync rule leads from a node to a group of this host, so that imported files are pulled next.
    """

    def __init__(self) -> None:
        self.kinds: dict[TaskKind, Amount] = {}
        self.copied_on = False

    def of(self, kind: TaskKind) -> Amount:
        return self.kinds.setdefault(kind, Amount())

    def planned(self, task: Task) -> None:
        if task.kind in COUNTED:
            self.of(task.kind).plan(task.files, task.bytes)

    def withdrawn(self, task: Task) -> None:
        if task.kind in COUNTED:
            self.of(task.kind).withdraw(task.files, task.bytes)

    def changed(self, before: Task, after: Task | None) -> None:
        """Replace a planned task by the part of it that is left, None if nothing is."""
        self.withdrawn(before)
        if after is not None and after.kind in COUNTED:
            self.of(after.kind).planned = _sum(self.of(after.kind).planned, (after.files, after.bytes))

    def finished(self, task: Task) -> None:
        if task.kind in COUNTED:
            self.of(task.kind).finish(task.files, task.bytes)


def _sum(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    return one[0] + other[0], one[1] + other[1]


def _difference(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    return max(0, one[0] - other[0]), max(0, one[1] - other[1])
