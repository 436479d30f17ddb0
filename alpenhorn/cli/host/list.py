"""`alpenhorn host list`."""

from __future__ import annotations

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import App, json_option, pass_app
from alpenhorn.cli.storage_rows import host_document
from alpenhorn.listings import storage


@click.command()
@json_option
@pass_app
def list_(app: App, as_json: bool) -> None:
    """\b
    Example:
      alpenhorn host list
    """
    rows = storage.hosts(app.index)
    if as_json:
        output.document([host_document(row) for row in rows])
        return
    output.table(
        ("Name", "Address", "User", "Nodes", "Notes"),
        ((row.name, row.address, row.username, row.nodes, row.notes) for row in rows),
        right=("Nodes",),
        empty="No hosts; create one with: alpenhorn host create NAME",
    )
