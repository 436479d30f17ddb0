"""`alpenhorn node stats`."""

from __future__ import annotations

import click

from alpenhorn.cli import output, storage_rows
from alpenhorn.cli.app import App, json_option, pass_app
from alpenhorn.cli.storage_rows import chosen_nodes, filter_options
from alpenhorn.listings.stats import of_nodes


@click.command()
@filter_options
@click.option("--extra-stats", is_flag=True, help="Count the copies that are not well, too.")
@json_option
@pass_app
def stats(
    app: App, active: bool | None, group: str | None, host: str | None, extra_stats: bool, as_json: bool
) -> None:
    """It also shows how full each node is.

    \b
    Example:
      alpenhorn node stats --extra-stats
    """
    rows = chosen_nodes(app.index, active, group, host)
    found = of_nodes(app.index, [row.id for row in rows])
    if as_json:
        output.document(
            [{"name": row.name, **storage_rows.stats_document(row, found[row.id])} for row in rows]
        )
        return
    extra = storage_rows.EXTRA if extra_stats else ()
    output.table(
        ("Name", *storage_rows.STATS, *extra),
        [
            (
                row.name,
                *storage_rows.stat_cells(row, found[row.id]),
                *(storage_rows.extra_cells(found[row.id]) if extra_stats else ()),
            )
            for row in rows
        ],
        right=(*storage_rows.STATS, *storage_rows.EXTRA),
        empty="No nodes.",
    )
