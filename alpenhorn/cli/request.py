"""`alpenhorn request`: what was asked to be copied, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import App, json_option, pass_app
from alpenhorn.cli.complete import ACQ, GROUP, NODE
from alpenhorn.cli.options import REQUEST_ID
from alpenhorn.cli.runs import workers
from alpenhorn.edits import requests as edit_requests
from alpenhorn.listings import requests as listing
from alpenhorn.listings.requests import RequestRow, RequestState
from alpenhorn.reasons import Reason, Why, code_in_json
from alpenhorn.record import backoff
from alpenhorn.scan import names
from alpenhorn.scan.backoff import by_source


@click.group()
def request() -> None:
    """Copy requests: why one is not done, cancel them, try them again."""


def in_a_run_now(app: App, request_id: int) -> Reason:
    """What a run on this host would do about a pending request, and why."""
    with workers(app, 1) as pool:
        # Imported only now: the worker, forked before, needs none of it.
        from alpenhorn.coordinator.preview import why

        return why(app.index, pool, app.config, app.now, request_id)


@request.command("list")
@click.option("--node", type=NODE, metavar="NODE", help="Only requests from node NODE.")
@click.option("--group", type=GROUP, metavar="GROUP", help="Only requests into group GROUP.")
@click.option("--acq", type=ACQ, metavar="ACQ", help="Only files of acquisition ACQ.")
@click.option(
    "--state",
    type=click.Choice([state.value for state in RequestState]),
    default=RequestState.PENDING.value,
    show_default=True,
    help="Only requests in that state; the pending ones include those that are failing.",
)
@json_option
@pass_app
def list_(app: App, node: str | None, group: str | None, acq: str | None, state: str, as_json: bool) -> None:
    """List copy requests, oldest first.

    \b
    Examples:
      alpenhorn request list --group offsite
      alpenhorn request list --state failing
    """
    index = app.index
    rows = listing.requests(
        index,
        RequestState(state),
        node_id=names.node(index, node).id if node else None,
        group_id=names.group(index, group).id if group else None,
        acq_id=names.acq(index, acq).id if acq else None,
    )
    held = by_source(index)
    if as_json:
        output.documents(_document(row, held) for row in rows)
        return
    output.table(
        ("ID", "File", "From node", "Into group", "Size", "State", "Requested", "Attempts", "Last error"),
        (
            (
                row.id,
                row.path,
                row.node,
                row.group,
                output.size(row.size_b),
                row.state,
                output.time(row.timestamp),
                row.attempts,
                row.error or _waits(row, held),
            )
            for row in rows
        ),
        right=("ID", "Size", "Attempts"),
        empty=f"No requests that are {state}.",
    )


@request.command()
@click.argument("request_id", metavar="ID", type=REQUEST_ID)
@json_option
@pass_app
def show(app: App, request_id: int, as_json: bool) -> None:
    """Show a request: its state, its failed attempts, and why it is not done.

    \b
    Example:
      alpenhorn request show 4711
    """
    row = listing.request(app.index, request_id)
    pending = row.state in (RequestState.PENDING, RequestState.FAILING)
    why: Why = in_a_run_now(app, request_id) if pending else ""
    if as_json:
        now = {"in_a_run_now": why or None, "in_a_run_now_code": code_in_json(why)}
        output.document(_document(row, by_source(app.index)) | now)
        return
    output.fields(
        (
            ("Request", row.id),
            ("File", row.path),
            ("Size", output.size(row.size_b)),
            ("From node", row.node or "(gone)"),
            ("Into group", row.group or "(gone)"),
            ("State", row.state),
            ("Requested", output.time(row.timestamp)),
            *(
                (("Started", output.time(row.started)), ("Done", output.time(row.ended)))
                if row.completed
                else ()
            ),
            *(_attempt_fields(row) if row.attempts else ()),
            *((("In a run now", why),) if why else ()),
        )
    )


def _attempt_fields(row: RequestRow) -> tuple[tuple[str, object], ...]:
    return (
        ("Failed attempts", row.attempts),
        ("Last attempt", output.time(row.last_attempt)),
        ("Last error", row.error),
        ("To blame", row.blame),
        ("Next attempt", f"{output.time(row.next_attempt)}; now with: alpenhorn request retry {row.id}"),
    )


@request.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True, type=REQUEST_ID)
@pass_app
def cancel(app: App, ids: Sequence[int]) -> None:
    """Cancel pending requests.

    \b
    Example:
      alpenhorn request cancel 4711 4712
    """
    wanted = list(dict.fromkeys(ids))
    done = edit_requests.cancel(app.index, wanted)
    output.line(f"Cancelled {output.count(done, 'request')}.")
    if done < len(wanted):
        output.line(f"{output.count(len(wanted) - done, 'request')} not pending, left as they were.")


@request.command()
@click.argument("ids", metavar="[ID...]", nargs=-1, type=REQUEST_ID)
@click.option("--all", "all_", is_flag=True, help="All requests that are failing.")
@pass_app
def retry(app: App, ids: Sequence[int], all_: bool) -> None:
    """Let the next run try failing requests again, whatever time they were to wait.

    \b
    Examples:
      alpenhorn request retry 4711
      alpenhorn request retry --all
    """
    if bool(ids) == all_:
        raise click.UsageError("give the IDs of requests, or --all")
    wanted = None if all_ else list(dict.fromkeys(ids))
    forgotten = edit_requests.forget_attempts(app.index, wanted)
    sources = backoff.forget(app.index, wanted)
    if sources:
        output.line(f"The next run tries {output.count(sources, 'host or node', 'hosts or nodes')} again.")
    if forgotten:
        output.line(f"The next run tries {output.count(forgotten, 'request')} again.")
    elif not sources:
        output.line("No failed attempts to forget.")


def _waits(row: RequestRow, held: Mapping[str, str]) -> str | None:
    """Why a request waits for its source; None where it does not."""
    pending = row.state in (RequestState.PENDING, RequestState.FAILING)
    return held.get(row.node) if pending and row.node is not None else None


def _document(row: RequestRow, held: Mapping[str, str]) -> dict[str, object]:
    return {
        "id": row.id,
        "path": None if row.name is None else row.path,
        "node": row.node,
        "group": row.group,
        "size_b": row.size_b,
        "state": row.state.value,
        "requested": row.timestamp,
        "started": row.started,
        "ended": row.ended,
        "attempts": row.attempts,
        "last_attempt": row.last_attempt,
        "next_attempt": row.next_attempt,
        "blame": row.blame,
        "error": row.error,
        "code": code_in_json(row.error),
        "waits": _waits(row, held),
    }
