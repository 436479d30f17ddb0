"""`alpenhorn group rename`."""

from __future__ import annotations

import click

from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.complete import GROUP
from alpenhorn.cli.renaming import new_name, renamed
from alpenhorn.scan import names


@click.command()
@click.argument("name", type=GROUP, metavar="GROUP")
@new_name
@pass_app
def rename(app: App, name: str, new_name: str) -> None:
    """The nodes, requests and rules of the group remain.

    \b
    Example:
      alpenhorn group rename offsite vault
    """
    renamed(app, "group", names.group(app.index, name), new_name)
