"""The files of a task that has ended, as lines: result, size and path."""

from __future__ import annotations

from collections.abc import Iterator

from alpenhorn.cli import output
from alpenhorn.model.checks import CheckJob, CheckResult
from alpenhorn.model.deletions import DeleteJob, DeleteResult
from alpenhorn.model.imports import ImportJob, ImportResult
from alpenhorn.model.links import SeparateJob, SeparateResult
from alpenhorn.model.pulls import PullJob, PullResult
from alpenhorn.model.tape import TapeJob, TapeResult
from alpenhorn.model.tasks import Done, Fate

FileResult = CheckResult | DeleteResult | ImportResult | PullResult | SeparateResult | TapeResult

FAILED = "failed"


def lines(done: Done) -> Iterator[str]:
    """Yield a line such as `pulled      10.00 MiB  acq/file` for each file, with the reason if it failed."""
    job = done.task.job
    if not isinstance(job, PullJob | ImportJob | CheckJob | DeleteJob | TapeJob | SeparateJob):
        return
    if done.fate is not Fate.DONE:
        for file in job.files:
            yield _line(FAILED, getattr(file, "size_b", None), file.path, done.why)
        return
    results: tuple[FileResult, ...] = (
        done.outcome.results if isinstance(job, DeleteJob) else tuple(done.outcome)
    )
    for result in results:
        yield _of_result(result)


def _of_result(result: FileResult) -> str:
    path = result.file.path
    if isinstance(result, SeparateResult):
        why = result.wrong or result.left
        return _line(FAILED if why else "separated", result.file.size_b, path, why)
    if isinstance(result, TapeResult):
        return _line(FAILED if result.error else str(result.where), result.file.held_b, path, result.error)
    size_b = result.size_b if isinstance(result, ImportResult) else result.file.size_b
    return _line(result.verdict, size_b, path, result.error)


def _line(result: str, size_b: int | None, path: str, why: object) -> str:
    more = f": {why}" if why else ""
    return output.harmless(f"{result:<10}{output.size(size_b):>12}  {path}{more}")
