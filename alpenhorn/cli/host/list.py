"""`alpenhorn host list`."""

from __future__ import annotations

import click

from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.columns import ListOptions, listing_options
from alpenhorn.cli.complete import HOST
from alpenhorn.cli.storage_columns import HOST_COLUMNS
from alpenhorn.listings import storage
from alpenhorn.scan import patterns


@click.command()
@click.argument("pattern", type=HOST, metavar="[PATTERN]", default="*")
@listing_options(HOST_COLUMNS)
@pass_app
def list_(app: App, pattern: str, listing: ListOptions) -> None:
    """With PATTERN, only hosts whose names match it are listed, such as 'alp*'.

    \b
    Example:
      alpenhorn host list
    """
    found = storage.hosts(app.index)
    rows = [row for row in found if patterns.matches(pattern, row.name)]
    empty = "No such hosts." if found else "No hosts; to create one: alpenhorn host create NAME"
    listing.show(HOST_COLUMNS, rows, empty)
