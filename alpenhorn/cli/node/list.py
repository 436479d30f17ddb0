"""`alpenhorn node list`."""

from __future__ import annotations

import click

from alpenhorn.cli import output, storage_rows
from alpenhorn.cli.app import App, json_option, pass_app
from alpenhorn.cli.storage_rows import chosen_nodes, filter_options


@click.command()
@filter_options
@json_option
@pass_app
def list_(app: App, active: bool | None, group: str | None, host: str | None, as_json: bool) -> None:
    """\b
    Example:
      alpenhorn node list --active --host alp1
    """
    rows = chosen_nodes(app.index, active, group, host)
    if as_json:
        output.document(storage_rows.node_documents(rows))
        return
    output.table(
        ("Name", *storage_rows.DETAILS, "Notes"),
        ((row.name, *storage_rows.details(row), row.notes) for row in rows),
        empty="No nodes; create one with: alpenhorn node create NAME",
    )
