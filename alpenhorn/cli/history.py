"""`alpenhorn history`: events of files with their reasons, and the runs that recorded them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import click

from alpenhorn.cli import columns, output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.arguments import REQUEST_ID
from alpenhorn.cli.columns import (
    Format,
    ListingColumn,
    ListOptions,
    column,
    listing_options,
    number,
    size,
    time,
)
from alpenhorn.cli.complete import NODE
from alpenhorn.cli.files import ids
from alpenhorn.cli.long_work import LongWork
from alpenhorn.cli.options import confirm
from alpenhorn.cli.run_columns import RUN_COLUMNS, RunLine, condition_document, run_document
from alpenhorn.cli.times import Duration, TimeOrDuration, start
from alpenhorn.cli.usage_hints import HintingCommand, RightForm
from alpenhorn.coordinator.run_states import RunState, run_states
from alpenhorn.edits.history import prune as prune_old
from alpenhorn.errors import NotFound
from alpenhorn.index.times import naive
from alpenhorn.listings import history as scan
from alpenhorn.listings.history import EventRow, Old
from alpenhorn.listings.runs import after
from alpenhorn.model.conditions import Condition
from alpenhorn.model.events import FAILED, NO_FILE, NO_NODE
from alpenhorn.reasons import code_in_json, named
from alpenhorn.scan import names, patterns
from alpenhorn.scan.names import NamedRow

EVENTS = 200
RUNS = 20
LAST, NEWEST = "last", 0  # the word for the newest run, and a number that no run has
# For a pair of a kind of work and its counts.
WORK_COLUMNS = (
    column("", "Kind", cell=lambda item: item[0]),
    number("", "Done", cell=lambda item: item[1].get("done", 0)),
    number("", "Failed", cell=lambda item: item[1].get("failed", 0)),
    size("", "Size", lambda item: item[1].get("bytes", 0)),
)


def _event_columns(
    with_file: bool = True, with_node: bool = True, with_run: bool = True
) -> tuple[ListingColumn, ...]:
    """Return the columns of events; tables omit columns with the same value in all rows."""
    path = column("path", "File", cell=_file)
    node = column("node", "Node", cell=_node)
    run, host = number("run", "Run", "run_id"), column("host", "Host")
    return (
        time("at", "Time"),
        column("what", "What"),
        path if with_file else path.hidden(),
        node if with_node else node.hidden(),
        column("why", "Why", cell=lambda row: named(row.why, row.path or "")),
        column("code", value=lambda row: code_in_json(row.why)),
        *((run, host) if with_run else (run.hidden(), host.hidden())),
    )


def _about_run(row: EventRow) -> bool:
    return row.what == FAILED and (row.file_id, row.node_id) == (NO_FILE, NO_NODE)


def _file(row: EventRow) -> str | None:
    """Return the path of a file, or describe one that is not in the index.

    `file delete` puts the path into the reason.
    """
    if row.file_id != NO_FILE:
        return row.path or f"(file {row.file_id}, gone)"
    return None if _about_run(row) else "(deleted)"


def _node(row: EventRow) -> str | None:
    return None if _about_run(row) else row.node or f"(node {row.node_id}, gone)"


EVENT_COLUMNS = _event_columns()


class RunNumber(click.ParamType[int]):
    """The number of a run, or `last` for NEWEST."""

    name = "run"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        return NEWEST if value == LAST else REQUEST_ID.convert(value, param, ctx)


def _right_form(surplus: Sequence[str], given: dict[str, Any]) -> RightForm | None:
    if len(surplus) > 1:
        return None
    (name,) = surplus
    option, purpose, value = "--node", "to list the events on one node", given["node_name"]
    if (name.isascii() and name.isdigit()) or name == LAST:
        option, purpose, value = "--run", "to list the events of one run", given["run_id"]
    elif "/" in name:
        option, purpose, value = "--file", "to list the events of one file", given["path"]
    return None if value is not None or given["prune"] is not None else RightForm(purpose, (option, name))


@click.command(cls=HintingCommand, right_form=_right_form)
@click.option("--file", "path", metavar="F", help="Only events of file F, given as ACQUISITION/NAME.")
@click.option(
    "--node", "node_name", type=NODE, metavar="N", help="Only events on node N, a name or a pattern."
)
@click.option(
    "--run", "run_id", metavar="R", type=RunNumber(), help="Only events of run R, a number or `last`."
)
@click.option(
    "--since",
    metavar="T",
    type=TimeOrDuration(),
    help="Start of the period: a date, or a date and time (in UTC, unless --local-time is given); or a duration until"
    " now, such as 7d.",
)
@click.option(
    "--prune",
    metavar="AGE",
    type=Duration(),
    help="Permanently delete events and runs older than AGE, such as 365d.",
)
@click.option("--force", is_flag=True, help="With --prune: do not ask for confirmation.")
@listing_options(
    RUN_COLUMNS,
    EVENT_COLUMNS,
    limit=f"Maximum number of runs or events, the newest ones (default: {RUNS} runs, {EVENTS} events).",
)
@pass_app
def history(
    app: App,
    path: str | None,
    node_name: str | None,
    run_id: int | None,
    since: datetime | timedelta | None,
    prune: float | None,
    force: bool,
    listing: ListOptions,
) -> None:
    """Without --file, --node or --run, the last runs are listed; with several of them, the events that match all.
    Checks that found a copy still good are not listed as events, only counted for the run.  With --run, everything
    that failed is listed with the reason; a condition that lasts is an event of the run that met it first, and of one
    run a day after that (sync.remind_after).

    --prune deletes events older than AGE and runs that ended before then, except the newest event, events about a
    node that its manifest does not include yet, runs that have not ended and the last run of each host.  It may be
    interrupted and repeated.

    \b
    Examples:
      alpenhorn history
      alpenhorn history --file 20260722T000000Z_pilot/0001.h5
      alpenhorn history --run last
      alpenhorn history --node 'archive*' --since 7d
      alpenhorn history --limit 100 --sort -failed
      alpenhorn history --prune 365d
    """
    shows: dict[str, object] = {
        "--file": path,
        "--node": node_name,
        "--run": run_id,
        "--since": since,
        "--limit": listing.limit,
        "--sort": listing.sort,
        "--wide": listing.wide or None,
    }
    if prune is not None:
        if listing.form is not Format.TABLE:
            shows[f"--format {listing.form}"] = listing.form
        given = [name for name, value in shows.items() if value is not None]
        if given:
            raise click.UsageError(f"--prune cannot be used with {given[0]}")
        _prune(app, prune, force)
        return
    if force:
        raise click.UsageError("--force needs --prune")
    if run_id == NEWEST:
        run_id = scan.last_run(app.index)
    moment = start(app, since)
    if path is None and node_name is None and run_id is None:
        _runs(app, moment, listing._replace(limit=listing.limit or RUNS))
    else:
        _events(app, path, node_name, run_id, moment, listing._replace(limit=listing.limit or EVENTS))


def _runs(app: App, since: datetime | None, listing: ListOptions) -> None:
    with LongWork(app, "Listing runs"):
        rows = scan.runs(app.index, listing.limit or RUNS, since)
        states = run_states(rows, app.host)
    lines = (RunLine(row, states[row.id]) for row in rows)
    listing.show(RUN_COLUMNS, lines, "No runs.", optional=("Status", "Size", "Nodes"))


def _events(
    app: App,
    path: str | None,
    node_name: str | None,
    run_id: int | None,
    since: datetime | None,
    listing: ListOptions,
) -> None:
    index, form, limit = app.index, listing.form, listing.limit or EVENTS
    nodes, deleted = _nodes(app, node_name)
    one_node = len(nodes) == 1 and not deleted
    root = names.root(index, nodes[0]) if one_node else None
    file = None if path is None else names.file(index, path, root)
    run = None if run_id is None else scan.run(index, run_id)
    state = RunState.ENDED
    if run is not None and run.ended is None:
        state = run_states([run], app.host, after(index, run.id))[run.id]
    with LongWork(app, "Listing events"):
        rows = scan.events(
            index,
            limit + 1,  # one more row shows whether there are older events
            file_id=None if file is None else file.id,
            nodes=[*ids(nodes), *deleted],
            run_id=run_id,
            since=since,
        )
    left_out = len(rows) > limit
    rows = rows[-limit:]
    if form is Format.JSON and run is not None:
        events = columns.documents(EVENT_COLUMNS, listing.pick(EVENT_COLUMNS, rows))
        lasting = [condition_document(run.host, one) for one in scan.lasting(index, run)]
        output.document({**run_document(run, state), "conditions": lasting, "events": events})
        return
    if form is Format.TABLE and run is not None:
        failures = [row for row in rows if _about_run(row)]
        _show_run(RunLine(run, state), failures, scan.lasting(index, run))
        rows = [row for row in rows if not _about_run(row)]
    if form is not Format.JSON and left_out:
        output.note(f"older events not shown; to show more: --limit {10 * limit}")
    shown = _event_columns(with_file=file is None, with_node=not one_node, with_run=run is None)
    listing.show(shown, rows, "No events.", optional=("Host", "Run"))


def _nodes(app: App, name: str | None) -> tuple[list[NamedRow], list[int]]:
    """Return the nodes that a name or pattern matches, and the ids of deleted ones.  Raises NotFound."""
    if name is None:
        return [], []
    deleted = scan.deleted_nodes(app.index, name)
    try:
        return patterns.matching(app.index, "node", [name]), deleted
    except NotFound:
        if not deleted:
            raise
        return [], deleted


def _show_run(line: RunLine, failures: Sequence[EventRow], lasting: Sequence[Condition]) -> None:
    run, why = line.run, line.ending
    output.fields(
        (
            ("Run", run.id),
            ("Host", run.host),
            ("Nodes", run.nodes),
            ("Began", output.zoned(run.started)),
            ("Ended", output.zoned(run.ended)),
            ("Took", line.took),
            ("Status", run.exit_status),
            *((("Ending", why),) if why else ()),
        )
    )
    if run.counts:
        output.heading("Work:")
        columns.table(WORK_COLUMNS, run.counts.items())
    if failures:
        output.heading("Failures:")
        output.lines(str(row.why) for row in failures)
    if lasting:
        output.heading("Lasting conditions, reported by earlier runs:")
        output.lines(f"since {output.zoned(naive(one.began))}: {one.why}" for one in lasting)
    output.heading("Events:")


def _prune(app: App, age: float, force: bool) -> None:
    try:
        before = (app.now() - timedelta(seconds=age)).replace(microsecond=0)
    except OverflowError:
        before = datetime(1000, 1, 1)  # earlier than any run
    with LongWork(app, "Counting old events and runs"):
        found = scan.old(app.index, before)
    if found == Old(0, 0):
        output.line(f"No events or runs from before {output.zoned(before)}.")
        return
    confirm(f"Permanently delete {_counts(found)} from before {output.zoned(before)}?", force)
    of = found.events + found.runs
    with LongWork(app, f"Deleting {_counts(found)}", changing=True) as work:
        deleted = prune_old(app.index, before, lambda done: work.at(done, of))
    output.line(f"Deleted {_counts(deleted)}.")


def _counts(found: Old) -> str:
    return f"{output.count(found.events, 'event')} and {output.count(found.runs, 'run')}"
