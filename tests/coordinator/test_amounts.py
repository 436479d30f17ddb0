from __future__ import annotations

from typing import Any, cast

from alpenhorn.coordinator.amounts import Amount, Amounts
from alpenhorn.model.tasks import Task, TaskKind


def task(kind: TaskKind, files: int, size_b: int) -> Task:
    return Task(kind, 1, cast(Any, None), files=files, bytes=size_b)


def test_planning_what_is_pending_adds_nothing() -> None:
    pulls = Amount()
    pulls.expect(10, 1000)
    pulls.plan(4, 400)
    assert pulls.known == (10, 1000)
    pulls.plan(8, 800)
    assert pulls.known == (12, 1200)


def test_requests_that_are_not_carried_out_are_not_left() -> None:
    pulls = Amount()
    pulls.expect(10, 1000)
    pulls.passed(3, 300)
    pulls.plan(7, 700)
    assert pulls.known == (7, 700)
    pulls.finish(7, 700)
    # In the next round the three still wait, and one was added.
    pulls.expect(4, 400)
    assert pulls.known == (8, 800)


def test_a_task_that_is_cut_or_dropped_is_not_left() -> None:
    amounts = Amounts()
    whole, rest = task(TaskKind.DELETE, 10, 0), task(TaskKind.DELETE, 4, 0)
    amounts.planned(whole)
    amounts.changed(whole, rest)
    assert amounts.of(TaskKind.DELETE).known == (4, 0)
    amounts.changed(rest, None)
    assert amounts.of(TaskKind.DELETE).known == (0, 0)


def test_tasks_that_prepare_others_are_not_counted() -> None:
    amounts = Amounts()
    amounts.planned(task(TaskKind.IDENTITY, 1, 512))
    amounts.finished(task(TaskKind.IDENTITY, 1, 512))
    assert amounts.kinds == {}
