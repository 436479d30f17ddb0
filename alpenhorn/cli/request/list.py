"""`alpenhorn request list`."""

from __future__ import annotations

import click

from alpenhorn.cli import columns
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.columns import Format, format_option, limit_option
from alpenhorn.cli.complete import ACQ, GROUP, NODE
from alpenhorn.cli.long_work import until_first_row
from alpenhorn.cli.requests import request_columns
from alpenhorn.listings import requests as listing
from alpenhorn.listings.requests import RequestState
from alpenhorn.scan import names
from alpenhorn.scan.backoff import by_source


@click.command()
@click.option("--node", type=NODE, metavar="NODE", help="Only requests from NODE.")
@click.option("--group", type=GROUP, metavar="GROUP", help="Only requests into GROUP.")
@click.option("--acq", type=ACQ, metavar="ACQ", help="Only requests for files of ACQ.")
@click.option(
    "--state",
    type=click.Choice([state.value for state in RequestState]),
    default=RequestState.PENDING.value,
    show_default=True,
    help="Only requests in this state; pending includes failing.",
)
@limit_option()
@format_option
@pass_app
def list_(
    app: App,
    node: str | None,
    group: str | None,
    acq: str | None,
    state: str,
    limit: int | None,
    form: Format,
) -> None:
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
        limit=limit,
    )
    shown = until_first_row(app, "Listing requests", rows)
    columns.show(form, request_columns(by_source(index)), shown, empty=f"No {state} requests.")
