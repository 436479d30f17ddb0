"""`alpenhorn acq list`."""

from __future__ import annotations

import click

from alpenhorn.cli import columns
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.columns import Format, column, format_option, limit_option, number, size
from alpenhorn.cli.complete import GROUP, NODE
from alpenhorn.cli.long_work import until_first_row
from alpenhorn.cli.options import at_most_one
from alpenhorn.listings import acqs as listing_acqs
from alpenhorn.scan import names

COLUMNS = (column("name", "Name"), number("files", "Files"), size("size_b", "Size", "bytes"))


@click.command()
@click.option("--group", type=GROUP, metavar="GROUP", help="Only acquisitions and files in GROUP.")
@click.option("--node", type=NODE, metavar="NODE", help="Only acquisitions and files on NODE.")
@limit_option()
@format_option
@pass_app
def list_(app: App, group: str | None, node: str | None, limit: int | None, form: Format) -> None:
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
    shown = until_first_row(app, "Listing acquisitions", rows)
    columns.show(form, COLUMNS, shown, empty="No acquisitions.", limit=limit)
