"""`alpenhorn policy create`."""

from __future__ import annotations

from typing import Any

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.arguments import NAME
from alpenhorn.cli.policies import copies_option, edited, policy_options
from alpenhorn.edits import policies as edit_policy


@click.command()
@click.argument("name", type=NAME)
@copies_option(required=True)
@policy_options
@pass_app
def create(app: App, /, name: str, **properties: Any) -> None:
    """A policy says how many good copies on archive nodes the files of some acquisitions must have, at how many sites,
    and in which groups.  Runs request the copies that are lacking, and delete no copy that a policy needs.  All
    policies that match a file apply to it.  The policy called `default` applies to files that no other policy matches.
    Sites are set with --site of `alpenhorn host modify` and `alpenhorn node modify`.

    \b
    Examples:
      alpenhorn policy create raw --copies 3 --sites 2
      alpenhorn policy create pilot --copies 2 --acq '*_pilot' --require vault --min-age 1d
      alpenhorn policy create default --copies 2
    """
    values, lists = edited(app, **properties)
    edit_policy.create(app.index, {"name": name, "sites": 1, "min_age": 0, "priority": 0, **values}, lists)
    output.line(f"Created policy {name}.")
