"""`alpenhorn policy delete`."""

from __future__ import annotations

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.complete import POLICY
from alpenhorn.cli.options import confirm, force_option
from alpenhorn.edits import policies as edit_policy
from alpenhorn.scan import names


@click.command()
@click.argument("name", type=POLICY, metavar="POLICY")
@force_option
@pass_app
def delete(app: App, name: str, force: bool) -> None:
    """Copies that only this policy needed may then be deleted, if they are released.  Requests that it created stay.

    \b
    Example:
      alpenhorn policy delete pilot
    """
    found = names.policy(app.index, name)
    confirm(f"Delete policy {found.name}, so that copies that only it needs may be deleted?", force)
    edit_policy.delete(app.index, found.id)
    output.line(f"Deleted policy {found.name}.")
