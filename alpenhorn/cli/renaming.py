"""The common part of `alpenhorn host rename`, `group rename` and `node rename`."""

from __future__ import annotations

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import App
from alpenhorn.cli.arguments import NAME
from alpenhorn.edits.rename import rename
from alpenhorn.scan import names

new_name = click.argument("new_name", type=NAME, metavar="NEW_NAME")


def renamed(app: App, kind: str, found: names.NamedRow, new_name: str) -> bool:
    """Rename a row and report it; return whether the name was changed."""
    if found.name == new_name:
        output.line(f"No change: the {kind} already has the name {new_name}.")
        return False
    rename(app.index, kind, found, new_name, app.stamp())
    output.line(f"Renamed {kind} {found.name} to {new_name}.")
    return True
