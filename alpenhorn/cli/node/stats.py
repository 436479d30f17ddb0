"""`alpenhorn node stats`."""

from __future__ import annotations

from collections.abc import Sequence

import click

from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.columns import ListOptions, listing_options
from alpenhorn.cli.long_work import LongWork
from alpenhorn.cli.storage_columns import (
    NODE_NAME,
    STATS_COLUMNS,
    bad_copies,
    chosen_nodes,
    filter_options,
    node_lines,
)
from alpenhorn.listings.stats import of_nodes

COLUMNS = (NODE_NAME, *STATS_COLUMNS)


@click.command()
@filter_options
@click.option("--extra-stats", is_flag=True, help="Include the numbers of copies that are not good.")
@listing_options(COLUMNS)
@pass_app
def stats(
    app: App,
    pattern: str,
    active: bool | None,
    all_: bool,
    groups: Sequence[str],
    hosts: Sequence[str],
    extra_stats: bool,
    listing: ListOptions,
) -> None:
    """The table also shows how full each node is.  With PATTERN, only nodes whose names match it are listed.
    Retired nodes are left out without --all.

    \b
    Examples:
      alpenhorn node stats --sort -full --limit 5
      alpenhorn node stats --extra-stats
    """
    rows = chosen_nodes(app.index, pattern, active, all_, groups, hosts)
    with LongWork(app, "Counting the copies on each node"):
        found = of_nodes(app.index, [row.id for row in rows])
    lines = node_lines(rows, found)
    extra = map(bad_copies, ("Corrupt", "Suspect", "Missing", "Released")) if extra_stats else ()
    listing.show((*COLUMNS, *extra), lines, "No nodes.")
