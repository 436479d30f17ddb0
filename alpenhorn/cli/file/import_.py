"""`alpenhorn file import`."""

from __future__ import annotations

from shlex import quote

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.complete import NODE
from alpenhorn.cli.nodes import require_files
from alpenhorn.cli.paths import path_below
from alpenhorn.edits import imports as import_requests
from alpenhorn.edits.imports import ImportRequest
from alpenhorn.scan import names


@click.command()
@click.argument("path", metavar="PATH")
@click.argument("node_name", type=NODE, metavar="NODE")
@click.option("--register-new", is_flag=True, help="Import the file even if it is not in the index.")
@pass_app
def import_(app: App, path: str, node_name: str, register_new: bool) -> None:
    """PATH is relative to the node's root, or absolute and below it.  The next run on the node's host imports
    the file.

    \b
    Example:
      alpenhorn file import 20260722T000000Z_pilot/0001.h5 field1 --register-new
    """
    node = names.node(app.index, node_name)
    require_files(app, node, "an import")
    inner = path_below(path, names.root(app.index, node), node_name)
    if not inner:
        raise click.UsageError(
            f"{path!a}: not a file; to search a whole node: alpenhorn node scan {quote(node_name)}"
        )
    request = ImportRequest(node.id, inner, recurse=False, register=register_new)
    if import_requests.file(app.index, request, app.stamp()):
        output.line(f"Requested: import of {inner} on node {node_name}.")
    else:
        output.line(f"Already requested: import of {inner} on node {node_name}.")
