"""`alpenhorn node list`."""

from __future__ import annotations

from collections.abc import Sequence

import click

from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.columns import ListOptions, listing_options
from alpenhorn.cli.storage_columns import (
    NODE_COLUMNS,
    NODE_NAME,
    NODE_NOTES,
    chosen_nodes,
    filter_options,
    node_lines,
)

# Left out on narrow terminals, the first one first.
OPTIONAL = ("Class", "Archive")
COLUMNS = (NODE_NAME, *NODE_COLUMNS, NODE_NOTES)


@click.command()
@filter_options
@listing_options(COLUMNS)
@pass_app
def list_(
    app: App,
    pattern: str,
    active: bool | None,
    all_: bool,
    groups: Sequence[str],
    hosts: Sequence[str],
    listing: ListOptions,
) -> None:
    """With PATTERN, only nodes whose names match it are listed, such as 'archive*'.  Retired nodes are left out
    without --all.

    \b
    Examples:
      alpenhorn node list 'archive*'
      alpenhorn node list --active --host alp1
      alpenhorn node list --sort avail_b
    """
    lines = node_lines(chosen_nodes(app.index, pattern, active, all_, groups, hosts))
    narrowed = pattern != "*" or active is not None or groups or hosts
    create = "alpenhorn node create NAME --create-group --root DIR --init --activate"
    empty = "No such nodes." if narrowed else f"No nodes; to create one: {create}"
    listing.show(COLUMNS, lines, empty, optional=OPTIONAL)
