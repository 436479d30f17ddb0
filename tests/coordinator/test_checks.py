from __future__ import annotations

from collections.abc import Iterator

import pytest

from alpenhorn.config import load
from alpenhorn.coordinator.checks import AGAIN, DAY, NEVER, Checks, due_pages
from alpenhorn.coordinator.context import Context
from alpenhorn.coordinator.nodes import Nodes
from alpenhorn.coordinator.report import Asked, Report, Unwatched
from alpenhorn.coordinator.sync import _Session
from alpenhorn.extensions.registry import node_io
from alpenhorn.index.connection import Index
from alpenhorn.index.times import naive
from alpenhorn.model.checks import CheckJob, CheckResult
from alpenhorn.model.nodes import ProbeOutcome
from alpenhorn.model.tasks import Done, Fate, Task, Verdict
from alpenhorn.scan import topology
from alpenhorn.workers.pool import Pool
from tests.fixtures.rows import HERE, Rows
from tests.plan.facts import NOW


@pytest.fixture
def rows(index: Index) -> Rows:
    """Six good copies on node one; four were verified, 1, 2, 3 and 4 days ago."""
    made = Rows(index)
    for number in range(6):
        file_id = made.file(str(number))
        made.copy(file_id, "one", "YY")
        if number < 4:
            made.insert(
                "sync_verification",
                file_id=file_id,
                node_id=made.node["one"],
                verified=naive(NOW - (number + 1) * DAY),
            )
    return made


def planned(rows: Rows, budget: int, min_days: float) -> list[tuple[str, str]]:
    """Return (reason, file name) of each copy, in reading order."""
    node = rows.fact("one")._replace(auto_verify=budget)
    found = due_pages(rows.index, node, NOW, min_days, 0.0)
    return [(turn.why, file.path[4:]) for turn in found for file in turn.plan.files]


@pytest.mark.parametrize(
    ("budget", "min_days", "expected"),
    [
        (1, 0, "4"),
        (2, 0, "45"),
        (3, 0, "453"),
        (100, 0, "453210"),
        (100, 2, "4532"),
        (100, 2.5, "4532"),
        (100, 10, "45"),
        (100, 1e300, "45"),
    ],
)
def test_copies_never_verified_are_read_first_then_the_oldest(
    rows: Rows, budget: int, min_days: float, expected: str
) -> None:
    found = planned(rows, budget, min_days)
    assert "".join(name for _, name in found) == expected
    assert {why for why, name in found if name in "45"} == {NEVER}
    assert {why for why, name in found if name in "0123"} <= {AGAIN}


def test_a_copy_that_waits_for_a_retry_uses_none_of_the_budget(rows: Rows) -> None:
    for (copy_id,) in rows.all("SELECT id FROM archivefilecopy WHERE file_id IN (4, 5)"):
        rows.insert(
            "sync_attempt",
            kind="check",
            subject_id=copy_id,
            count=1,
            last=naive(NOW),
            next=naive(NOW + 60),
            blame="unknown",
            error="died",
        )
    ((_, first), (_, second)) = planned(rows, 2, 0)
    waiting = {name for (name,) in rows.all("SELECT name FROM archivefile WHERE id IN (4, 5)")}
    assert not {first, second} & waiting


# --- what is being deleted -----------------------------------------------------------------------------


@pytest.fixture
def context(rows: Rows) -> Iterator[Context]:
    """A round on node one, whose copies are all suspect."""
    rows.do("UPDATE archivefilecopy SET has_file = 'M'")
    node = rows.fact("one")
    config = load(None, {"HOME": "/"})
    with Pool(1, lambda task, report: None) as pool:
        session = _Session(
            index=rows.index,
            pool=pool,
            config=config._replace(sync=config.sync._replace(host=HERE)),
            asked=Asked(),
            watcher=Unwatched(),
            clock=lambda: naive(NOW),
            stopping=lambda: False,
            report=Report(),
            run=rows.begin(),
            started=0.0,
            start=topology.load(rows.index),
            nodes=[node],
            found=Nodes(ios={node.id: node_io(node)}, answers={node.id: ProbeOutcome(node.id)}),
        )
        yield session._context()


def begun(context: Context) -> tuple[Checks, Task, CheckJob]:
    """Return the checks of a round, and the only task that they create."""
    checks = Checks(context)
    (task,) = checks.feed()
    assert isinstance(task.job, CheckJob)
    return checks, task, task.job


def test_a_copy_claimed_for_deletion_is_not_handed_out(rows: Rows, context: Context) -> None:
    context.deleting |= {(rows.node["one"], 2), (rows.node["two"], 3)}
    _, _, job = begun(context)
    assert [file.file_id for file in job.files] == [1, 3, 4, 5, 6]


@pytest.mark.parametrize("verdict", [Verdict.GOOD, Verdict.MISSING, Verdict.CORRUPT, Verdict.UNREADABLE])
def test_a_copy_claimed_for_deletion_while_it_is_read_is_not_recorded(
    rows: Rows, context: Context, verdict: Verdict
) -> None:
    checks, task, job = begun(context)
    context.deleting.add((rows.node["one"], 2))
    results = tuple(CheckResult(file, verdict, error="why") for file in job.files)
    checks.task_ended(Done(task, Fate.DONE, results))
    assert rows.state(2, "one") == "MY"
    told = rows.all("SELECT file_id FROM sync_event WHERE what <> 'failed'") + rows.attempts("check")
    assert len(told) == 5
    assert (2,) not in told


@pytest.mark.parametrize("verdict", [Verdict.MISSING, Verdict.UNREADABLE])
def test_a_copy_claimed_while_its_result_is_held_back_is_not_recorded(
    rows: Rows, context: Context, verdict: Verdict
) -> None:
    checks, task, job = begun(context)
    checks._open += 1  # another task is still under way
    results = tuple(CheckResult(file, verdict, error="why") for file in job.files[:2])
    checks.task_ended(Done(task, Fate.DONE, results))
    assert rows.all("SELECT * FROM sync_event") == rows.attempts("check") == []
    context.deleting.add((rows.node["one"], 2))
    checks.task_ended(Done(task, Fate.DONE, ()))
    assert rows.state(2, "one") == "MY"
    assert len(rows.all("SELECT * FROM sync_event WHERE what <> 'failed'") + rows.attempts("check")) == 1
