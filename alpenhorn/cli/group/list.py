"""`alpenhorn group list`."""

from __future__ import annotations

import click

from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.columns import ListOptions, listing_options
from alpenhorn.cli.complete import GROUP
from alpenhorn.cli.storage_columns import GROUP_COLUMNS
from alpenhorn.listings import storage
from alpenhorn.scan import patterns


@click.command()
@click.argument("pattern", type=GROUP, metavar="[PATTERN]", default="*")
@listing_options(GROUP_COLUMNS)
@pass_app
def list_(app: App, pattern: str, listing: ListOptions) -> None:
    """With PATTERN, only groups whose names match it are listed, such as 'alp*'.

    \b
    Example:
      alpenhorn group list
    """
    found = storage.groups(app.index)
    rows = [row for row in found if patterns.matches(pattern, row.name)]
    empty = "No such groups." if found else "No groups; to create one: alpenhorn group create NAME"
    listing.show(GROUP_COLUMNS, rows, empty)
