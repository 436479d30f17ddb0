"""`alpenhorn node deactivate`."""

from __future__ import annotations

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.complete import NODE
from alpenhorn.edits import nodes as edit_node
from alpenhorn.scan import names


@click.command()
@click.argument("name", type=NODE, metavar="NODE")
@pass_app
def deactivate(app: App, name: str) -> None:
    """Runs do not work on an inactive node, and do not pull files from it.

    \b
    Example:
      alpenhorn node deactivate disk7
    """
    found = names.node(app.index, name)
    edited = edit_node.modify(app.index, found.id, {"active": False}, {}, app.stamp())
    output.line(
        f"Node {name} is inactive." if edited.changed else f"No change: node {name} is already inactive."
    )
