"""`alpenhorn host rename`, `group rename` and `node rename`."""

from __future__ import annotations

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.complete import GROUP, HOST, NODE
from alpenhorn.cli.options import NAME
from alpenhorn.edits.rename import rename
from alpenhorn.listings import storage
from alpenhorn.scan import names

new_name = click.argument("new_name", type=NAME, metavar="NEW_NAME")


@click.command("rename")
@click.argument("name", type=HOST, metavar="HOST")
@new_name
@pass_app
def host_rename(app: App, name: str, new_name: str) -> None:
    """Rename a host.

    Runs on it find their nodes by this name: its configuration must say the same ([sync] host), unless it is
    what the host calls itself.

    \b
    Example:
      alpenhorn host rename alp2 archive2
    """
    found = names.host(app.index, name)
    if _renamed(app, "host", found, new_name) and storage.hosts(app.index, found.id)[0].nodes:
        output.note(
            f'runs on this host work on nothing before they know its new name: [sync] host = "{new_name}"'
            " in its configuration, unless it is the host name up to the first dot"
        )


@click.command("rename")
@click.argument("name", type=GROUP, metavar="GROUP")
@new_name
@pass_app
def group_rename(app: App, name: str, new_name: str) -> None:
    """Rename a group.

    Nothing else changes: its nodes, requests and rules stay.

    \b
    Example:
      alpenhorn group rename offsite vault
    """
    _renamed(app, "group", names.group(app.index, name), new_name)


@click.command("rename")
@click.argument("name", type=NODE, metavar="NODE")
@new_name
@pass_app
def node_rename(app: App, name: str, new_name: str) -> None:
    """Rename a node.

    Its root is marked with its name; the next run on the node writes the new one there.  A run at work on it
    now goes on under the old name.

    \b
    Example:
      alpenhorn node rename disk7 disk7-old
    """
    found = names.node(app.index, name)
    if _renamed(app, "node", found, new_name):
        output.line("The next run on it writes the new name into its root.")


def _renamed(app: App, kind: str, found: names.NamedRow, new_name: str) -> bool:
    if found.name == new_name:
        output.line(f"No change: the {kind} is called {new_name} already.")
        return False
    rename(app.index, kind, found, new_name, app.stamp())
    output.line(f"Renamed {kind} {found.name} to {new_name}.")
    return True
