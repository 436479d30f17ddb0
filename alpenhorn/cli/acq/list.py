"""`alpenhorn acq list`."""

from __future__ import annotations

import click

from alpenhorn.cli import columns
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.columns import (
    Format,
    Sorting,
    column,
    format_option,
    limit_option,
    number,
    size,
    sort_option,
)
from alpenhorn.cli.complete import ACQ, GROUP, NODE
from alpenhorn.cli.long_work import until_first_row
from alpenhorn.cli.options import at_most_one
from alpenhorn.listings import acqs as listing_acqs
from alpenhorn.scan import names

COLUMNS = (column("name", "Name"), number("files", "Files"), size("size_b", "Size", "bytes"))


@click.command()
@click.argument("pattern", type=ACQ, metavar="[PATTERN]", default="*")
@click.option("--group", type=GROUP, metavar="GROUP", help="Only acquisitions and files in GROUP.")
@click.option("--node", type=NODE, metavar="NODE", help="Only acquisitions and files on NODE.")
@sort_option(COLUMNS)
@limit_option()
@format_option
@pass_app
def list_(
    app: App,
    pattern: str,
    group: str | None,
    node: str | None,
    sort: Sorting | None,
    limit: int | None,
    form: Format,
) -> None:
    """With PATTERN, only acquisitions whose names match it are listed: * stands for any characters, ? for one
    character, [abc] for one of these characters.

    \b
    Examples:
      alpenhorn acq list --node archive1
      alpenhorn acq list '202607*' --sort -size_b --limit 10
    """
    at_most_one(node=node, group=group)
    rows = listing_acqs.acqs(
        app.index,
        node_id=names.node(app.index, node).id if node else None,
        group_id=names.group(app.index, group).id if group else None,
        pattern=pattern,
    )
    shown = until_first_row(app, "Listing acquisitions", rows)
    columns.show(form, COLUMNS, shown, empty="No acquisitions.", sort=sort, limit=limit)
