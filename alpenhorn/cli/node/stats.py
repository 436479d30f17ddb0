"""`alpenhorn node stats`."""

from __future__ import annotations

import click

from alpenhorn.cli import columns
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.columns import Format, format_option
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


@click.command()
@filter_options
@click.option("--extra-stats", is_flag=True, help="Include the numbers of copies that are not good.")
@format_option
@pass_app
def stats(
    app: App, active: bool | None, group: str | None, host: str | None, extra_stats: bool, form: Format
) -> None:
    """The table also shows how full each node is.

    \b
    Example:
      alpenhorn node stats --extra-stats
    """
    rows = chosen_nodes(app.index, active, group, host)
    with LongWork(app, "Counting the copies on each node"):
        found = of_nodes(app.index, [row.id for row in rows])
    lines = node_lines(rows, found)
    extra = map(bad_copies, ("Corrupt", "Suspect", "Missing", "Released")) if extra_stats else ()
    columns.show(form, (NODE_NAME, *STATS_COLUMNS, *extra), lines, empty="No nodes.")
