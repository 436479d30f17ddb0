"""`alpenhorn group show`."""

from __future__ import annotations

from collections.abc import Sequence

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import App, json_option, pass_app
from alpenhorn.cli.complete import GROUP
from alpenhorn.cli.storage_rows import group_document, node_documents, print_nodes, print_settings
from alpenhorn.listings import storage
from alpenhorn.listings.stats import of_nodes
from alpenhorn.scan import names


@click.command()
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
    """\b
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
        document = {**group_document(row), "nodes": node_documents(nodes, stats)}
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


def _print_transfers(pending: Sequence[storage.TransferRow]) -> None:
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
