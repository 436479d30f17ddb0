"""`alpenhorn node rename`."""

from __future__ import annotations

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.complete import NODE
from alpenhorn.cli.renaming import new_name, renamed
from alpenhorn.scan import names


@click.command()
@click.argument("name", type=NODE, metavar="NODE")
@new_name
@pass_app
def rename(app: App, name: str, new_name: str) -> None:
    """The next run on the node writes the new name to the marker in its root.  A run that is working on the node
    continues under the old name.

    \b
    Example:
      alpenhorn node rename disk7 disk7-old
    """
    found = names.node(app.index, name)
    if renamed(app, "node", found, new_name):
        output.line("The next run on the node writes the new name to its marker.")
