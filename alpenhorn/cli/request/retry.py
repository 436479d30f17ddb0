"""`alpenhorn request retry`."""

from __future__ import annotations

from collections.abc import Sequence

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.arguments import REQUEST_ID
from alpenhorn.edits import requests as edit_requests
from alpenhorn.record import backoff


@click.command()
@click.argument("ids", metavar="[ID...]", nargs=-1, type=REQUEST_ID)
@click.option("--all", "all_", is_flag=True, help="Retry all failing requests.")
@pass_app
def retry(app: App, ids: Sequence[int], all_: bool) -> None:
    """The delays of the requests are cleared, and so are the delays of the hosts and nodes that they wait for.

    \b
    Examples:
      alpenhorn request retry 4711
      alpenhorn request retry --all
    """
    if bool(ids) == all_:
        raise click.UsageError("give request IDs, or --all")
    wanted = None if all_ else list(dict.fromkeys(ids))
    forgotten = edit_requests.forget_attempts(app.index, wanted)
    sources = backoff.forget(app.index, wanted)
    if sources:
        output.line(f"The next run retries {output.count(sources, 'host or node', 'hosts or nodes')}.")
    if forgotten:
        output.line(f"The next run retries {output.count(forgotten, 'request')}.")
    elif not sources:
        output.line("Nothing to retry: no failed attempts.")
