from __future__ import annotations

import pytest

from alpenhorn.cli import output
from alpenhorn.cli.estimates import KindProgress, RunProgress
from alpenhorn.cli.run_lines import ASCII, UNICODE, LineMarks, run_lines
from alpenhorn.coordinator.report import Report
from alpenhorn.model.nodes import NodeFact
from alpenhorn.model.pulls import Method, PullFile, PullJob
from alpenhorn.model.tasks import Task, TaskKind
from alpenhorn.workers.pool import Activity
from tests.plan.facts import node

LARGE = 987_654_321_987_654
WORST = RunProgress(
    0.999,
    LARGE,
    1e6,
    3600.0 * 999,
    tuple(
        KindProgress(kind, 1_234_567, LARGE, 7_654_321, 3 * LARGE, 999_999)
        for kind in (TaskKind.PULL, TaskKind.SEPARATE, TaskKind.DELETE)
    ),
)


def named(name: str) -> NodeFact:
    return node(1)._replace(name=name)


def activity(path: str, workers: int = 3) -> list[Activity]:
    job = PullJob(
        named("a-source-with-a-long-name"),
        named("a-destination-with-a-long-name"),
        Method.COPY,
        (PullFile(1, 1, path, LARGE, "0" * 32),),
    )
    task = Task(TaskKind.PULL, 1, job, files=1, bytes=LARGE)
    busy = [Activity(n, task, 0, LARGE // 3, 100.0, path, failed=1) for n in range(workers - 1)]
    return [*busy, Activity(workers - 1, None, 0, 0, 0.0)]


def drawn(width: int, path: str, workers: int = 3, height: int = 40, marks: LineMarks = UNICODE) -> list[str]:
    report = Report()
    report.tally("import").failed = 12
    lines = run_lines(WORST, report, activity(path, workers), width, height, marks)
    return ["".join(text for text, _ in line) for line in lines]


PATHS = [
    "20260722T000000Z_pilot/beam_0001.h5",
    "a" * 200 + "/" + "b" * 200,
    "測定/" + "観測データ" * 20 + ".h5",
    "x",
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("marks", [UNICODE, ASCII])
def test_no_line_is_longer_than_the_width(path: str, marks: LineMarks) -> None:
    for width in range(20, 200):
        assert max(map(output.columns, drawn(width, path, marks=marks))) <= width


def test_the_beginning_and_the_end_of_a_file_are_shown() -> None:
    (line, *_) = [line for line in drawn(80, PATHS[0]) if "pull" in line and "2026" in line]
    assert "2026" in line and "0001.h5" in line


def test_failures_of_running_tasks_and_of_kinds_without_known_work_are_shown() -> None:
    lines = drawn(80, "x")
    assert any(line.startswith("pull") and "2 failed" in line for line in lines)
    assert any(line.startswith("import") and "12 failed" in line for line in lines)


def test_many_workers_fit_a_low_terminal() -> None:
    lines = drawn(80, "x", workers=64, height=20)
    assert len(lines) <= 20
    assert lines[-1].startswith("and ") and lines[-1].endswith(" more workers")


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [
        ("acq/file.h5", 20, "acq/file.h5"),
        ("0123456789", 7, "01…6789"),
        ("0123456789", 1, "…"),
        ("0123456789", 0, ""),
        ("測定測定測定", 7, "測…定定"),
    ],
)
def test_names_are_shortened_in_the_middle(text: str, width: int, expected: str) -> None:
    assert output.columns(output.middle_cut(text, width)) <= width
    if text.isascii():
        assert output.middle_cut(text, width) == expected
