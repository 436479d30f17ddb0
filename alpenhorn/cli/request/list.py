"""`alpenhorn request list`."""

from __future__ import annotations

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import App, json_option, pass_app
from alpenhorn.cli.complete import ACQ, GROUP, NODE
from alpenhorn.cli.requests import request_document, waits_for
from alpenhorn.listings import requests as listing
from alpenhorn.listings.requests import RequestState
from alpenhorn.scan import names
from alpenhorn.scan.backoff import by_source


@click.command()
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
    """\b
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
        output.documents(request_document(row, held) for row in rows)
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
                row.error or waits_for(row, held),
            )
            for row in rows
        ),
        right=("ID", "Size", "Attempts"),
        empty=f"No requests that are {state}.",
    )
