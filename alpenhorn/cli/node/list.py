"""`alpenhorn node list`."""

from __future__ import annotations

import click

from alpenhorn.cli import columns
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.columns import Format, Sorting, format_option, limit_option, sort_option
from alpenhorn.cli.storage_columns import (
    NODE_COLUMNS,
    NODE_NAME,
    NODE_NOTES,
    chosen_nodes,
    filter_options,
    node_lines,
)

COLUMNS = (NODE_NAME, *NODE_COLUMNS, NODE_NOTES)


@click.command()
@filter_options
@sort_option(COLUMNS)
@limit_option()
@format_option
@pass_app
def list_(
    app: App,
    active: bool | None,
    group: str | None,
    host: str | None,
    sort: Sorting | None,
    limit: int | None,
    form: Format,
) -> None:
    """\b
    Examples:
      alpenhorn node list --active --host alp1
      alpenhorn node list --sort avail_b
    """
    lines = node_lines(chosen_nodes(app.index, active, group, host))
    columns.show(
        form,
        COLUMNS,
        lines,
        empty="No nodes; to create one: alpenhorn node create NAME --create-group --root DIR --init --activate",
        sort=sort,
        limit=limit,
    )
