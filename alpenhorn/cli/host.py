"""`alpenhorn host`: the machines that nodes are on."""

from __future__ import annotations

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import App, json_option, pass_app
from alpenhorn.cli.complete import HOST
from alpenhorn.cli.host_delete import delete
from alpenhorn.cli.node_tables import node_documents, print_nodes
from alpenhorn.cli.options import NAME, Command, Text, chosen, notes_option
from alpenhorn.cli.rename import host_rename
from alpenhorn.edits import hosts as edit_host
from alpenhorn.errors import Refused
from alpenhorn.listings import storage
from alpenhorn.listings.stats import of_nodes
from alpenhorn.scan import names


@click.group()
def host() -> None:
    """Hosts, on which nodes live: create, change, show and delete them."""


host.add_command(delete)
host.add_command(host_rename)


def host_options(command: Command) -> Command:
    """The properties of a host, as for `create` and `modify`."""
    command = notes_option(command)
    command = click.option(
        "--username",
        metavar="USER",
        type=Text(64),
        help="The user to log in as, for other hosts' pulls; '' removes it.",
    )(command)
    return click.option(
        "--address", metavar="ADDR", type=Text(255), help="The address for other hosts' pulls; '' removes it."
    )(command)


@host.command()
@click.argument("name", type=NAME)
@host_options
@pass_app
def create(app: App, name: str, address: str | None, username: str | None, notes: str | None) -> None:
    """Create a host.

    NAME is what the host's configuration calls it: its host name up to the first dot, unless [sync] host
    says otherwise.  Other hosts need the address and the user name to fetch files from it by ssh.

    \b
    Example:
      alpenhorn host create archive1 --address archive1.example.org --username alpenhorn
    """
    _refuse_useless(address, username)
    edit_host.create(app.index, {"name": name, **chosen(address=address, username=username, notes=notes)})
    output.line(f"Created host {name}.")


@host.command()
@click.argument("name", type=HOST, metavar="HOST")
@host_options
@pass_app
def modify(app: App, name: str, address: str | None, username: str | None, notes: str | None) -> None:
    """Change a host's properties; what is not given stays.

    \b
    Example:
      alpenhorn host modify archive1 --address 10.0.0.7
    """
    _refuse_useless(address, username)
    found = names.host(app.index, name)
    changed = edit_host.modify(app.index, found.id, chosen(address=address, username=username, notes=notes))
    output.line(f"Changed host {name}." if changed else "No change.")


@host.command("list")
@json_option
@pass_app
def list_(app: App, as_json: bool) -> None:
    """List the hosts.

    \b
    Example:
      alpenhorn host list
    """
    rows = storage.hosts(app.index)
    if as_json:
        output.document([_document(row) for row in rows])
        return
    output.table(
        ("Name", "Address", "User", "Nodes", "Notes"),
        ((row.name, row.address, row.username, row.nodes, row.notes) for row in rows),
        right=("Nodes",),
        empty="No hosts; create one with: alpenhorn host create NAME",
    )


@host.command()
@click.argument("name", type=HOST, metavar="HOST")
@click.option("--node-details", is_flag=True, help="Show the properties of the nodes.")
@click.option("--node-stats", is_flag=True, help="Show the number and size of the files on the nodes.")
@json_option
@pass_app
def show(app: App, name: str, node_details: bool, node_stats: bool, as_json: bool) -> None:
    """Show a host and the nodes on it.

    \b
    Example:
      alpenhorn host show archive1 --node-stats
    """
    found = names.host(app.index, name)
    (row,) = storage.hosts(app.index, found.id)
    nodes = storage.nodes(app.index, host_id=found.id)
    stats = of_nodes(app.index, [node.id for node in nodes]) if node_stats else None
    if as_json:
        output.document({**_document(row), "nodes": node_documents(nodes, stats)})
        return
    output.fields(
        (("Host", row.name), ("Address", row.address), ("User", row.username), ("Notes", row.notes))
    )
    print_nodes(nodes, stats, details=node_details)


def _refuse_useless(address: str | None, username: str | None) -> None:
    """Raise Refused for an address or a login with which every pull would fail."""
    from alpenhorn.transfer.address import wrong_address, wrong_user  # only edits need them

    for fault in (address and wrong_address(address), username and wrong_user(username)):
        if fault:
            raise Refused(f"{fault}; nothing was changed")


def _document(row: storage.HostRow) -> dict[str, object]:
    return {
        "name": row.name,
        "address": row.address,
        "username": row.username,
        "notes": row.notes,
        "node_count": row.nodes,
    }
