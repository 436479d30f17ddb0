"""`alpenhorn request show`."""

from __future__ import annotations

import click

from alpenhorn.cli import columns, output
from alpenhorn.cli.app import App, json_option, pass_app
from alpenhorn.cli.arguments import REQUEST_ID
from alpenhorn.cli.requests import request_columns
from alpenhorn.cli.runs import workers
from alpenhorn.coordinator.preview_pulls import why
from alpenhorn.listings import requests as listing
from alpenhorn.listings.requests import RequestRow, RequestState
from alpenhorn.reasons import Reason, Why, code_in_json, named
from alpenhorn.scan.backoff import by_source


@click.command()
@click.argument("request_id", metavar="ID", type=REQUEST_ID)
@json_option
@pass_app
def show(app: App, request_id: int, as_json: bool) -> None:
    """\b
    Example:
      alpenhorn request show 4711
    """
    row = listing.request(app.index, request_id)
    pending = row.state in (RequestState.PENDING, RequestState.FAILING)
    why: Why = in_a_run_now(app, request_id) if pending else ""
    if as_json:
        now = {"in_a_run_now": why or None, "in_a_run_now_code": code_in_json(why)}
        output.document(columns.document(request_columns(by_source(app.index)), row) | now)
        return
    output.fields(
        (
            ("Request", row.id),
            ("File", row.path),
            ("Size", output.size(row.size_b)),
            ("From node", row.node or "(gone)"),
            ("Into group", row.group or "(gone)"),
            ("State", row.state),
            *((("Priority", row.priority),) if row.priority else ()),
            ("Requested", output.zoned(row.timestamp)),
            *(
                (("Started", output.zoned(row.started)), ("Done", output.zoned(row.ended)))
                if row.completed
                else ()
            ),
            *(_attempt_fields(row) if row.attempts else ()),
            *((("In a run now", _with_names(why, row)),) if why else ()),
        )
    )


def _attempt_fields(row: RequestRow) -> tuple[tuple[str, object], ...]:
    return (
        ("Failed attempts", row.attempts),
        ("Last attempt", output.zoned(row.last_attempt)),
        ("Last error", row.error and _with_names(row.error, row)),
        ("Problem with", row.blame),
        ("Next attempt", f"{output.zoned(row.next_attempt)}; to retry now: alpenhorn request retry {row.id}"),
    )


def _with_names(why: Reason, row: RequestRow) -> Reason:
    return named(why, row.path or "", row.node or "", row.id)


def in_a_run_now(app: App, request_id: int) -> Reason:
    """Return what a run on this host would do with a pending request, and why."""
    with workers(app, 1, prints_report=False) as pool:
        return why(app.index, pool, app.config, app.now, request_id)
