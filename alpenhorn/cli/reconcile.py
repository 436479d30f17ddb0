"""`alpenhorn reconcile`: compare the index with the disks, in both directions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import click

from alpenhorn.cli import columns, output
from alpenhorn.cli.app import App, json_option, pass_app
from alpenhorn.cli.columns import ListingColumn, column, flag, number
from alpenhorn.cli.monitored import monitored
from alpenhorn.cli.progress import ProgressForm, display, progress_option
from alpenhorn.cli.runs import jobs_option, node_option, recording_output_failure, workers
from alpenhorn.cli.sync import attention
from alpenhorn.cli.times import Duration
from alpenhorn.cli.usage_hints import HintingCommand, nodes_form
from alpenhorn.coordinator.compared import Compared, Options, StoredFindings
from alpenhorn.coordinator.report import Asked, Report
from alpenhorn.coordinator.sync import sync
from alpenhorn.model.reconcile import DiskFinding
from alpenhorn.reasons import code_in_json, code_of
from alpenhorn.scan import media
from alpenhorn.scan import reconcile as scan
from alpenhorn.workers.stopping import StopRequest

EXAMPLES = 5  # of each kind and node
EPOCH = datetime(1970, 1, 1)
NAMES = {
    "missing": "missing",
    "differing": "differs",
    "back": "back",
    "dark": "unknown",
    "unread": "unreadable",
    "other": "other node",
}


def _findings(kind: str, header: str) -> ListingColumn:
    return number("", header, cell=lambda one: one.kept[kind].count)


# For a node that was compared.
COLUMNS = (
    column("", "Node", "node.name"),
    number("", "Copies", "looked"),
    _findings("missing", "Missing"),
    _findings("differing", "Differ"),
    _findings("back", "Back"),
    _findings("dark", "Unknown"),
    _findings("unread", "Unreadable"),
    flag("", "Reconciled", "complete"),
)


@click.command(cls=HintingCommand, right_form=nodes_form)
@node_option
@click.option("--read", is_flag=True, help="Also read all good copies in full.")
@click.option(
    "--min-age",
    metavar="T",
    type=Duration(),
    default="1d",
    show_default=True,
    help="Minimum age of unknown files to list.",
)
@click.option(
    "--accept-loss", is_flag=True, help="Record missing copies even if they are a large part of a node."
)
@click.option("-n", "--dry-run", is_flag=True, help="Only compare; do not change the index.")
@click.option("--wait", is_flag=True, help="Wait for a node that another run is working on.")
@jobs_option
@progress_option
@json_option
@pass_app
@click.pass_context
def reconcile(
    ctx: click.Context,
    app: App,
    nodes: tuple[str, ...],
    read: bool,
    min_age: float,
    accept_loss: bool,
    dry_run: bool,
    wait: bool,
    jobs: int | None,
    progress: ProgressForm,
    as_json: bool,
) -> None:
    """Run this on each host after restoring the index from a backup.  It checks that each good copy is on the
    disk, has the recorded length, and was not modified after its last verification.  Copies that are missing
    or differ become suspect, and the next run checks them.  Copies that are recorded as gone but are present
    become suspect as well.  Files or objects that are not in the index are only listed.

    The contents of files are read only with --read.  After all its copies have been compared, a node counts
    as reconciled.  The exit status is 0 if the index and the disks agree, and 1 otherwise or if something
    could not be compared.

    \b
    Examples:
      alpenhorn reconcile
      alpenhorn reconcile --node archive1 --dry-run --json
    """
    with monitored(app, "reconcile", whole=False, dry=dry_run) as monitored_run:
        with (
            display(app, progress, json=as_json) as watcher,
            workers(app, jobs, for_run=True) as pool,
        ):
            options = Options(min_age, read, dry_run)
            asked = Asked(nodes, wait=wait, accept_loss=accept_loss, reconcile=options)
            with StopRequest(pool.wakeup) as stopping, closing(watcher):
                watcher.step("opening the index")
                report = sync(app.index, pool, app.config, asked, watcher, app.now, stopping)
        monitored_run.report = report
        waiting = [
            {"node": one.node, "host": one.host, "active": one.active} for one in scan.distrusted(app.index)
        ]
        restored = media.restored(app.index)
        with recording_output_failure(app, report):
            if as_json:
                _document(report, waiting, restored)
            else:
                _summary(report, app)
                _still_waiting(waiting, restored, app.host)
                attention(report, app)
    ctx.exit(report.exit_status)


def _summary(report: Report, app: App) -> None:
    if report.compared:
        columns.table(COLUMNS, report.compared)
    elif not report.left_out and not report.warnings:
        output.line(f"No active node on host {app.host}.")
    examples = [line for one in report.compared for line in _examples(one)]
    if report.compared and examples:
        output.line("")
    output.lines(examples)


def _examples(one: Compared) -> Iterator[str]:
    for kind, kept in one.kept.items():
        for finding in islice(kept, EXAMPLES):
            yield f"{NAMES[kind]}: {one.node.name}: {finding.path}{_detail(finding)}"
        if kept.count > EXAMPLES:
            yield f"{NAMES[kind]}: {one.node.name}: … and {kept.count - EXAMPLES} more (--json lists all)"
    if one.young:
        newer = output.count(one.young, "unknown file")
        yield f"{one.node.name}: {newer} not listed, changed within --min-age; to list all: --min-age 0"


def _detail(finding: DiskFinding) -> str:
    details = []
    if finding.what and finding.what != "file":
        details.append(finding.what)
    elif finding.size_b is not None:
        details.append(output.size(finding.size_b))
    if finding.why:
        details.append(finding.why)
    if finding.copies:
        details.append(output.count(finding.copies, "copy", "copies"))
    return f" ({'; '.join(details)})" if details else ""


def _still_waiting(waiting: list[dict[str, Any]], restored: str, host: str) -> None:
    for one in waiting:
        where = "this host" if one["host"] == host else f"host {one['host'] or '(none)'}"
        inactive = "" if one["active"] else " (inactive)"
        output.line(f"not reconciled yet: node {one['node']}, on {where}{inactive}")
    if restored:
        output.line(f"deletions are suspended on this index: {restored}")


def _document(report: Report, waiting: list[dict[str, Any]], restored: str) -> None:
    """Print a JSON document in pieces, because the findings may not fit into memory."""
    click.echo('{"nodes": [', nl=False)
    for at, one in enumerate(report.compared):
        click.echo(",\n " if at else "\n ", nl=False)
        head = {
            "node": one.node.name,
            "root": one.node.root,
            "copies": one.expected,
            "looked": one.looked,
            "suspect": one.suspect,
            "young": one.young,
            "complete": one.complete,
            "why": one.why or None,
            "code": code_in_json(one.why),
        }
        click.echo(output.as_json(head)[:-1], nl=False)
        for kind, kept in one.kept.items():
            click.echo(f',\n  "{kind}": [', nl=False)
            _array(kind, kept)
            click.echo("]", nl=False)
        click.echo("}", nl=False)
    rest = {
        "left_out": [
            {"node": name, "why": why, "code": code_in_json(why)} for name, why in report.left_out.items()
        ],
        "failed": report.failures.lines(),
        "failed_codes": list(map(code_of, report.failures.lines())),
        "notes": report.warnings.lines(),
        "note_codes": list(map(code_of, report.warnings.lines())),
        "stopped": report.stopped,
        "waiting": waiting,
        "restored": restored or None,
    }
    click.echo("],\n " + output.as_json(rest)[1:])


def _array(kind: str, kept: StoredFindings) -> None:
    separator = ""
    findings = (output.as_json(_shaped(kind, finding)) for finding in kept)
    while piece := list(islice(findings, 500)):
        click.echo(separator + ",\n   ".join(piece), nl=False)
        separator = ",\n   "


def _shaped(kind: str, finding: DiskFinding) -> dict[str, Any]:
    shaped: dict[str, Any] = {"path": finding.path}
    if kind in ("differing", "back", "dark"):
        shaped |= {
            "kind": finding.what or None,
            "size_b": finding.size_b,
            "changed": None if finding.mtime_ns is None else _moment(finding.mtime_ns),
        }
    if kind == "unread":
        shaped["copies"] = finding.copies
    return shaped | {"why": finding.why or None, "code": code_in_json(finding.why)}


def _moment(ns: int) -> str | None:
    """Return the time of a file; None if it is outside the years 1 to 9999."""
    try:
        moment = EPOCH + timedelta(seconds=ns // 10**9)
    except OverflowError:
        return None
    return moment.isoformat(timespec="seconds") + "Z"
