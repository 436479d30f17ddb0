"""`alpenhorn node init`."""

from __future__ import annotations

import click

from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.complete import NODE
from alpenhorn.cli.nodes import request_import
from alpenhorn.edits import imports as import_requests
from alpenhorn.scan import names


@click.command()
@click.argument("name", type=NODE, metavar="NODE")
@pass_app
def init(app: App, name: str) -> None:
    """The next run on the node's host writes a marker with the name of the node to its root.  The root must exist, and
    must not have the marker of another node.

    \b
    Example:
      alpenhorn node init archive1
    """
    found = names.node(app.index, name)
    request_import(app, import_requests.initialisation(found.id), f"initialisation of node {name}")
