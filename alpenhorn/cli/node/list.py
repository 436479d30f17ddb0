"""`alpenhorn node list`."""

from __future__ import annotations

import click

from alpenhorn.cli import columns
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.columns import Format, format_option, limit_option
from alpenhorn.cli.storage_columns import (
    NODE_COLUMNS,
    NODE_NAME,
    NODE_NOTES,
    chosen_nodes,
    filter_options,
    node_lines,
)


@click.command()
@filter_options
@limit_option()
@format_option
@pass_app
def list_(
    app: App, active: bool | None, group: str | None, host: str | None, limit: int | None, form: Format
) -> None:
    """\b
    Example:
      alpenhorn node list --active --host alp1
    """
    lines = node_lines(chosen_nodes(app.index, active, group, host))
    columns.show(
        form,
        (NODE_NAME, *NODE_COLUMNS, NODE_NOTES),
        lines,
        empty="No nodes; to create one: alpenhorn node create NAME",
        limit=limit,
    )
