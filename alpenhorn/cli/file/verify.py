"""`alpenhorn file verify`."""

from __future__ import annotations

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.complete import NODE
from alpenhorn.cli.usage_hints import HintingCommand
from alpenhorn.edits import copies as edit_copy
from alpenhorn.scan import names


@click.command(cls=HintingCommand)
@click.argument("path", metavar="FILE")
@click.argument("node_name", type=NODE, metavar="NODE")
@pass_app
def verify(app: App, path: str, node_name: str) -> None:
    """The copy is suspect until the next run on the node's host has read it.

    \b
    Example:
      alpenhorn file verify 20260722T000000Z_pilot/0001.h5 archive1
    """
    node = names.node(app.index, node_name)
    file = names.file(app.index, path, names.root(app.index, node))
    before = edit_copy.suspect(app.index, file.id, node.id, app.stamp())
    if before == "M":
        output.line(f"Already requested: check of {file.path} on {node_name}.")
    else:
        output.line(f"Requested: check of {file.path} on {node_name}.")
