"""`alpenhorn host modify`."""

from __future__ import annotations

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.complete import HOST
from alpenhorn.cli.hosts import host_options, refuse_unusable
from alpenhorn.cli.options import chosen
from alpenhorn.edits import hosts as edit_host
from alpenhorn.scan import names


@click.command()
@click.argument("name", type=HOST, metavar="HOST")
@host_options
@pass_app
def modify(
    app: App, name: str, address: str | None, username: str | None, site: str | None, notes: str | None
) -> None:
    """Properties that are not given remain unchanged.

    \b
    Examples:
      alpenhorn host modify archive1 --address 10.0.0.7
      alpenhorn host modify archive1 --site vancouver
    """
    refuse_unusable(address, username)
    found = names.host(app.index, name)
    changed = edit_host.modify(
        app.index, found.id, chosen(address=address, username=username, notes=notes), site
    )
    output.line(f"Changed host {name}." if changed else "No change.")
