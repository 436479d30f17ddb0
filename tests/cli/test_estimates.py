from __future__ import annotations

import random
from typing import Any, cast

import pytest

from alpenhorn.cli.estimates import FILE_B, Estimates, RunProgress
from alpenhorn.coordinator.amounts import Amounts
from alpenhorn.model.tasks import Task, TaskKind
from alpenhorn.workers.pool import Activity

MB = 1_000_000


def task(kind: TaskKind, size_b: int, files: int = 1) -> Task:
    return Task(kind, 1, cast(Any, None), files=files, bytes=size_b)


class Run:
    """A run of simulated seconds with one worker for each task."""

    def __init__(self) -> None:
        self.amounts = Amounts()
        self.estimates = Estimates(0.0)
        self.now = 0.0
        self.last = RunProgress(0.0, 0.0, 0.0, None, ())

    def work(self, some: Task, rate: float, seconds: float | None = None) -> None:
        """Carry out a planned task at a rate, four looks per second; leave it running after `seconds`."""
        done, began = 0.0, self.now
        while done < some.bytes and (seconds is None or self.now < began + seconds):
            self.now += 0.25
            done = min(some.bytes, done + rate / 4)
            self.look(Activity(0, some, 0, int(done), self.now - began))
        if done >= some.bytes:
            self.amounts.finished(some)
            self.look()

    def look(self, *activity: Activity) -> RunProgress:
        found = self.estimates.update(self.amounts, activity, self.now)
        assert found.fraction >= self.last.fraction
        self.last = found
        return found


def test_with_all_work_known_the_fraction_is_what_is_done_of_it() -> None:
    run = Run()
    run.amounts.of(TaskKind.PULL).expect(4, 400 * MB)
    for number in range(4):
        some = task(TaskKind.PULL, 100 * MB)
        run.amounts.planned(some)
        run.work(some, 20 * MB)
        assert run.last.fraction == pytest.approx((number + 1) / 4)


def test_the_fraction_never_falls_when_work_is_added_and_ends_at_one() -> None:
    """`Run.look` fails if it falls."""
    rng = random.Random(7)
    run = Run()
    for _ in range(30):
        kind = rng.choice([TaskKind.PULL, TaskKind.IMPORT, TaskKind.DELETE])
        some = [task(kind, rng.randrange(1, 30) * MB, files=rng.randrange(1, 50)) for _ in range(3)]
        for one in some:
            run.amounts.planned(one)
        run.look()
        for one in some:
            run.work(one, rng.randrange(5, 50) * MB)
    assert run.last.fraction == pytest.approx(1)


def test_a_task_that_reports_more_than_is_recorded_does_not_count_twice() -> None:
    run = Run()
    failing, other = task(TaskKind.PULL, 10 * MB), task(TaskKind.PULL, 10 * MB)
    run.amounts.planned(failing)
    run.amounts.planned(other)
    run.now = 1.0
    half = run.look(Activity(0, failing, 0, 9 * MB, 1.0)).fraction
    run.now = 2.0
    again = run.look(Activity(0, failing, 0, 2 * MB, 2.0))  # it began again
    assert again.fraction == half
    assert again.kinds[0].bytes == 9 * MB


def test_added_work_is_counted() -> None:
    run = Run()
    run.amounts.of(TaskKind.PULL).expect(4, 4 * MB)
    run.look()
    run.amounts.planned(task(TaskKind.PULL, 6 * MB, files=6))
    (pulls,) = run.look().kinds
    assert (pulls.known_files, pulls.added) == (6, 2)


def test_the_time_left_takes_each_kind_at_its_own_rate() -> None:
    """Imports are read at 100 MB/s, and pulls arrive at 1 MB/s: 55 MB take 55 s, and not a second."""
    run = Run()
    for _ in range(5):
        some = task(TaskKind.IMPORT, 100 * MB)
        run.amounts.planned(some)
        run.work(some, 100 * MB)
    pull = task(TaskKind.PULL, 60 * MB)
    run.amounts.planned(pull)
    assert run.look().left is None  # no pull has been measured
    run.work(pull, 1 * MB, seconds=5)
    assert run.last.left == pytest.approx(55, rel=0.05)


def test_a_long_file_is_waited_for_however_many_workers_there_are() -> None:
    run = Run()
    small = [task(TaskKind.PULL, 10 * MB) for _ in range(3)]
    big = task(TaskKind.PULL, 1000 * MB)
    for one in (*small, big):
        run.amounts.planned(one)
    for second in range(1, 11):
        run.now = float(second)
        run.look(*(Activity(n, one, 0, second * MB, second) for n, one in enumerate((*small, big))))
    for one in small:
        run.amounts.finished(one)
    assert run.look(Activity(3, big, 0, 10 * MB, 10.0)).left == pytest.approx(990, rel=0.01)


def test_files_without_bytes_count() -> None:
    run = Run()
    some = task(TaskKind.DELETE, 0, files=1000)
    run.amounts.planned(some)
    run.now = 2.0
    found = run.look(Activity(0, some, 500, 0, 2.0))
    assert found.fraction == pytest.approx(0.5)
    assert found.files_per_second == pytest.approx(250, rel=0.1)
    assert found.left == pytest.approx(2, rel=0.1)
    assert FILE_B > 0


def test_imports_that_a_rule_copies_are_half_of_the_work() -> None:
    run = Run()
    run.amounts.copied_on = True
    some = task(TaskKind.IMPORT, 100 * MB)
    run.amounts.planned(some)
    run.work(some, 50 * MB)
    assert run.last.fraction == pytest.approx(0.5)
    assert run.last.left is None  # no pull has been measured
    pull = task(TaskKind.PULL, 100 * MB)
    run.amounts.planned(pull)
    run.work(pull, 50 * MB)
    assert run.last.fraction == pytest.approx(1)
