"""`alpenhorn host rename`."""

from __future__ import annotations

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.complete import HOST
from alpenhorn.cli.renaming import new_name, renamed
from alpenhorn.listings import storage
from alpenhorn.scan import names


@click.command()
@click.argument("name", type=HOST, metavar="HOST")
@new_name
@pass_app
def rename(app: App, name: str, new_name: str) -> None:
    """Runs on the host find their nodes by this name: its configuration must have the same ([sync] host), unless
    it is the host name up to the first dot.

    \b
    Example:
      alpenhorn host rename alp2 archive2
    """
    found = names.host(app.index, name)
    if renamed(app, "host", found, new_name) and storage.hosts(app.index, found.id)[0].nodes:
        output.note(
            f'runs on this host work on nothing before they know its new name: [sync] host = "{new_name}"'
            " in its configuration, unless it is the host name up to the first dot"
        )
