"""`alpenhorn request cancel`."""

from __future__ import annotations

from collections.abc import Sequence

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.arguments import REQUEST_ID
from alpenhorn.edits import requests as edit_requests


@click.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True, type=REQUEST_ID)
@pass_app
def cancel(app: App, ids: Sequence[int]) -> None:
    """\b
    Example:
      alpenhorn request cancel 4711 4712
    """
    wanted = list(dict.fromkeys(ids))
    done = edit_requests.cancel(app.index, wanted, app.stamp())
    output.line(f"Cancelled {output.count(done, 'request')}.")
    if done < len(wanted):
        output.line(f"Not changed, because not pending: {output.count(len(wanted) - done, 'request')}.")
