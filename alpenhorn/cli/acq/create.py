"""`alpenhorn acq create`."""

from __future__ import annotations

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.paths import NEW_ACQ
from alpenhorn.edits import acqs as edit_acq


@click.command()
@click.argument("name", type=NEW_ACQ, metavar="NAME")
@pass_app
def create(app: App, name: str) -> None:
    """NAME is the path of a directory below a node's root, and may contain slashes.  Imports create acquisitions
    automatically.

    \b
    Example:
      alpenhorn acq create 20260722T000000Z_pilot
    """
    edit_acq.create(app.index, name)
    output.line(f"Created acquisition {name}.")
