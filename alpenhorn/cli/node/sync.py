"""`alpenhorn node sync`."""

from __future__ import annotations

from typing import Any

import click

from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.complete import GROUP, NODE
from alpenhorn.cli.sync_requests import SyncOptions, request_or_cancel, sync_options


@click.command()
@click.argument("node_name", type=NODE, metavar="NODE")
@click.argument("group_name", type=GROUP, metavar="GROUP", required=False)
@sync_options
@pass_app
def sync(
    app: App,
    /,
    node_name: str,
    group_name: str | None,
    **options: Any,
) -> None:
    """Requests every file that is on NODE and is neither in GROUP nor already requested there.  With --cancel
    pending requests from NODE into GROUP, or with --all into any group, are cancelled instead.  A path in a
    file list may also be one below the node's root.

    \b
    Examples:
      alpenhorn node sync field1 offsite
      alpenhorn node sync field1 offsite --acq 20260722T000000Z_pilot --check
      alpenhorn node sync field1 --cancel --all
    """
    given = SyncOptions(**options)
    if group_name is None and not given.all_:
        raise click.UsageError("give a GROUP, or --all with --cancel")
    if group_name is not None and given.all_:
        raise click.UsageError("--all cannot be used with a GROUP")
    request_or_cancel(app, node_name, group_name, given)
