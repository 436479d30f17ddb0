"""`alpenhorn request list`."""

from __future__ import annotations

import click

from alpenhorn.cli import columns
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.columns import Format, format_option, limit_option
from alpenhorn.cli.complete import ACQ, GROUP, NODE, names_option
from alpenhorn.cli.files import ids
from alpenhorn.cli.long_work import until_first_row
from alpenhorn.cli.requests import request_columns
from alpenhorn.listings import requests as listing
from alpenhorn.listings.requests import RequestState
from alpenhorn.scan import patterns
from alpenhorn.scan.backoff import by_source


@click.command()
@names_option(NODE, "Only requests from NODE, a name or a pattern")
@names_option(GROUP, "Only requests into GROUP, a name or a pattern")
@names_option(ACQ, "Only requests for files of ACQ, a name or a pattern")
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
    nodes: tuple[str, ...],
    groups: tuple[str, ...],
    acqs: tuple[str, ...],
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
        nodes=ids(patterns.matching(index, "node", nodes)),
        groups=ids(patterns.matching(index, "group", groups)),
        acqs=ids(patterns.matching(index, "acquisition", acqs)),
        limit=limit,
    )
    shown = until_first_row(app, "Listing requests", rows)
    columns.show(form, request_columns(by_source(index)), shown, empty=f"No {state} requests.")
