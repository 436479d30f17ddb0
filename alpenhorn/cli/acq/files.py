"""`alpenhorn acq files`."""

from __future__ import annotations

from functools import partial

import click

from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.columns import ListOptions, column, listing_options, size
from alpenhorn.cli.complete import ACQ, GROUP, NODE
from alpenhorn.cli.long_work import until_first_row
from alpenhorn.cli.options import at_most_one
from alpenhorn.listings import acq_files
from alpenhorn.scan import names

COLUMNS = (column("name", "Name"), size("size_b", "Size"), column("md5sum", "MD5 sum"))
STATE = column("state", "State")


@click.command()
@click.argument("name", type=ACQ, metavar="ACQ")
@click.option(
    "--group", type=GROUP, metavar="GROUP", help="Only files in GROUP, with their best state there."
)
@click.option("--node", type=NODE, metavar="NODE", help="Only files on NODE, with their state there.")
@click.option(
    "--show-removed", is_flag=True, help="With --node or --group: include files removed from there."
)
@listing_options((*COLUMNS, STATE))
@pass_app
def files(
    app: App,
    name: str,
    group: str | None,
    node: str | None,
    show_removed: bool,
    listing: ListOptions,
) -> None:
    """With --node or --group, only files with a good, suspect, corrupt or missing copy there are listed.  To list the
    files of several acquisitions: `alpenhorn file list --acq PATTERN`.

    \b
    Examples:
      alpenhorn acq files 20260722T000000Z_pilot
      alpenhorn acq files 20260722T000000Z_pilot --node archive1 --show-removed
    """
    at_most_one(node=node, group=group)
    if show_removed and not (node or group):
        raise click.UsageError("--show-removed needs --node or --group")
    index = app.index
    found = names.acq(index, name)
    if node:
        rows = acq_files.on_node(index, found.id, names.node(index, node).id, show_removed)
    elif group:
        rows = acq_files.in_group(index, found.id, names.group(index, group).id, show_removed)
    else:
        rows = acq_files.files(index, found.id, limit=listing.at_most)
    shown = (*COLUMNS, *((STATE,) if node or group else ()))
    listing.show(shown, rows, "No files.", reading=partial(until_first_row, app, "Listing files"))
