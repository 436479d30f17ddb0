"""`alpenhorn policy list`."""

from __future__ import annotations

import click

from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.columns import ListOptions, listing_options
from alpenhorn.cli.policies import COLUMNS, NO_POLICIES
from alpenhorn.scan import policies


@click.command()
@listing_options(COLUMNS)
@pass_app
def list_(app: App, listing: ListOptions) -> None:
    """\b
    Example:
      alpenhorn policy list
    """
    listing.show(COLUMNS, policies.load(app.index).every, NO_POLICIES)
