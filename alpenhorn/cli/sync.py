"""`alpenhorn sync`: do what is to be done on this host, and exit."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.runs import heard, jobs_option, mass_delete_option, node_option, only_option, workers
from alpenhorn.cli.times import Duration
from alpenhorn.errors import Busy

if TYPE_CHECKING:
    from alpenhorn.coordinator.report import Report
    from alpenhorn.reasons import Reason

MOST_LINES = 30  # of notes and failures; cron mails them all


@click.command()
@node_option
@only_option
@jobs_option
@click.option(
    "--time-limit", metavar="T", type=Duration(), help="Start no new work after this time, such as 50m."
)
@click.option("-n", "--dry-run", is_flag=True, help="Show what would be done; the same as `alpenhorn plan`.")
@click.option("--wait", is_flag=True, help="Wait for a node that another run is working on.")
@mass_delete_option
@click.option(
    "--accept-loss",
    is_flag=True,
    help="Record missing and unreadable copies even if they are a large part of a node.",
)
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
) -> None:
    """New and requested files are imported, suspect copies and those due for a check are read, released copies
    are deleted where that is safe, and requested files are pulled to the active nodes of this host, in
    rounds, until nothing more can be done now.  Only one run works on a node at a time.

    On a terminal the progress is shown, and a summary at the end.  Otherwise, as from cron, nothing is
    printed unless something failed or needs attention; a lasting problem is reported when it begins or
    changes, once a day, and when it is over.  Ctrl-C stops cleanly; a second one at once.

    \b
    Examples:
      alpenhorn sync
      alpenhorn sync --node archive1 --only pull
      */5 * * * *  alpenhorn sync --time-limit 50m        (a line for crontab)
    """
    if dry_run:
        from alpenhorn.cli.plan import plan

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
    with workers(app, jobs, for_run=True) as pool:
        # Imported only now: the workers, forked before, need none of it.
        from alpenhorn.coordinator.report import Asked, Unwatched
        from alpenhorn.coordinator.sync import sync as run
        from alpenhorn.workers.stopping import StopRequest

        limit = time_limit if time_limit is not None else app.config.sync.time_limit
        shown = sys.stdout.isatty() and app.verbosity >= 0
        unwatched = not shown and app.verbosity <= 0
        asked = Asked(nodes, only, limit, wait, allow_mass_delete, accept_loss, unwatched=unwatched)
        started = time.monotonic()
        with StopRequest(pool.wakeup) as stopping, _without_mail(ctx, nodes, shown or app.verbosity > 0):
            if shown:
                from alpenhorn.cli.progress import RunDisplay

                with RunDisplay() as progress:
                    report = run(app.index, pool, app.config, asked, progress, app.now, stopping)
            else:
                report = run(app.index, pool, app.config, asked, Unwatched(), app.now, stopping)
    with heard(app, report):
        if shown or app.verbosity > 0:
            _summary(report, time.monotonic() - started, app)
            _later(report)
        attention(report)
    ctx.exit(report.exit_status)


@contextmanager
def _without_mail(ctx: click.Context, nodes: Sequence[str], told: bool) -> Iterator[None]:
    """Print nothing if another run holds all nodes: cron would send a mail each time that runs overlap."""
    try:
        yield
    except Busy as busy:
        for line in busy.notes:
            from alpenhorn.cli import output  # most runs have nothing to tell

            click.echo(output.harmless(f"note: {line}"), err=True)
        if nodes or told:
            raise
        ctx.exit(busy.exit_status)


def _summary(report: Report, seconds: float, app: App) -> None:
    from alpenhorn.cli import output

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
    elif not report.left_out and not report.warnings:
        output.line(
            f"No active node on host {app.host}. If this host has another name in the index, set [sync] host in the"
            " configuration; alpenhorn node list shows the nodes."
        )


def _later(report: Report) -> None:
    from alpenhorn.cli import output

    for line in (*report.overlaps.lines(), *report.later.lines())[:MOST_LINES]:
        output.line(f"later: {line}")


def attention(report: Report) -> None:
    """Print what failed, and what needs attention."""
    report.failures.merge(report.waiting)
    lines: list[tuple[Reason, bool]] = [(line, True) for line in report.failures.lines()]
    lines += [(line, False) for notes in (report.warnings, report.waiting) for line in notes.lines()]
    lines += [(line, False) for line in report.over]
    if ending := report.ending():
        lines.append(ending)
    if not lines:
        return
    from alpenhorn.cli import output  # 2 ms, and most runs have nothing to tell

    for line, failed in lines[:MOST_LINES]:
        click.echo(output.harmless(f"{'failed' if failed else 'note'}: {line}"), err=True)
    if len(lines) > MOST_LINES:
        click.echo(f"… and {len(lines) - MOST_LINES} more of this kind; see: alpenhorn status", err=True)
    if report.failures and report.tallies.get("pull") and report.tallies["pull"].failed:
        # One that waits for its source has not failed itself.
        listed = "alpenhorn request list" + ("" if report.silent else " --state failing")
        click.echo(f"see why, and when they are tried again: {listed}", err=True)
