"""`alpenhorn sync`: do the pending work on this host, and exit."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import click

from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.monitored import monitored
from alpenhorn.cli.progress import ProgressForm, display, progress_option
from alpenhorn.cli.runs import (
    jobs_option,
    mass_delete_option,
    node_option,
    only_option,
    recording_output_failure,
    workers,
)
from alpenhorn.cli.times import Duration
from alpenhorn.cli.usage_hints import HintingCommand, nodes_form
from alpenhorn.errors import Busy
from alpenhorn.outside import harmless
from alpenhorn.workers.stopping import StopRequest

if TYPE_CHECKING:
    from alpenhorn.coordinator.report import Report
    from alpenhorn.reasons import Reason

MOST_LINES = 30  # maximum number of notes and failures printed, since cron mails them


@click.command(cls=HintingCommand, right_form=nodes_form)
@node_option
@only_option
@jobs_option
@click.option(
    "--time-limit", metavar="T", type=Duration(), help="Time after which no new work is started, such as 50m."
)
@click.option("-n", "--dry-run", is_flag=True, help="Show what would be done; the same as `alpenhorn plan`.")
@click.option("--wait", is_flag=True, help="Wait for a node that another run is working on.")
@mass_delete_option
@click.option(
    "--accept-loss",
    is_flag=True,
    help="Record missing and unreadable copies even if they are a large part of a node.",
)
@progress_option
@pass_app
@click.pass_context
def sync(
    ctx: click.Context,
    app: App,
    nodes: tuple[str, ...],
    only: tuple[str, ...],
    jobs: int | None,
    time_limit: float | None,
    dry_run: bool,
    wait: bool,
    allow_mass_delete: bool,
    accept_loss: bool,
    progress: ProgressForm,
) -> None:
    """A run works on the active nodes of this host: it imports new and requested files, reads suspect copies and
    copies due for verification, deletes released copies if that is safe, and pulls requested files.  It
    repeats this until nothing more can be done now.  Only one run works on a node at a time.

    On a terminal, progress and a summary are shown.  Otherwise, for example from cron, output is printed only
    if something failed or needs attention; a lasting problem is reported when it begins, when it changes,
    once a day, and when it ends.  With -v, each file is listed when it is done.  Ctrl-C stops the run cleanly;
    a second Ctrl-C stops it at once.

    \b
    Examples:
      alpenhorn sync
      alpenhorn sync --node archive1 --only pull
      */5 * * * *  alpenhorn sync --time-limit 50m        (a line for crontab)
    """
    if dry_run:
        from alpenhorn.cli.plan import plan  # 6 ms, and only this option needs it

        ctx.invoke(
            plan,
            nodes=nodes,
            only=only,
            jobs=jobs,
            allow_mass_delete=allow_mass_delete,
            files=False,
            as_json=False,
        )
        return
    shown = sys.stdout.isatty() and app.verbosity >= 0
    with (
        _quiet_if_busy(ctx, nodes, shown or app.verbosity > 0),
        monitored(app, "sync", whole=not (nodes or only)) as monitored_run,
    ):
        with display(app, progress) as watcher, workers(app, jobs, for_run=True) as pool:
            # 50 ms, which neither the help nor the workers need.
            from alpenhorn.coordinator.report import Asked
            from alpenhorn.coordinator.sync import sync as run

            limit = time_limit if time_limit is not None else app.config.sync.time_limit
            unwatched = not shown and app.verbosity <= 0
            asked = Asked(nodes, only, limit, wait, allow_mass_delete, accept_loss, unwatched=unwatched)
            started = time.monotonic()
            with StopRequest(pool.wakeup) as stopping, closing(watcher):
                watcher.step("opening the index")
                report = run(app.index, pool, app.config, asked, watcher, app.now, stopping)
        monitored_run.report = report
        with recording_output_failure(app, report):
            if shown or app.verbosity > 0:
                _summary(report, time.monotonic() - started, app)
                _print_later(report, app)
            attention(report, app)
    ctx.exit(report.exit_status)


@contextmanager
def _quiet_if_busy(ctx: click.Context, nodes: Sequence[str], verbose: bool) -> Iterator[None]:
    """Exit without an error message if another run holds all nodes, so that cron sends no mail when runs overlap."""
    try:
        yield
    except Busy as busy:
        for line in busy.notes:
            click.echo(harmless(f"note: {line}"), err=True)
        if nodes or verbose:
            raise
        ctx.exit(busy.exit_status)


def _summary(report: Report, seconds: float, app: App) -> None:
    from alpenhorn.cli import output  # 4 ms, and runs of cron print no summary

    rows = [
        (kind, tally.done, tally.failed, output.size(tally.bytes), output.size(tally.bytes / seconds) + "/s")
        for kind, tally in report.tallies.items()
        if tally.done or tally.failed
    ]
    if rows:
        headers = ("work", "files", "failed", "size", "rate")
        output.table(headers, rows, right=headers[1:])
    elif report.nodes:
        output.line(f"Nothing to do on {', '.join(report.nodes)}.")
    elif not (report.left_out or report.warnings or report.stopped):
        output.line(
            f"No active node on host {app.host}. If this host has another name in the index, set [sync] host in the"
            " configuration. To list the nodes: alpenhorn node list"
        )


def _print_later(report: Report, app: App) -> None:
    for line in (*report.overlaps.lines(), *report.later.lines())[: _most_lines(app)]:
        click.echo(f"later: {harmless(line)}")


def _most_lines(app: App) -> int | None:
    """Return the maximum number of lines; with -v None, because its output is the only place that has them all."""
    return None if app.verbosity > 0 else MOST_LINES


def attention(report: Report, app: App) -> None:
    """Print failures, and notes about what needs attention."""
    report.failures.merge(report.waiting)
    lines: list[tuple[Reason, bool]] = [(line, True) for line in report.failures.lines()]
    lines += [(line, False) for notes in (report.warnings, report.waiting) for line in notes.lines()]
    lines += [(line, False) for line in report.over]
    if ending := report.ending():
        lines.append(ending)
    if not lines:
        return
    most = _most_lines(app)
    for line, failed in lines[:most]:
        click.echo(harmless(f"{'failed' if failed else 'note'}: {line}"), err=True)
    if most is not None and len(lines) > most:
        click.echo(f"… and {len(lines) - most} more; see: alpenhorn status", err=True)
    if report.failures and report.tallies.get("pull") and report.tallies["pull"].failed:
        # A request that waits for its source has not failed itself.
        listed = "alpenhorn request list" + ("" if report.silent else " --state failing")
        click.echo(f"for the reasons, and the times of the next attempts, see: {listed}", err=True)
