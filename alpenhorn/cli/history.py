"""`alpenhorn history`: what happened to files and why, and the runs that did it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import App, json_option, pass_app
from alpenhorn.cli.options import REQUEST_ID, confirm
from alpenhorn.cli.run_rows import ending, run_document
from alpenhorn.cli.times import Duration, When
from alpenhorn.coordinator.run_states import RunState, run_states
from alpenhorn.edits.history import prune as prune_old
from alpenhorn.listings import history as scan
from alpenhorn.listings.history import EventRow, Old
from alpenhorn.listings.runs import RunRow, after
from alpenhorn.reasons import code_in_json
from alpenhorn.scan import names

EVENTS = 200
RUNS = 20


@click.command()
@click.option("--file", "path", metavar="F", help="What happened to file F, given as ACQUISITION/NAME.")
@click.option("--node", "node_name", metavar="N", help="What happened on node N.")
@click.option("--run", "run_id", metavar="R", type=REQUEST_ID, help="What run R did.")
@click.option(
    "--since",
    metavar="T",
    type=When(),
    help="Only from then on: a date, a date and time in UTC, or that long ago, such as 7d.",
)
@click.option(
    "--limit",
    metavar="N",
    type=click.IntRange(1, 10_000_000),
    help=f"At most the newest N: by default {RUNS} runs, {EVENTS} events.",
)
@click.option(
    "--prune", metavar="AGE", type=Duration(), help="Remove what is older than AGE, such as 365d, for good."
)
@click.option("--force", is_flag=True, help="With --prune: do not ask.")
@json_option
@pass_app
def history(
    app: App,
    path: str | None,
    node_name: str | None,
    run_id: int | None,
    since: datetime | timedelta | None,
    limit: int | None,
    prune: float | None,
    force: bool,
    as_json: bool,
) -> None:
    """Show what happened to files and why, newest last.

    Without --file, --node or --run: the last runs.  Options are narrowed down together.  A good copy that was
    read again and is still good is not in it, as that would be most of it; a run's counts have it.

    --prune removes events older than that and runs that ended before it, but never a run that is not ended or the
    last one of a host.  It may be left half-way, and begun again.

    \b
    Examples:
      alpenhorn history
      alpenhorn history --file 20260722T000000Z_pilot/0001.h5
      alpenhorn history --node archive1 --since 7d
      alpenhorn history --prune 365d
    """
    shows = {"--file": path, "--node": node_name, "--run": run_id, "--since": since, "--limit": limit}
    if prune is not None:
        given = [name for name, value in {**shows, "--json": as_json or None}.items() if value is not None]
        if given:
            raise click.UsageError(f"--prune cannot be used with {given[0]}")
        _prune(app, prune, force)
        return
    if force:
        raise click.UsageError("--force is for --prune")
    moment = _moment(app, since)
    if path is None and node_name is None and run_id is None:
        _runs(app, limit or RUNS, moment, as_json)
    else:
        _events(app, path, node_name, run_id, moment, limit or EVENTS, as_json)


def _moment(app: App, since: datetime | timedelta | None) -> datetime | None:
    if not isinstance(since, timedelta):
        return since
    try:
        return (app.now() - since).replace(microsecond=0)
    except OverflowError:  # before the calendar begins
        return None


def _runs(app: App, limit: int, since: datetime | None, as_json: bool) -> None:
    rows = scan.runs(app.index, limit, since)
    states = run_states(rows, app.host)
    if as_json:
        output.documents(run_document(row, states[row.id]) for row in rows)
        return
    output.table(
        ("Run", "Host", "Nodes", "Began", "Took", "Status", "Done", "Failed", "Size"),
        (
            (
                row.id,
                row.host,
                row.nodes,
                output.time(row.started),
                _took(row, states[row.id]),
                row.exit_status,
                row.done,
                row.failed,
                output.size(row.bytes),
            )
            for row in rows
        ),
        right=("Run", "Took", "Status", "Done", "Failed", "Size"),
        empty="No runs.",
    )


def _events(
    app: App,
    path: str | None,
    node_name: str | None,
    run_id: int | None,
    since: datetime | None,
    limit: int,
    as_json: bool,
) -> None:
    index = app.index
    node = None if node_name is None else names.node(index, node_name)
    root = None if node is None else names.root(index, node)
    file = None if path is None else names.file(index, path, root)
    run = None if run_id is None else scan.run(index, run_id)
    state = RunState.ENDED
    if run is not None and run.ended is None:
        state = run_states([run], app.host, after(index, run.id))[run.id]
    rows = scan.events(
        index,
        limit + 1,  # one more tells whether there are more
        file_id=None if file is None else file.id,
        node_id=None if node is None else node.id,
        run_id=run_id,
        since=since,
    )
    left_out = len(rows) > limit
    rows = rows[-limit:]
    if as_json:
        events = [_event_document(row) for row in rows]
        if run is None:
            output.documents(events)
        else:
            output.document({**run_document(run, state), "events": events})
        return
    if run is not None:
        _show_run(run, state)
    if left_out:
        output.note(
            f"older events are left out; show more of them with --limit, such as --limit {10 * limit}"
        )
    _show_events(rows, with_file=file is None, with_node=node is None, with_run=run is None)


def _show_run(run: RunRow, state: RunState) -> None:
    why = ending(run, state)
    output.fields(
        (
            ("Run", run.id),
            ("Host", run.host),
            ("Nodes", run.nodes),
            ("Began", output.time(run.started)),
            ("Ended", output.time(run.ended)),
            ("Took", _took(run, state)),
            ("Status", run.exit_status),
            *((("Ending", why),) if why else ()),
        )
    )
    if run.counts:
        output.heading("Work:")
        output.table(
            ("Kind", "Done", "Failed", "Size"),
            (
                (kind, count.get("done", 0), count.get("failed", 0), output.size(count.get("bytes", 0)))
                for kind, count in run.counts.items()
            ),
            right=("Done", "Failed", "Size"),
        )
    output.heading("What happened:")


def _show_events(rows: Sequence[EventRow], with_file: bool, with_node: bool, with_run: bool) -> None:
    headers = ["Time", "What"]
    headers += ["File"] * with_file + ["Node"] * with_node + ["Why"] + ["Run", "Host"] * with_run

    def cells(row: EventRow) -> list[object]:
        found: list[object] = [output.time(row.at), row.what]
        if with_file:
            found.append(row.path or f"(file {row.file_id}, gone)")
        if with_node:
            found.append(row.node or f"(node {row.node_id}, gone)")
        found.append(row.why)
        if with_run:
            found += [row.run_id, row.host]
        return found

    output.table(
        headers, (cells(row) for row in rows), right=("Run",), empty="Nothing is known to have happened."
    )


def _took(run: RunRow, state: RunState) -> str:
    return state.said if run.seconds is None else f"{run.seconds:.0f} s"


def _prune(app: App, age: float, force: bool) -> None:
    try:
        before = (app.now() - timedelta(seconds=age)).replace(microsecond=0)
    except OverflowError:
        before = datetime(1000, 1, 1)  # before anything
    found = scan.old(app.index, before)
    if found == Old(0, 0):
        output.line(f"Nothing is from before {output.time(before)}.")
        return
    confirm(f"Remove {_told(found)} from before {output.time(before)} for good?", force)
    output.line(f"Removed {_told(prune_old(app.index, before))}.")


def _told(found: Old) -> str:
    return f"{output.count(found.events, 'event')} and {output.count(found.runs, 'run')}"


def _event_document(row: EventRow) -> dict[str, object]:
    return {
        "at": row.at,
        "run": row.run_id,
        "host": row.host,
        "path": row.path,
        "node": row.node,
        "what": row.what,
        "why": row.why,
        "code": code_in_json(row.why),
    }
