"""Division of files into tasks with deadlines: many small files in one job, a big file in its own job."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from alpenhorn.model.checks import CheckFile, CheckJob
from alpenhorn.model.deletions import DeleteFile, DeleteJob
from alpenhorn.model.imports import ImportFile, ImportJob
from alpenhorn.model.nodes import NodeFact
from alpenhorn.model.pulls import Method, PullJob
from alpenhorn.model.searches import SearchJob
from alpenhorn.model.tasks import Task, TaskKind
from alpenhorn.plan.limits import Limits
from alpenhorn.plan.pulls import PullDecision
from alpenhorn.transfer.methods import METHODS

# Bytes; such a file, or one that takes JOB_SECONDS, has its own job, and is kept in part when interrupted.
BIG = 64 * 2**20
BATCH_BYTES = 256 * 2**20
BATCH_FILES = 1000
SESSION_FILES = 5000  # an ssh session costs as much as hundreds of small files
JOB_SECONDS = 60  # the longest job of several files under a bandwidth limit, since edits wait for its end
LEAST_FILES = 50  # smaller jobs cost more than they gain
DIRECTORIES = 64
AHEAD = 2  # search jobs for each worker

T = TypeVar("T")


def unlimited(decision: PullDecision) -> int:
    """Return 0, for no bandwidth limit."""
    return 0


def split(
    items: Sequence[T], size: Callable[[T], int], most: int, workers: int, most_b: int = BATCH_BYTES
) -> Iterator[list[T]]:
    """Divide items, in order, into batches of at most `most` items and `most_b` bytes, each big item alone.

    If there are enough items, the number of batches is a multiple of the number of workers, so that none works on a
    last batch while the others are idle.
    """
    rounds = -(-len(items) // (most * workers))
    most = max(LEAST_FILES, -(-len(items) // (rounds * workers))) if items else most
    batch: list[T] = []
    total = 0
    for item in items:
        size_b = size(item)
        if size_b >= min(BIG, most_b):
            yield [item]
            continue
        if batch and (len(batch) >= most or total + size_b > most_b):
            yield batch
            batch, total = [], 0
        batch.append(item)
        total += size_b
    if batch:
        yield batch


def pull_tasks(
    claimed: Iterable[PullDecision],
    limits: Limits,
    stage: Callable[[], str],
    rate: Callable[[PullDecision], int] = unlimited,
) -> Iterator[Task]:
    """Divide pulls into tasks.

    Sessions with other hosts are divided among the workers by bytes only: while one worker starts a session, others
    transfer the files that were claimed before.

    `claimed`: in the order of the requests; `stage`: returns a new name; `rate`: the expected bytes per second of the
    job of a pull, 0 for no limit.
    """
    by_route: dict[tuple[int, int, Method], list[PullDecision]] = {}
    for decision in claimed:
        assert decision.source is not None
        key = (decision.source.id, decision.node_id, decision.method)
        by_route.setdefault(key, []).append(decision)
    for (_, node_id, method), decisions in by_route.items():
        source, node, staged = decisions[0].source, decisions[0].node, decisions[0].staged
        assert source is not None and node is not None
        traits = METHODS[method]
        most = SESSION_FILES if traits.session else BATCH_FILES
        workers, most_b = limits.workers, BATCH_BYTES
        if traits.session and traits.network:
            workers, most_b = 1, max(BIG, BATCH_BYTES // limits.workers)
        if bytes_per_second := rate(decisions[0]):
            most_b = min(most_b, bytes_per_second * JOB_SECONDS)
        files = [decision.file() for decision in decisions]
        for batch in split(files, _size, most, workers, most_b):
            size_b = sum(file.size_b for file in batch)
            big = len(batch) == 1 and size_b >= min(BIG, most_b)
            deadline = limits.deadline(len(batch), size_b)
            if staged and deadline is not None:
                deadline *= 2  # the bytes are moved twice
            yield Task(
                TaskKind.PULL,
                node_id,
                PullJob(source, node, method, tuple(batch), staged=staged),
                files=len(batch),
                bytes=size_b,
                deadline=deadline,
                # Named after the file, so that the next run finds the part and continues it.
                stage=f"part-{batch[0].file_id}-{batch[0].md5sum}" if big else stage(),
                network=traits.network or traits.service,
            )


def check_tasks(
    node: NodeFact, files: Sequence[CheckFile], limits: Limits, keep_status: bool = False
) -> Iterator[Task]:
    """Divide checks into tasks.  `keep_status`: as in `CheckJob`."""
    for batch in split(files, _size, BATCH_FILES, limits.workers):
        size_b = sum(map(_size, batch))
        yield Task(
            TaskKind.CHECK,
            node.id,
            CheckJob(node, tuple(batch), keep_status),
            files=len(batch),
            bytes=size_b,
            deadline=limits.deadline(len(batch), size_b),
        )


def delete_tasks(node: NodeFact, files: Sequence[DeleteFile], limits: Limits) -> Iterator[Task]:
    """Divide deletions into tasks; deadlines depend on the number of files only."""
    for batch in split(files, lambda file: 0, BATCH_FILES, limits.workers):
        yield delete_task(DeleteJob(node, tuple(batch)), limits)


def delete_task(job: DeleteJob, limits: Limits, more_s: float = 0.0) -> Task:
    """Return the task of a deletion job.  `more_s`: seconds added to its deadline."""
    deadline = limits.deadline(len(job.files), 0)
    if deadline is not None:
        deadline += more_s
    return Task(TaskKind.DELETE, job.node.id, job, files=len(job.files), deadline=deadline)


def import_tasks(
    node: NodeFact,
    search: int,
    settle: float,
    files: Sequence[tuple[ImportFile, int]],
    limits: Limits,
    sha256: bool = False,
    keep_status: bool = False,
) -> Iterator[Task]:
    """Divide imports into tasks.  `files`: files with their lengths; `sha256`, `keep_status`: as in `ImportJob`."""
    for batch in split(files, lambda item: item[1], BATCH_FILES, limits.workers):
        size_b = sum(length for _, length in batch)
        yield Task(
            TaskKind.IMPORT,
            node.id,
            ImportJob(node, search, settle, tuple(file for file, _ in batch), sha256, keep_status),
            files=len(batch),
            bytes=size_b,
            deadline=limits.deadline(len(batch), size_b),
        )


def search_tasks(node: NodeFact, search: int, paths: Sequence[str], limits: Limits) -> Iterator[Task]:
    """Divide a search into tasks, even of few directories: each may hold thousands of files."""
    most = max(1, min(DIRECTORIES, -(-len(paths) // (AHEAD * limits.workers))))
    for start in range(0, len(paths), most):
        some = tuple(paths[start : start + most])
        yield Task(
            TaskKind.SEARCH,
            node.id,
            SearchJob(node, search, some),
            files=0,
            deadline=limits.deadline(len(some), 0),
        )


def _size(file: Any) -> int:
    return file.size_b or 0
