"""`alpenhorn acq show`."""

from __future__ import annotations

import click

from alpenhorn.cli import columns, output
from alpenhorn.cli.app import App, json_option, pass_app
from alpenhorn.cli.columns import column, number, size
from alpenhorn.cli.complete import ACQ
from alpenhorn.listings import acqs as listing_acqs
from alpenhorn.scan import names

COUNTS = (number("files", "Files"), size("size_b", "Size", "bytes"))
GROUPS = (column("name", "Group", "group"), *COUNTS)
NODES = (column("name", "Node", "node"), column("group", "Group"), *COUNTS)


@click.command()
@click.argument("name", type=ACQ, metavar="ACQ")
@click.option("--show-groups", is_flag=True, help="Show its files in each group.")
@click.option("--show-nodes", is_flag=True, help="Show its files on each node.")
@json_option
@pass_app
def show(app: App, name: str, show_groups: bool, show_nodes: bool, as_json: bool) -> None:
    """\b
    Example:
      alpenhorn acq show 20260722T000000Z_pilot --show-nodes
    """
    index = app.index
    found = names.acq(index, name)
    files, bytes_ = listing_acqs.total(index, found.id)
    comment = listing_acqs.comment(index, found.id)
    groups = listing_acqs.in_groups(index, found.id) if show_groups else None
    nodes = listing_acqs.on_nodes(index, found.id) if show_nodes else None
    if as_json:
        document: dict[str, object] = {
            "name": found.name,
            "files": files,
            "size_b": bytes_,
            "comment": comment,
        }
        if groups is not None:
            document["groups"] = columns.documents(GROUPS, groups)
        if nodes is not None:
            document["nodes"] = columns.documents(NODES, nodes)
        output.document(document)
        return
    output.fields(
        (("Acquisition", found.name), ("Files", files), ("Size", output.size(bytes_)), ("Comment", comment))
    )
    if groups is not None:
        output.heading("In groups:")
        columns.table(GROUPS, groups, empty="  none")
    if nodes is not None:
        output.heading("On nodes:")
        columns.table(NODES, nodes, empty="  none")
