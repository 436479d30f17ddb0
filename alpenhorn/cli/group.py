"""`alpenhorn group`: what data are sent to; the nodes of a group share its files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from alpenhorn.cli import io_settings, output
from alpenhorn.cli.app import App, json_option, pass_app
from alpenhorn.cli.complete import GROUP
from alpenhorn.cli.edges import autosync
from alpenhorn.cli.node_tables import node_documents, print_nodes, print_settings
from alpenhorn.cli.options import NAME, chosen, class_option, io_edits, io_options, notes_option, settings
from alpenhorn.cli.rename import group_rename
from alpenhorn.cli.sync_requests import group_sync
from alpenhorn.edits import groups as edit_group
from alpenhorn.listings import storage
from alpenhorn.listings.stats import of_nodes
from alpenhorn.scan import names


@click.group()
def group() -> None:
    """Storage groups, to which data are sent: create, change, show and fill them."""


group.add_command(autosync)
group.add_command(group_sync)
group.add_command(group_rename)


@group.command()
@click.argument("name", type=NAME)
@class_option
@io_options
@notes_option
@pass_app
def create(
    app: App,
    name: str,
    io_class: str | None,
    io_config: dict[str, Any] | None,
    io_vars: dict[str, Any],
    notes: str | None,
) -> None:
    """Create a storage group.

    \b
    Examples:
      alpenhorn group create offsite
      alpenhorn group create truck --class Transport --notes "disks that travel"
    """
    values = chosen(name=name, io_class=io_class, notes=notes)
    edits = io_edits(f"group {name}", io_config, io_vars)
    values |= {column: edit(None) for column, edit in edits.items()}
    io_settings.require("group", name, values.get("io_class"), values.get("io_config"))
    edit_group.create(app.index, values)
    output.line(f"Created group {name}.")


@group.command()
@click.argument("name", type=GROUP, metavar="GROUP")
@class_option
@io_options
@notes_option
@pass_app
def modify(
    app: App,
    name: str,
    io_class: str | None,
    io_config: dict[str, Any] | None,
    io_vars: dict[str, Any],
    notes: str | None,
) -> None:
    """Change a group's properties; what is not given stays.

    \b
    Example:
      alpenhorn group modify tape --io-var threshold=1000000000
    """
    found = names.group(app.index, name)
    config = io_edits(f"group {name}", io_config, io_vars)
    edits = io_settings.edits("group", name, chosen(io_class=io_class), config)
    changed = edit_group.modify(app.index, found.id, chosen(notes=notes), edits)
    output.line(f"Changed group {name}." if changed else "No change.")
    if not edits:
        (row,) = storage.groups(app.index, found.id)
        io_settings.tell("group", name, row.io_class, row.io_config)


@group.command("list")
@json_option
@pass_app
def list_(app: App, as_json: bool) -> None:
    """List the storage groups.

    \b
    Example:
      alpenhorn group list
    """
    rows = storage.groups(app.index)
    if as_json:
        output.document([_document(row) for row in rows])
        return
    output.table(
        ("Name", "Class", "Nodes", "Notes"),
        ((row.name, row.io_class or "Default", row.nodes, row.notes) for row in rows),
        right=("Nodes",),
        empty="No groups; create one with: alpenhorn group create NAME",
    )


@group.command()
@click.argument("name", type=GROUP, metavar="GROUP")
@click.option("--actions", is_flag=True, help="Show the automatic actions that concern the group.")
@click.option("-a", "--all", "all_", is_flag=True, help="Show all of it.")
@click.option("--node-details", is_flag=True, help="Show the properties of the nodes.")
@click.option("--node-stats", is_flag=True, help="Show the number and size of the files on the nodes.")
@click.option("--transfers", is_flag=True, help="Show the pending requests into the group.")
@json_option
@pass_app
def show(
    app: App,
    name: str,
    actions: bool,
    all_: bool,
    node_details: bool,
    node_stats: bool,
    transfers: bool,
    as_json: bool,
) -> None:
    """Show a group and its nodes.

    \b
    Example:
      alpenhorn group show offsite --node-stats --transfers
    """
    index = app.index
    found = names.group(index, name)
    (row,) = storage.groups(index, found.id)
    nodes = storage.nodes(index, group_id=found.id)
    stats = of_nodes(index, [node.id for node in nodes]) if node_stats or all_ else None
    pending = storage.pending_transfers(index, group_id=found.id) if transfers or all_ else None
    edges = storage.actions(index, group_id=found.id) if actions or all_ else None
    if as_json:
        document = {**_document(row), "nodes": node_documents(nodes, stats)}
        if pending is not None:
            document["transfers"] = [
                {"node": one.node, "files": one.files, "size_b": one.bytes} for one in pending
            ]
        if edges is not None:
            document["actions"] = [
                {"node": edge.node, "autosync": edge.autosync, "autoclean": edge.autoclean} for edge in edges
            ]
        output.document(document)
        return
    output.fields((("Group", row.name), ("Class", row.io_class or "Default"), ("Notes", row.notes)))
    print_settings(row.io_config)
    print_nodes(nodes, stats, details=node_details or all_)
    if pending is not None:
        _print_transfers(pending)
    if edges is not None:
        _print_actions(edges)


def _print_transfers(pending: Sequence[storage.PendingTransfersRow]) -> None:
    output.heading("Pending requests into the group:")
    output.table(
        ("Source node", "Files", "Size"),
        ((one.node, one.files, output.size(one.bytes)) for one in pending),
        right=("Files", "Size"),
        empty="  none",
    )


def _print_actions(edges: Sequence[storage.ActionRow]) -> None:
    output.heading("Automatic actions:")
    output.table(
        ("Node", "Autosync into the group", "Autoclean of the node"),
        ((edge.node, output.yes_no(edge.autosync), output.yes_no(edge.autoclean)) for edge in edges),
        empty="  none",
    )


def _document(row: storage.GroupRow) -> dict[str, object]:
    return {
        "name": row.name,
        "io_class": row.io_class or "Default",
        "io_config": settings(row.io_config),
        "notes": row.notes,
        "node_count": row.nodes,
    }
