"""The live display of a run on a terminal: totals, and the work of each worker."""

from __future__ import annotations

import time
from contextlib import suppress
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table

from alpenhorn.cli import output
from alpenhorn.coordinator.report import Report
from alpenhorn.model.pulls import PullJob
from alpenhorn.workers.pool import Activity

INTERVAL = 0.25  # seconds
FIRST_AFTER = 0.5  # seconds; shorter runs show only their summary


class RunDisplay:
    """The live display of a run; as a context manager it restores the terminal.

    It is drawn when the run calls `show`, not by a thread, because forking workers is not safe with threads.
    """

    interval: float | None = INTERVAL

    def __init__(self) -> None:
        self._live = Live(console=Console(), auto_refresh=False, transient=True)
        self._started = time.monotonic()
        self._shown = False
        self._closed = False
        self._next = self._started + FIRST_AFTER

    def __enter__(self) -> RunDisplay:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown:
            with suppress(OSError):  # the terminal was closed; the next output reports it
                self._live.stop()

    def show(self, report: Report, activity: list[Activity]) -> None:
        now = time.monotonic()
        if now < self._next or self._closed:
            return
        self._next = now + INTERVAL
        try:
            if not self._shown:
                self._shown = True
                self._live.start()
            self._live.update(self._drawn(report, activity, now - self._started), refresh=True)
        except OSError:  # the terminal was closed; the run continues
            self._closed = True

    def _drawn(self, report: Report, activity: list[Activity], seconds: float) -> Table:
        files = report.finished[0] + sum(worker.files for worker in activity)
        bytes_ = report.finished[1] + sum(worker.bytes for worker in activity)
        all_files = max(report.expected[0], report.planned[0], files)
        all_bytes = max(report.expected[1], report.planned[1], bytes_)
        grid = Table.grid(padding=(0, 2))
        share = bytes_ / all_bytes if all_bytes else (files / all_files if all_files else 0)
        left = f"{_clock(seconds / share - seconds)} left" if share > 0.01 else ""
        grid.add_row(
            "total",
            ProgressBar(total=1.0, completed=share, width=20),
            f"{files}/{all_files} files",
            f"{output.size(bytes_)} of {output.size(all_bytes)}",
            f"{output.size(bytes_ / seconds)}/s",
            left,
        )
        for worker in activity:
            grid.add_row(*_worker_row(worker))
        return grid


def _worker_row(worker: Activity) -> tuple[str, ...]:
    task = worker.task
    if task is None:
        return (f"worker {worker.worker + 1}", "[dim]idle", "", "", "", "")
    doing = str(task.kind)
    if isinstance(task.job, PullJob):
        doing = f"pull from {task.job.source.name}"
    return (
        f"worker {worker.worker + 1}",
        f"{escape(output.harmless(doing))} [dim]on[/] {escape(output.harmless(task.job.node.name))}",
        f"{worker.files}/{task.files} files",
        f"{output.size(worker.bytes)} of {output.size(task.bytes)}",
        f"{output.size(worker.bytes / worker.seconds)}/s" if worker.seconds else "",
        _clock(worker.seconds),
    )


def _clock(seconds: float) -> str:
    whole = int(seconds)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"
