"""`alpenhorn node`: the places that hold copies of files."""

from __future__ import annotations

from collections.abc import Sequence

import click

from alpenhorn.cli import node_edit, output
from alpenhorn.cli import node_tables as tables
from alpenhorn.cli.app import App, json_option, pass_app
from alpenhorn.cli.clean import node_clean
from alpenhorn.cli.complete import GROUP, HOST, NODE
from alpenhorn.cli.edges import autoclean
from alpenhorn.cli.manifest import node_manifest
from alpenhorn.cli.options import Command
from alpenhorn.cli.rename import node_rename
from alpenhorn.cli.sync_requests import node_sync
from alpenhorn.cli.verify import node_verify
from alpenhorn.index.connection import Index
from alpenhorn.listings import storage
from alpenhorn.listings.stats import fullness, of_nodes
from alpenhorn.model.nodes import GIB, MARKER
from alpenhorn.reasons import code_in_json
from alpenhorn.scan import inodes, names


@click.group()
def node() -> None:
    """Storage nodes, which hold copies of files: create, change, show, copy from and clean them."""


for _command in (
    autoclean,
    node_edit.create,
    node_edit.modify,
    node_edit.activate,
    node_edit.deactivate,
    node_edit.init,
    node_edit.scan,
    node_sync,
    node_clean,
    node_verify,
    node_rename,
    node_manifest,
):
    node.add_command(_command)


def filter_options(command: Command) -> Command:
    for decorate in (
        click.option("--host", type=HOST, metavar="HOST", help="Only nodes on HOST."),
        click.option("--group", type=GROUP, metavar="GROUP", help="Only nodes in GROUP."),
        click.option("--active/--inactive", default=None, help="Only nodes that are (in)active."),
    ):
        command = decorate(command)
    return command


def _chosen(index: Index, active: bool | None, group: str | None, host: str | None) -> list[storage.NodeRow]:
    return storage.nodes(
        index,
        active=active,
        group_id=names.group(index, group).id if group else None,
        host_id=names.host(index, host).id if host else None,
    )


@node.command("list")
@filter_options
@json_option
@pass_app
def list_(app: App, active: bool | None, group: str | None, host: str | None, as_json: bool) -> None:
    """List the storage nodes.

    \b
    Example:
      alpenhorn node list --active --host alp1
    """
    rows = _chosen(app.index, active, group, host)
    if as_json:
        output.document(tables.node_documents(rows))
        return
    output.table(
        ("Name", *tables.DETAILS, "Notes"),
        ((row.name, *tables.details(row), row.notes) for row in rows),
        empty="No nodes; create one with: alpenhorn node create NAME",
    )


@node.command()
@filter_options
@click.option("--extra-stats", is_flag=True, help="Count the copies that are not well, too.")
@json_option
@pass_app
def stats(
    app: App, active: bool | None, group: str | None, host: str | None, extra_stats: bool, as_json: bool
) -> None:
    """Show how many files, of how many bytes, are on each node, and how full it is.

    \b
    Example:
      alpenhorn node stats --extra-stats
    """
    rows = _chosen(app.index, active, group, host)
    found = of_nodes(app.index, [row.id for row in rows])
    if as_json:
        output.document([{"name": row.name, **tables.stats_document(row, found[row.id])} for row in rows])
        return
    extra = tables.EXTRA if extra_stats else ()
    output.table(
        ("Name", *tables.STATS, *extra),
        [
            (
                row.name,
                *tables.stat_cells(row, found[row.id]),
                *(tables.extra_cells(found[row.id]) if extra_stats else ()),
            )
            for row in rows
        ],
        right=(*tables.STATS, *tables.EXTRA),
        empty="No nodes.",
    )


