"""`alpenhorn host create`."""

from __future__ import annotations

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.arguments import NAME
from alpenhorn.cli.hosts import host_options, refuse_useless
from alpenhorn.cli.options import chosen
from alpenhorn.edits import hosts as edit_host


@click.command()
@click.argument("name", type=NAME)
@host_options
@pass_app
def create(app: App, name: str, address: str | None, username: str | None, notes: str | None) -> None:
    """NAME is the host's name in its own configuration: its host name up to the first dot, unless [sync] host is
    set.  Other hosts need the address and the user name to fetch files from it by ssh.

    \b
    Example:
      alpenhorn host create archive1 --address archive1.example.org --username alpenhorn
    """
    refuse_useless(address, username)
    edit_host.create(app.index, {"name": name, **chosen(address=address, username=username, notes=notes)})
    output.line(f"Created host {name}.")
