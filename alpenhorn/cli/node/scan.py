"""`alpenhorn node scan`."""

from __future__ import annotations

import click

from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.complete import NODE
from alpenhorn.cli.nodes import request_import, require_files
from alpenhorn.cli.paths import path_below
from alpenhorn.edits.imports import ImportRequest
from alpenhorn.scan import names

register_option = click.option(
    "--register-new", is_flag=True, help="Import files even if they are not in the index."
)


@click.command()
@click.argument("name", type=NODE, metavar="NODE")
@click.argument("path", metavar="PATH", default=".", required=False)
@register_option
@pass_app
def scan(app: App, name: str, path: str, register_new: bool) -> None:
    """The next run on the node's host searches it.  PATH is a directory relative to the node's root, or absolute and
    below it; without PATH, the whole node is searched.  Only files that are in the index are imported, unless
    --register-new is given.

    \b
    Example:
      alpenhorn node scan field1 20260722T000000Z_pilot --register-new
    """
    found = names.node(app.index, name)
    require_files(app, found, "a search")
    inner = path_below(path, names.root(app.index, found), name) or "."
    request = ImportRequest(found.id, inner, recurse=True, register=register_new)
    request_import(app, request, f"scan of {'node ' + name if inner == '.' else inner + ' on node ' + name}")
