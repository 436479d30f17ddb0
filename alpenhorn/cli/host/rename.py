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
    """Runs on the host find their nodes by this name: set the new name in its configuration ([sync] host), unless it
    is the host name up to the first dot.

    \b
    Example:
      alpenhorn host rename alp2 archive2
    """
    found = names.host(app.index, name)
    if not renamed(app, "host", found, new_name) or new_name == app.host:
        return
    if storage.hosts(app.index, found.id)[0].nodes:
        output.note(
            f"host {new_name}: runs there do not find their nodes until its configuration has the new name:"
            f' [sync] host = "{new_name}" (not needed if this is its host name up to the first dot)'
        )
