"""`alpenhorn policy show`."""

from __future__ import annotations

import click

from alpenhorn.cli import columns, output
from alpenhorn.cli.app import App, json_option, pass_app
from alpenhorn.cli.complete import POLICY
from alpenhorn.cli.policies import COLUMNS
from alpenhorn.scan import names, policies


@click.command()
@click.argument("name", type=POLICY, metavar="POLICY")
@json_option
@pass_app
def show(app: App, name: str, as_json: bool) -> None:
    """\b
    Example:
      alpenhorn policy show raw
    """
    found = names.policy(app.index, name)
    policy = next(one for one in policies.load(app.index).every if one.id == found.id)
    if as_json:
        output.document(columns.document(COLUMNS, policy))
        return
    output.fields([(one.header, one.cell(policy)) for one in COLUMNS])
