"""`alpenhorn group list`."""

from __future__ import annotations

import click

from alpenhorn.cli import columns
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.columns import Format, format_option, limit_option
from alpenhorn.cli.storage_columns import GROUP_COLUMNS
from alpenhorn.listings import storage


@click.command()
@limit_option()
@format_option
@pass_app
def list_(app: App, limit: int | None, form: Format) -> None:
    """\b
    Example:
      alpenhorn group list
    """
    columns.show(
        form,
        GROUP_COLUMNS,
        storage.groups(app.index),
        empty="No groups; to create one: alpenhorn group create NAME",
        limit=limit,
    )
