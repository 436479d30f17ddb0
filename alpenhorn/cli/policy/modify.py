"""`alpenhorn policy modify`."""

from __future__ import annotations

from typing import Any

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.complete import POLICY
from alpenhorn.cli.policies import copies_option, edited, policy_options
from alpenhorn.edits import policies as edit_policy
from alpenhorn.scan import names


@click.command()
@click.argument("name", type=POLICY, metavar="POLICY")
@copies_option()
@policy_options
@pass_app
def modify(app: App, /, name: str, **properties: Any) -> None:
    """Properties that are not given remain unchanged.  A list replaces the earlier one; '' empties it.

    \b
    Examples:
      alpenhorn policy modify raw --copies 4
      alpenhorn policy modify pilot --group ''
    """
    found = names.policy(app.index, name)
    values, lists = edited(app, **properties)
    changed = edit_policy.modify(app.index, found.id, values, lists)
    output.line(f"Changed policy {name}." if changed else "No change.")