@node.command()
@click.argument("name", type=NODE, metavar="NODE")
@click.option("--actions", is_flag=True, help="Show the automatic actions from the node.")
@click.option("-a", "--all", "all_", is_flag=True, help="Show all of it.")
@click.option("--imports", is_flag=True, help="Show the pending import requests.")
@click.option("--stats", "with_stats", is_flag=True, help="Show the number and size of its files.")
@click.option("--transfers", is_flag=True, help="Show the pending requests from the node.")
@json_option
@pass_app
def show(
    app: App,
    name: str,
    actions: bool,
    all_: bool,
    imports: bool,
    with_stats: bool,
    transfers: bool,
    as_json: bool,
) -> None:
    """Show a node.

    \b
    Example:
      alpenhorn node show archive1 --all
    """
    index = app.index
    found = names.node(index, name)
    (row,) = storage.nodes(index, node_id=found.id)
    few = inodes.load(index, {row.id: row.avail_gb_last_checked}).get(row.id)
    counted = of_nodes(index, [row.id])[row.id] if with_stats or all_ else None
    requests = storage.pending_imports(index, row.id) if imports or all_ else None
    pending = storage.pending_transfers(index, node_id=row.id) if transfers or all_ else None
    edges = storage.actions(index, node_id=row.id) if actions or all_ else None
    if as_json:
        document = {**tables.node_document(row, counted), "free_inodes": few}
        if requests is not None:
            document["imports"] = [
                request._asdict() | {"code": code_in_json(request.error)} for request in requests
            ]
        if pending is not None:
            document["transfers"] = [
                {"group": one.group, "files": one.files, "size_b": one.bytes} for one in pending
            ]
        if edges is not None:
            document["actions"] = [
                {"group": edge.group, "autosync": edge.autosync, "autoclean": edge.autoclean}
                for edge in edges
            ]
        output.document(document)
        return
    _print_node(row, few)
    if counted is not None:
        output.heading("Files:")
        output.fields(
            (
                ("Files", counted.good.files),
                ("Size", output.size(counted.good.bytes)),
                ("Full", output.percent(fullness(row, counted.good.bytes))),
                *((state, tally.files) for state, tally in sorted(counted.states.items())),
            )
        )
    if requests is not None:
        _print_imports(requests)
    if pending is not None:
        output.heading("Pending requests from the node:")
        output.table(
            ("Into group", "Files", "Size"),
            ((one.group, one.files, output.size(one.bytes)) for one in pending),
            right=("Files", "Size"),
            empty="  none",
        )
    if edges is not None:
        output.heading("Automatic actions:")
        output.table(
            ("Group", "Autosync into the group", "Autoclean of the node"),
            ((edge.group, output.yes_no(edge.autosync), output.yes_no(edge.autoclean)) for edge in edges),
            empty="  none",
        )


def _print_node(row: storage.NodeRow, free_inodes: int | None) -> None:
    output.fields(
        (
            ("Node", row.name),
            ("Group", row.group),
            ("Host", row.host),
            ("Address", row.address),
            ("User", row.username),
            ("Root", row.root),
            ("Active", output.yes_no(row.active)),
            ("Archive", output.yes_no(row.archive)),
            ("Class", row.io_class or "Default"),
            ("Auto-import", "on" if row.auto_import else "off"),
            ("Auto-verify", f"{row.auto_verify} copies a run" if row.auto_verify else "off"),
            ("Max total", output.size(tables.gib_bytes(row.max_total_gb))),
            ("Min avail", output.size(row.min_avail_gb * GIB) if row.min_avail_gb else None),
            ("Available", output.size(tables.gib_bytes(row.avail_gb))),
            ("Free inodes", free_inodes),
            ("Last checked", output.time(row.avail_gb_last_checked)),
            ("Notes", row.notes),
        )
    )
    tables.print_settings(row.io_config)


def _print_imports(requests: Sequence[storage.ImportRow]) -> None:
    output.heading("Pending import requests:")
    output.table(
        ("Path", "Directory", "New files", "Requested", "Last error"),
        (
            (
                "(initialisation)" if request.path == MARKER else request.path,
                output.yes_no(request.recurse),
                output.yes_no(request.register),
                output.time(request.timestamp),
                request.error,
            )
            for request in requests
        ),
        empty="  none",
    )
