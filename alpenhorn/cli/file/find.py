"""`alpenhorn file find`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import click

from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.columns import ListOptions, listing_options
from alpenhorn.cli.files import FOUND_COPY_COLUMNS, chosen_states, file_filter, place_options, state_options
from alpenhorn.cli.long_work import until_first_row
from alpenhorn.listings.files import copies


@click.command()
@place_options
@state_options
@click.option("--changed", is_flag=True, help="Only copies that were changed after they were registered.")
@listing_options(FOUND_COPY_COLUMNS)
@pass_app
def find(
    app: App,
    acqs: Sequence[str],
    nodes: Sequence[str],
    groups: Sequence[str],
    changed: bool,
    corrupt: bool,
    healthy: bool,
    missing: bool,
    suspect: bool,
    listing: ListOptions,
) -> None:
    """Each line shows a copy: its file, node and state.  Without state options, healthy copies are listed.

    \b
    Examples:
      alpenhorn file find --corrupt --missing
      alpenhorn file find --acq 20260722T000000Z_pilot --group offsite
    """
    states = chosen_states(
        changed=changed, corrupt=corrupt, healthy=healthy, missing=missing, suspect=suspect
    )
    chosen = file_filter(app.index, acqs, nodes, groups, states)
    listing.show(
        FOUND_COPY_COLUMNS,
        copies(app.index, chosen, limit=listing.at_most),
        "No such copies.",
        optional=("Size",),
        reading=partial(until_first_row, app, "Listing copies"),
    )
