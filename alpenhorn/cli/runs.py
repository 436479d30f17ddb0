"""Options and the worker pool of the commands that carry out or plan runs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import click

from alpenhorn import logs
from alpenhorn.cli.app import App
from alpenhorn.cli.complete import NODE, names_option
from alpenhorn.cli.usage_hints import HintingChoice
from alpenhorn.config import MOST_JOBS
from alpenhorn.kinds import NAMES
from alpenhorn.workers.pool import Pool
from alpenhorn.workers.worker import Worker

if TYPE_CHECKING:
    from alpenhorn.coordinator.report import Report
    from alpenhorn.workers.pool import Pool

REPORT = "alpenhorn.coordinator.report"  # the logger of the messages of a report

node_option = names_option(NODE, "Only work on NODE")
only_option = click.option(
    "--only",
    metavar="KIND",
    type=HintingChoice(NAMES),
    multiple=True,
    help="Only this kind of work: import, check, delete, pull, tape (put copies there, recall them, or free disk"
    " space), or trash (bring files back, or delete them for good); may be repeated.",
)
mass_delete_option = click.option(
    "--allow-mass-delete",
    is_flag=True,
    help="Delete released copies even if they exceed the delete_limit of a node.",
)
jobs_option = click.option(
    "--jobs", metavar="J", type=click.IntRange(1, MOST_JOBS), help="Number of worker processes."
)


@contextmanager
def workers(
    app: App, jobs: int | None, *, for_run: bool = False, prints_report: bool = True
) -> Iterator[Pool]:
    """Yield a pool of workers, created before the index is opened, because connections must not be shared by a fork.

    `for_run`: record a failed run if the pool cannot be created.  `prints_report`: the command prints the messages of
    its report, so -v does not print them as records of the log, too; -vv prints the whole log.
    """
    config = app.config
    if jobs is not None:
        config = app.config = config._replace(sync=config.sync._replace(jobs=jobs))
    log = config.log
    logs.configure(
        log.level,
        None if log.file is None else str(log.file),
        log.syslog,
        _stderr_level(app.verbosity),
        REPORT if prints_report and app.verbosity == 1 else "",
    )
    worker = Worker(config.transfer)
    if config.sync.scheduler:
        from alpenhorn.workers.cluster import ClusterWorker  # few hosts have one

        worker = ClusterWorker(config.transfer, config.sync.scheduler)
    try:
        pool = Pool(config.sync.jobs, worker, before_fork=app.disconnect, at_end=worker.close)
    except Exception as error:
        if for_run:
            from alpenhorn.coordinator.endings import without_workers  # 33 ms, and hardly ever needed

            with suppress(Exception):  # if the index cannot be opened, report the original error
                without_workers(app.index, app.host, app.now, error)
        raise
    with pool:
        yield pool


@contextmanager
def recording_output_failure(app: App, report: Report) -> Iterator[None]:
    """Return a context for printing a run's report, in which a failure to print is recorded with the run."""
    try:
        yield
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError as error:
        from alpenhorn.coordinator.endings import messages_lost  # as above

        messages_lost(app.index, report.run_id, error)
        raise


def _stderr_level(verbosity: int) -> str | None:
    return {1: "info"}.get(verbosity, "debug") if verbosity > 0 else None
