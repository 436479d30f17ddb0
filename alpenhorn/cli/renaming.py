"""The part that `alpenhorn host rename`, `group rename` and `node rename` share."""

from __future__ import annotations

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import App
from alpenhorn.cli.arguments import NAME
from alpenhorn.edits.rename import rename
from alpenhorn.scan import names

new_name = click.argument("new_name", type=NAME, metavar="NEW_NAME")


def renamed(app: App, kind: str, found: names.NamedRow, new_name: str) -> bool:
    if found.name == new_name:
        output.line(f"No change: the {kind} is called {new_name} already.")
        return False
    rename(app.index, kind, found, new_name, app.stamp())
    output.line(f"Renamed {kind} {found.name} to {new_name}.")
    return True
