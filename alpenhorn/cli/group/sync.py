"""`alpenhorn group sync`."""

from __future__ import annotations

from typing import Any

import click

from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.complete import GROUP, NODE
from alpenhorn.cli.sync_requests import SyncOptions, request_or_cancel, sync_options
from alpenhorn.cli.usage_hints import HintingCommand


@click.command(cls=HintingCommand)
@click.argument("group_name", type=GROUP, metavar="GROUP")
@click.argument("node_name", type=NODE, metavar="NODE", required=False)
@sync_options
@pass_app
def sync(
    app: App,
    /,
    group_name: str,
    node_name: str | None,
    **options: Any,
) -> None:
    """All files that are on NODE and are neither in GROUP nor already requested from NODE into it are requested.  A
    file may be requested from several nodes: the first request that can be done brings it, and the others are then
    cancelled.  With --cancel, pending requests into GROUP are cancelled instead: those from NODE, or with --all those
    from any node.  Paths in a file list may also be absolute paths below the node's root.

    \b
    Examples:
      alpenhorn group sync offsite field1
      alpenhorn group sync offsite field1 --file-list wanted.txt --force
      alpenhorn group sync offsite --cancel --all
    """
    request_or_cancel(app, node_name, group_name, SyncOptions(**options), optional="NODE")
