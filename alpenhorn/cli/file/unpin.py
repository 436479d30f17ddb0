"""`alpenhorn file unpin`."""

from __future__ import annotations

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.complete import NODE
from alpenhorn.edits import pins as edit_pins
from alpenhorn.scan import names, pins
from alpenhorn.scan.pins import EVERY_NODE


@click.command()
@click.argument("path", metavar="FILE")
@click.option("--node", "node_name", type=NODE, metavar="NODE", help="Remove the pin of the copy on NODE.")
@pass_app
def unpin(app: App, path: str, node_name: str | None) -> None:
    """Without --node, the pin on every node is removed; pins on single nodes remain.

    \b
    Examples:
      alpenhorn file unpin 20260722T000000Z_pilot/0001.h5
      alpenhorn file unpin 20260722T000000Z_pilot/0001.h5 --node archive1
    """
    index = app.index
    node = None if node_name is None else names.node(index, node_name)
    file = names.file(index, path, None if node is None else names.root(index, node))
    where = "every node" if node is None else node.name
    if edit_pins.unpin(index, file.id, EVERY_NODE if node is None else node.id):
        output.line(f"Unpinned {file.path} on {where}.")
    else:
        output.line(f"No change: {file.path} is not pinned on {where}.")
    for row in pins.of_file(index, file.id):
        place = "on every node" if row.node is None else f"on {row.node}"
        output.note(f"still {pins.words(row.reason, row.until)} ({place})")
