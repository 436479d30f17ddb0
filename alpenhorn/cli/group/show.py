"""`alpenhorn group show`."""

from __future__ import annotations

import click

from alpenhorn.cli import columns, output
from alpenhorn.cli.app import App, json_option, pass_app
from alpenhorn.cli.columns import column
from alpenhorn.cli.complete import GROUP
from alpenhorn.cli.storage_columns import (
    ACTIONS,
    GROUP_COLUMNS,
    PENDING,
    node_document,
    node_lines,
    print_nodes,
    print_settings,
)
from alpenhorn.listings import storage
from alpenhorn.listings.stats import of_nodes
from alpenhorn.scan import names

TRANSFERS = (column("node", "Source node"), *PENDING)
NODE_ACTIONS = (column("node", "Node"), *ACTIONS)


@click.command()
@click.argument("name", type=GROUP, metavar="GROUP")
@click.option("--actions", is_flag=True, help="Show the rules of the group.")
@click.option("-a", "--all", "all_", is_flag=True, help="Show everything.")
@click.option("--node-details", is_flag=True, help="Show the properties of its nodes.")
@click.option("--node-stats", is_flag=True, help="Show the number and size of the files on each node.")
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
    actions_ = storage.actions(index, group_id=found.id) if actions or all_ else None
    lines = node_lines(nodes, stats)
    if as_json:
        document = {**columns.document(GROUP_COLUMNS, row), "nodes": list(map(node_document, lines))}
        if pending is not None:
            document["transfers"] = columns.documents(TRANSFERS, pending)
        if actions_ is not None:
            document["actions"] = columns.documents(NODE_ACTIONS, actions_)
        output.document(document)
        return
    output.fields((("Group", row.name), ("Class", row.io_class or "Default"), ("Notes", row.notes)))
    print_settings(row.io_config)
    print_nodes(lines, details=node_details or all_, stats=node_stats or all_)
    if pending is not None:
        output.heading("Pending requests into the group:")
        columns.table(TRANSFERS, pending, empty="  none")
    if actions_ is not None:
        output.heading("Rules:")
        columns.table(NODE_ACTIONS, actions_, empty="  none")
