"""`alpenhorn acq`: acquisitions, that is, directories of files."""

from __future__ import annotations

import click

from alpenhorn.cli import acq_edit, output
from alpenhorn.cli.app import App, json_option, pass_app
from alpenhorn.cli.complete import ACQ, GROUP, NODE
from alpenhorn.cli.options import at_most_one
from alpenhorn.listings import acqs as listing_acqs
from alpenhorn.scan import names


@click.group()
def acq() -> None:
    """Acquisitions: create, list and show them."""


acq.add_command(acq_edit.create)
acq.add_command(acq_edit.files)


@acq.command("list")
@click.option("--group", type=GROUP, metavar="GROUP", help="Only acquisitions, and files, that are in GROUP.")
@click.option("--node", type=NODE, metavar="NODE", help="Only acquisitions, and files, that are on NODE.")
@json_option
@pass_app
def list_(app: App, group: str | None, node: str | None, as_json: bool) -> None:
    """List the acquisitions, with the number and size of their files.

    \b
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


@acq.command()
@click.argument("name", type=ACQ, metavar="ACQ")
@click.option("--show-groups", is_flag=True, help="Show what of it is in which group.")
@click.option("--show-nodes", is_flag=True, help="Show what of it is on which node.")
@json_option
@pass_app
def show(app: App, name: str, show_groups: bool, show_nodes: bool, as_json: bool) -> None:
    """Show an acquisition.

    \b
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
            document["groups"] = [
                {"name": row.group, "files": row.files, "size_b": row.bytes} for row in groups
            ]
        if nodes is not None:
            document["nodes"] = [
                {"name": row.node, "group": row.group, "files": row.files, "size_b": row.bytes}
                for row in nodes
            ]
        output.document(document)
        return
    output.fields(
        (("Acquisition", found.name), ("Files", files), ("Size", output.size(bytes_)), ("Comment", comment))
    )
    if groups is not None:
        output.heading("In groups:")
        output.table(
            ("Group", "Files", "Size"),
            ((row.group, row.files, output.size(row.bytes)) for row in groups),
            right=("Files", "Size"),
            empty="  none",
        )
    if nodes is not None:
        output.heading("On nodes:")
        output.table(
            ("Node", "Group", "Files", "Size"),
            ((row.node, row.group, row.files, output.size(row.bytes)) for row in nodes),
            right=("Files", "Size"),
            empty="  none",
        )
