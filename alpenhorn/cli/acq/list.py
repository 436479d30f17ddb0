"""`alpenhorn acq list`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import click

from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.columns import ListOptions, column, listing_options, number, size
from alpenhorn.cli.complete import ACQ, GROUP, NODE, names_option
from alpenhorn.cli.files import ids
from alpenhorn.cli.long_work import until_first_row
from alpenhorn.cli.options import at_most_one
from alpenhorn.listings import acqs
from alpenhorn.scan import patterns

COLUMNS = (column("name", "Name"), number("files", "Files"), size("size_b", "Size", "bytes"))


@click.command()
@click.argument("pattern", type=ACQ, metavar="[PATTERN]", default="*")
@names_option(GROUP, "Only acquisitions and files in GROUP, a name or a pattern")
@names_option(NODE, "Only acquisitions and files on NODE, a name or a pattern")
@listing_options(COLUMNS)
@pass_app
def list_(app: App, pattern: str, groups: Sequence[str], nodes: Sequence[str], listing: ListOptions) -> None:
    """With PATTERN, only acquisitions whose names match it are listed: * stands for any characters, ? for one
    character, [abc] for one of these characters.

    \b
    Examples:
      alpenhorn acq list --node archive1
      alpenhorn acq list '202607*' --sort -size_b --limit 10
    """
    at_most_one(node=nodes, group=groups)
    rows = acqs.acqs(
        app.index,
        nodes=ids(patterns.matching(app.index, "node", nodes)),
        groups=ids(patterns.matching(app.index, "group", groups)),
        pattern=pattern,
    )
    listing.show(
        COLUMNS, rows, "No acquisitions.", reading=partial(until_first_row, app, "Listing acquisitions")
    )
