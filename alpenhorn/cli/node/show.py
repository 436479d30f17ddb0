"""`alpenhorn node show`."""

from __future__ import annotations

import click

from alpenhorn import formats
from alpenhorn.cli import columns, output
from alpenhorn.cli.app import App, json_option, pass_app
from alpenhorn.cli.columns import column, flag, number, size, time
from alpenhorn.cli.complete import NODE
from alpenhorn.cli.storage_columns import ACTIONS, PENDING, NodeLine, gib_bytes, node_document, print_settings
from alpenhorn.cli.trash import total_words
from alpenhorn.listings import storage, trash
from alpenhorn.listings.stats import fullness, of_nodes
from alpenhorn.model.nodes import GIB, MARKER
from alpenhorn.reasons import code_in_json
from alpenhorn.scan import inodes, names

IMPORTS = (
    column("id"),
    column("path", "Path", cell=lambda row: "(initialisation)" if row.path == MARKER else row.path),
    flag("recurse", "Directory"),
    flag("register", "New files"),
    time("timestamp", "Requested"),
    column("error", "Last error"),
    column("code", value=lambda row: code_in_json(row.error)),
)
TRANSFERS = (column("group", "Into group"), *PENDING)
TRASH = (number("files"), size("size_b"), number("asked"), time("oldest"))
GROUP_ACTIONS = (column("group", "Group"), *ACTIONS)


@click.command()
@click.argument("name", type=NODE, metavar="NODE")
@click.option("--actions", is_flag=True, help="Show the rules of the node.")
@click.option("-a", "--all", "all_", is_flag=True, help="Show everything.")
@click.option("--imports", is_flag=True, help="Show the pending import requests.")
@click.option(
    "--stats", "with_stats", is_flag=True, help="Show the number and size of the files on the node."
)
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
    """\b
    Example:
      alpenhorn node show archive1 --all
    """
    index = app.index
    found = names.node(index, name)
    (row,) = storage.nodes(index, node_id=found.id)
    few = inodes.load(index, {row.id: row.avail_gb_last_checked}).get(row.id)
    trashed = trash.of_node(index, row.id)
    counted = of_nodes(index, [row.id])[row.id] if with_stats or all_ else None
    requests = storage.pending_imports(index, row.id) if imports or all_ else None
    pending = storage.pending_transfers(index, node_id=row.id) if transfers or all_ else None
    actions_ = storage.actions(index, node_id=row.id) if actions or all_ else None
    if as_json:
        document = {**node_document(NodeLine(row, counted)), "free_inodes": few, "trash": None}
        if trashed is not None:
            document["trash"] = columns.document(TRASH, trashed)
        if requests is not None:
            document["imports"] = columns.documents(IMPORTS, requests)
        if pending is not None:
            document["transfers"] = columns.documents(TRANSFERS, pending)
        if actions_ is not None:
            document["actions"] = columns.documents(GROUP_ACTIONS, actions_)
        output.document(document)
        return
    _print_node(row, few, trashed)
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
        output.heading("Pending import requests:")
        columns.table(IMPORTS, requests, empty="  none")
    if pending is not None:
        output.heading("Pending requests from the node:")
        columns.table(TRANSFERS, pending, empty="  none")
    if actions_ is not None:
        output.heading("Rules:")
        columns.table(GROUP_ACTIONS, actions_, empty="  none")


def _print_node(row: storage.NodeRow, free_inodes: int | None, trashed: trash.TrashTotal | None) -> None:
    output.fields(
        (
            ("Node", row.name),
            ("Group", row.group),
            ("Host", row.host),
            ("Address", row.address),
            ("User", row.username),
            ("Site", row.site),
            ("Root", row.root),
            ("Active", output.yes_no(row.active)),
            ("Retired", "yes" if row.retired else None),
            ("Archive", output.yes_no(row.archive)),
            ("Class", row.io_class or "Default"),
            ("Auto-import", "on" if row.auto_import else "off"),
            ("Files at the top", f"moved into {row.top_acq}" if row.top_acq else "not imported"),
            ("Auto-verify", f"{row.auto_verify} copies a run" if row.auto_verify else "off"),
            ("May be absent", formats.count(row.absent_ok, "day") if row.absent_ok else "no"),
            ("Max total", output.size(gib_bytes(row.max_total_gb))),
            ("Min avail", output.size(row.min_avail_gb * GIB) if row.min_avail_gb else None),
            ("Available", output.size(gib_bytes(row.avail_gb))),
            ("Free inodes", free_inodes),
            ("Last checked", output.zoned(row.avail_gb_last_checked)),
            *((("In the trash", total_words(trashed)),) if trashed is not None else ()),
            ("Notes", row.notes),
        )
    )
    print_settings(row.io_config)
