from __future__ import annotations

import pytest

from alpenhorn.coordinator.context import Context
from alpenhorn.coordinator.separate import Separating
from alpenhorn.model.links import LookFile, LookJob, LookOutcome, SeparateJob, SeparateResult
from alpenhorn.model.tasks import Done, Fate, Task
from tests.coordinator import test_checks
from tests.fixtures.rows import Rows

rows = test_checks.rows
context = test_checks.context


@pytest.fixture
def good(rows: Rows, context: Context) -> Context:
    """A round on node one, an archive node with six good copies."""
    rows.do("UPDATE archivefilecopy SET has_file = 'Y'")
    rows.do("UPDATE sync_medium SET separate = 0")
    return context


def begun(context: Context, rows: Rows, *, time: bool) -> tuple[Separating, Task, LookJob]:
    """Begin to look at the copies of node one; `time`: whether there is time for copying."""
    separating = Separating(context, [rows.fact("one")], lambda: time)
    (task,) = separating.feed()
    assert isinstance(task.job, LookJob) and len(task.job.files) == 6
    return separating, task, task.job


def looked(separating: Separating, task: Task, *linked: LookFile) -> None:
    separating.task_ended(Done(task, Fate.DONE, LookOutcome(6, linked=linked)))


def finish(separating: Separating) -> None:
    """Check that no more tasks are created."""
    assert separating.feed() == []
    separating.finish()


def test_node_whose_copies_all_have_bytes_of_their_own_is_recorded_as_separate(
    good: Context, rows: Rows
) -> None:
    separating, task, _ = begun(good, rows, time=False)
    looked(separating, task)
    finish(separating)
    assert rows.fact("one").separate


def test_once_the_time_is_up_no_more_is_copied_than_what_was_found_first(good: Context, rows: Rows) -> None:
    separating, task, job = begun(good, rows, time=False)
    looked(separating, task, job.files[0])
    (copying,) = separating.feed()
    assert isinstance(copying.job, SeparateJob) and copying.job.files == job.files[:1]
    separating.task_ended(Done(copying, Fate.DONE, (SeparateResult(job.files[0]),)))
    looked(separating, task, job.files[1])
    finish(separating)
    assert not rows.fact("one").separate


@pytest.mark.parametrize(
    "result", [{"left": "no space"}, None], ids=["it still shares its bytes", "the run was stopped"]
)
def test_nothing_is_recorded_while_copies_share_their_bytes(
    good: Context, rows: Rows, result: dict[str, str] | None
) -> None:
    separating, task, job = begun(good, rows, time=True)
    looked(separating, task, job.files[0])
    (copying,) = separating.feed()
    outcome = () if result is None else (SeparateResult(job.files[0], **result),)
    separating.task_ended(Done(copying, Fate.DONE, outcome))
    finish(separating)
    assert not rows.fact("one").separate


@pytest.mark.parametrize("fate", [Fate.DIED, Fate.TIMED_OUT, Fate.BROKEN])
def test_nothing_is_recorded_if_some_copies_could_not_be_looked_at(
    good: Context, rows: Rows, fate: Fate
) -> None:
    separating, task, _ = begun(good, rows, time=True)
    separating.task_ended(Done(task, fate, error="why"))
    finish(separating)
    assert not rows.fact("one").separate
    assert good.report.failures


def test_nothing_is_recorded_if_only_some_copies_were_looked_at(good: Context, rows: Rows) -> None:
    separating, task, _ = begun(good, rows, time=True)
    separating.task_ended(Done(task, Fate.DONE, LookOutcome(5)))
    finish(separating)
    assert not rows.fact("one").separate


def test_missing_copies_become_suspect(good: Context, rows: Rows) -> None:
    separating, task, job = begun(good, rows, time=True)
    separating.task_ended(Done(task, Fate.DONE, LookOutcome(6, lost=((job.files[2], "gone"),))))
    finish(separating)
    assert rows.all("SELECT id FROM archivefilecopy WHERE has_file = 'M'") == [(job.files[2].copy_id,)]
    assert good.whole.looked[rows.node["one"]].copies == 5
