from __future__ import annotations

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpenhorn.model.checks import CheckFile
from alpenhorn.model.deletions import DeleteFile
from alpenhorn.model.imports import ImportFile
from alpenhorn.model.nodes import NodeFact
from alpenhorn.model.pulls import Method, PullJob
from alpenhorn.model.searches import SearchJob
from alpenhorn.model.tasks import Task
from alpenhorn.plan.batches import (
    AHEAD,
    BATCH_BYTES,
    BATCH_FILES,
    BIG,
    DIRECTORIES,
    SESSION_FILES,
    check_tasks,
    delete_tasks,
    import_tasks,
    pull_tasks,
    search_tasks,
    split,
)
from alpenhorn.plan.limits import Limits
from alpenhorn.plan.pulls import Choice, PullDecision
from tests.plan.facts import MD5, fact, node, source

LIMITS = Limits(base=300.0, bytes_per_second=20e6, workers=2)


def batches(sizes: list[int], most: int = BATCH_FILES, workers: int = 2) -> list[list[tuple[int, int]]]:
    return list(split(list(enumerate(sizes)), lambda item: item[1], most, workers))


@given(
    st.lists(st.sampled_from([0, 1, 10_000, BIG - 1, BIG, BIG + 1, 5 * 2**30]), max_size=400),
    st.integers(1, 1000),
    st.integers(1, 16),
)
def test_splitting_loses_nothing_and_keeps_the_order_of_the_small_and_of_the_big(
    sizes: list[int], most: int, workers: int
) -> None:
    found = batches(sizes, most, workers)
    small = [item for batch in found for item in batch if item[1] < BIG]
    big = [item for batch in found for item in batch if item[1] >= BIG]
    assert small == [item for item in enumerate(sizes) if item[1] < BIG]
    assert big == [item for item in enumerate(sizes) if item[1] >= BIG]
    for batch in found:
        assert batch
        assert len(batch) <= max(most, 50)
        assert len(batch) == 1 or sum(size_b for _, size_b in batch) <= BATCH_BYTES
        assert len(batch) == 1 or all(size_b < BIG for _, size_b in batch)


@pytest.mark.parametrize(
    ("files", "workers", "expected"),
    [
        (0, 2, 0),
        (1, 2, 1),
        (50, 2, 1),  # not worth splitting
        (200, 2, 2),
        (1001, 2, 2),
        (2000, 2, 2),
        (2001, 2, 4),
        (5000, 2, 6),
        (5000, 3, 6),
        (8000, 8, 8),
    ],
)
def test_the_number_of_batches_is_a_multiple_of_the_number_of_workers(
    files: int, workers: int, expected: int
) -> None:
    found = batches([10_000] * files, workers=workers)
    assert len(found) == expected
    assert not found or max(map(len, found)) - min(map(len, found)) <= len(found)


@pytest.mark.parametrize(
    ("files", "size_b", "seconds"),
    [(1, 0, 300.0), (1, 2 * 10**9, 400.0), (1000, 10_000_000, 300 + 0.5 + 99.9)],
)
def test_a_deadline_has_a_base_a_share_for_bytes_and_one_for_files(
    files: int, size_b: int, seconds: float
) -> None:
    assert LIMITS.deadline(files, size_b) == pytest.approx(seconds)


def test_zero_bytes_per_second_is_no_limit() -> None:
    assert Limits(300.0, 0, 2).deadline(1, 10**15) is None


def pulls(number: int, method: Method, size_b: int = 10, **where: NodeFact) -> list[PullDecision]:
    start, goal = where.get("start", source()), where.get("goal", node())
    facts = (fact(id, size_b=size_b, node_from_id=start.id) for id in range(number))
    return [PullDecision(one, Choice.PULL, "", goal, start, method) for one in facts]


def tasks_of(chosen: list[PullDecision]) -> list[Task]:
    numbers = count()
    return list(pull_tasks(chosen, LIMITS, lambda: f"run-1-{next(numbers)}"))


def job(task: Task) -> PullJob:
    assert isinstance(task.job, PullJob)
    return task.job


