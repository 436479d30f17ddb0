"""`alpenhorn host show`."""

from __future__ import annotations

import click

from alpenhorn.cli import columns, output
from alpenhorn.cli.app import App, json_option, pass_app
from alpenhorn.cli.complete import HOST
from alpenhorn.cli.storage_columns import HOST_COLUMNS, node_document, node_lines, print_nodes
from alpenhorn.listings import storage
from alpenhorn.listings.stats import of_nodes
from alpenhorn.scan import names


@click.command()
@click.argument("name", type=HOST, metavar="HOST")
@click.option("--node-details", is_flag=True, help="Show the properties of its nodes.")
@click.option("--node-stats", is_flag=True, help="Show the number and size of the files on each node.")
@json_option
@pass_app
def show(app: App, name: str, node_details: bool, node_stats: bool, as_json: bool) -> None:
    """\b
    Example:
      alpenhorn host show archive1 --node-stats
    """
    found = names.host(app.index, name)
    (row,) = storage.hosts(app.index, found.id)
    nodes = storage.nodes(app.index, host_id=found.id)
    stats = of_nodes(app.index, [node.id for node in nodes]) if node_stats else None
    lines = node_lines(nodes, stats)
    if as_json:
        output.document({**columns.document(HOST_COLUMNS, row), "nodes": list(map(node_document, lines))})
        return
    output.fields(
        (
            ("Host", row.name),
            ("Address", row.address),
            ("User", row.username),
            ("Site", row.site),
            ("Notes", row.notes),
        )
    )
    print_nodes(lines, details=node_details, stats=node_stats)
