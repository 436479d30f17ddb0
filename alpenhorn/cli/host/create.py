"""`alpenhorn host create`."""

from __future__ import annotations

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.arguments import NAME
from alpenhorn.cli.hosts import host_options, refuse_unusable
from alpenhorn.cli.options import chosen
from alpenhorn.edits import hosts as edit_host


@click.command()
@click.argument("name", type=NAME)
@host_options
@pass_app
def create(
    app: App, name: str, address: str | None, username: str | None, site: str | None, notes: str | None
) -> None:
    """NAME must be the name that the host itself uses: [sync] host in its configuration, or by default its host name
    up to the first dot.  Other hosts use the address and the user name to pull files from it by ssh.

    \b
    Example:
      alpenhorn host create archive1 --address archive1.example.org --username alpenhorn
    """
    refuse_unusable(address, username)
    edit_host.create(
        app.index, {"name": name, **chosen(address=address, username=username, notes=notes)}, site
    )
    output.line(f"Created host {name}.")