@pytest.mark.parametrize(
    ("method", "most"),
    [
        (Method.COPY, BATCH_FILES),
        (Method.LINK, BATCH_FILES),
        (Method.BBCP, BATCH_FILES),
        (Method.RSYNC, SESSION_FILES),
        (Method.RSYNC_SSH, SESSION_FILES),
        (Method.TAR, SESSION_FILES),
    ],
)
def test_a_job_holds_files_of_one_kind_in_the_order_of_the_requests(method: Method, most: int) -> None:
    tasks = tasks_of(pulls(2 * most, method))
    assert [len(job(task).files) for task in tasks] == [most, most]
    ids = [file.request_id for task in tasks for file in job(task).files]
    assert ids == list(range(2 * most))
    assert all(task.files == most and task.bytes == 10 * most for task in tasks)


def test_sessions_with_other_hosts_are_divided_among_the_workers_by_bytes_only() -> None:
    assert [task.files for task in tasks_of(pulls(SESSION_FILES, Method.TAR))] == [SESSION_FILES]
    assert [task.files for task in tasks_of(pulls(BATCH_FILES, Method.COPY))] == [BATCH_FILES // 2] * 2
    size_b = BATCH_BYTES // 256
    assert [task.files for task in tasks_of(pulls(256, Method.TAR, size_b))] == [128, 128]
    assert [task.files for task in tasks_of(pulls(256, Method.COPY, size_b))] == [128, 128]


def test_files_of_other_sources_destinations_and_methods_are_not_mixed() -> None:
    chosen = [
        *pulls(2, Method.COPY),
        *pulls(2, Method.LINK),
        *pulls(2, Method.COPY, start=node(8)),
        *pulls(2, Method.COPY, goal=node(9)),
    ]
    interleaved = chosen[::2] + chosen[1::2]
    tasks = tasks_of(interleaved)
    assert len(tasks) == 4
    for task in tasks:
        assert task.node_id == job(task).node.id
        assert len(job(task).files) == 2


def test_a_big_file_is_a_job_of_its_own_and_its_stage_is_found_again() -> None:
    chosen = pulls(1, Method.COPY, BIG)
    (first,), (again,) = tasks_of(chosen), tasks_of(chosen)
    assert first.stage == again.stage == f"part-1000-{MD5}"
    assert "/" not in first.stage


def test_stages_are_unique_in_a_run() -> None:
    tasks = tasks_of(pulls(3000, Method.COPY))
    assert len({task.stage for task in tasks}) == len(tasks)


def test_checks_and_imports_are_batched_alike() -> None:
    checks = [CheckFile(id, id, f"acq/{id}", 1000, MD5) for id in range(2000)]
    found = list(check_tasks(node(), checks, LIMITS))
    assert [task.files for task in found] == [1000, 1000]
    assert [task.bytes for task in found] == [10**6, 10**6]
    files = [(ImportFile(f"acq/{id}", "acq", str(id)), 1000) for id in range(2000)]
    imports = list(import_tasks(node(), 7, 0.0, files, LIMITS))
    assert [task.files for task in imports] == [1000, 1000]
    assert all(task.deadline == LIMITS.deadline(1000, 10**6) for task in found + imports)


def test_deletions_are_batched_by_their_number_and_not_by_their_bytes() -> None:
    files = [DeleteFile(id, id, f"acq/{id}", 2**40, "Y") for id in range(2001)]
    tasks = list(delete_tasks(node(), files, LIMITS))
    assert [task.files for task in tasks] == [501, 501, 501, 498]
    assert [file for task in tasks for file in task.job.files] == files
    assert {task.bytes for task in tasks} == {0}
    assert tasks[0].deadline == LIMITS.deadline(501, 0)


def test_a_search_looks_at_a_few_directories_at_a_time() -> None:
    paths = [str(number) for number in range(AHEAD * LIMITS.workers * DIRECTORIES + 1)]
    tasks = list(search_tasks(node(), 7, paths, LIMITS))
    assert tasks[0].job == SearchJob(node(), 7, tuple(paths[:DIRECTORIES]))
    assert [path for task in tasks for path in task.job.paths] == paths
    assert max(len(task.job.paths) for task in tasks) == DIRECTORIES


def test_a_search_of_few_directories_is_shared_out_among_the_workers() -> None:
    tasks = list(search_tasks(node(), 7, [str(number) for number in range(20)], LIMITS))
    assert len(tasks) == AHEAD * LIMITS.workers
    assert len(list(search_tasks(node(), 7, ["one"], LIMITS))) == 1
    assert list(search_tasks(node(), 7, [], LIMITS)) == []
