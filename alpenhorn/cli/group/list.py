"""`alpenhorn group list`."""

from __future__ import annotations

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import App, json_option, pass_app
from alpenhorn.cli.storage_rows import group_document
from alpenhorn.listings import storage


@click.command()
@json_option
@pass_app
def list_(app: App, as_json: bool) -> None:
    """\b
    Example:
      alpenhorn group list
    """
    rows = storage.groups(app.index)
    if as_json:
        output.document([group_document(row) for row in rows])
        return
    output.table(
        ("Name", "Class", "Nodes", "Notes"),
        ((row.name, row.io_class or "Default", row.nodes, row.notes) for row in rows),
        right=("Nodes",),
        empty="No groups; create one with: alpenhorn group create NAME",
    )
