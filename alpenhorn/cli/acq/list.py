"""`alpenhorn acq list`."""

from __future__ import annotations

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import App, json_option, pass_app
from alpenhorn.cli.complete import GROUP, NODE
from alpenhorn.cli.options import at_most_one
from alpenhorn.listings import acqs as listing_acqs
from alpenhorn.scan import names


@click.command()
@click.option("--group", type=GROUP, metavar="GROUP", help="Only acquisitions, and files, that are in GROUP.")
@click.option("--node", type=NODE, metavar="NODE", help="Only acquisitions, and files, that are on NODE.")
@json_option
@pass_app
def list_(app: App, group: str | None, node: str | None, as_json: bool) -> None:
    """\b
    Example:
      alpenhorn acq list --node archive1
    """
    at_most_one(node=node, group=group)
    rows = listing_acqs.acqs(
        app.index,
        node_id=names.node(app.index, node).id if node else None,
        group_id=names.group(app.index, group).id if group else None,
    )
    if as_json:
        output.documents({"name": row.name, "files": row.files, "size_b": row.bytes} for row in rows)
        return
    output.table(
        ("Name", "Files", "Size"),
        ((row.name, row.files, output.size(row.bytes)) for row in rows),
        right=("Files", "Size"),
        empty="No acquisitions.",
    )
