"""`alpenhorn node activate`."""

from __future__ import annotations

from shlex import quote

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.complete import NODE
from alpenhorn.cli.nodes import columns, host_option, note_idle, note_settings, real_roots, root_option
from alpenhorn.edits import nodes as edit_node
from alpenhorn.listings import storage
from alpenhorn.scan import names


@click.command()
@click.argument("name", type=NODE, metavar="NODE")
@host_option
@root_option
@pass_app
def activate(app: App, name: str, host: str | None, root: str | None) -> None:
    """For a disk that was moved to another host, set its new host and root in the same step.

    \b
    Example:
      alpenhorn node activate disk7 --host alp2 --root /mnt/disk7
    """
    found = names.node(app.index, name)
    values = {**columns(app, host, root=root), "active": True}
    (before,) = storage.nodes(app.index, node_id=found.id)
    real = real_roots(app, name, values, before)
    edited = edit_node.modify(app.index, found.id, values, {}, app.stamp(), real=real)
    output.line(f"Node {name} is active." if edited.changed else f"No change: node {name} is already active.")
    if before.retired:
        output.note(
            f"node {name}: is retired, so nothing is copied to it; to use it again: alpenhorn node retire {quote(name)}"
            " --cancel"
        )
    note_idle(app, found.id)
    note_settings(app, found.id)
