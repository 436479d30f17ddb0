"""`alpenhorn host list`."""

from __future__ import annotations

import click

from alpenhorn.cli import columns
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.columns import Format, Sorting, format_option, limit_option, sort_option
from alpenhorn.cli.storage_columns import HOST_COLUMNS
from alpenhorn.listings import storage


@click.command()
@sort_option(HOST_COLUMNS)
@limit_option()
@format_option
@pass_app
def list_(app: App, sort: Sorting | None, limit: int | None, form: Format) -> None:
    """\b
    Example:
      alpenhorn host list
    """
    columns.show(
        form,
        HOST_COLUMNS,
        storage.hosts(app.index),
        empty="No hosts; to create one: alpenhorn host create NAME",
        sort=sort,
        limit=limit,
    )
