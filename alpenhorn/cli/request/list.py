"""`alpenhorn request list`."""

from __future__ import annotations

from functools import partial

import click

from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.columns import ListOptions, listing_options
from alpenhorn.cli.complete import ACQ, GROUP, NODE, names_option
from alpenhorn.cli.files import ids
from alpenhorn.cli.long_work import until_first_row
from alpenhorn.cli.requests import request_columns
from alpenhorn.listings.requests import RequestState, requests
from alpenhorn.scan import patterns, priorities
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
@listing_options(request_columns({}))
@pass_app
def list_(
    app: App,
    nodes: tuple[str, ...],
    groups: tuple[str, ...],
    acqs: tuple[str, ...],
    state: str,
    listing: ListOptions,
) -> None:
    """\b
    Examples:
      alpenhorn request list --group offsite
      alpenhorn request list --state failing
    """
    index = app.index
    rows = requests(
        index,
        RequestState(state),
        nodes=ids(patterns.matching(index, "node", nodes)),
        groups=ids(patterns.matching(index, "group", groups)),
        acqs=ids(patterns.matching(index, "acquisition", acqs)),
        limit=listing.at_most,
    )
    listing.show(
        request_columns(by_source(index), priorities.last_change(index) is not None),
        rows,
        f"No {state} requests.",
        optional=("Attempts", "Requested", "State", "Size"),
        reading=partial(until_first_row, app, "Listing requests"),
    )
