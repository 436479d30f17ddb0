"""`alpenhorn node deactivate`."""

from __future__ import annotations

from shlex import quote

import click

from alpenhorn import formats
from alpenhorn.cli import output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.complete import NODE
from alpenhorn.edits import nodes as edit_node
from alpenhorn.listings import storage
from alpenhorn.scan import names


@click.command()
@click.argument("name", type=NODE, metavar="NODE")
@pass_app
def deactivate(app: App, name: str) -> None:
    """Runs do not work on an inactive node, and do not pull files from it.  Requests and rules that lead to it stay and
    wait; to take a node out of use, see "alpenhorn node retire".

    \b
    Example:
      alpenhorn node deactivate disk7
    """
    found = names.node(app.index, name)
    edited = edit_node.modify(app.index, found.id, {"active": False}, {}, app.stamp())
    output.line(
        f"Node {name} is inactive." if edited.changed else f"No change: node {name} is already inactive."
    )
    note_waiting(app, found.id)


def note_waiting(app: App, node_id: int) -> None:
    """Print a note about each thing that waits because of a node that is used no more: requests from it, and requests
    and rules into its group if no other node serves that."""
    (node,) = storage.nodes(app.index, node_id=node_id)
    outgoing = sum(one.files for one in storage.pending_transfers(app.index, node_id=node_id))
    if outgoing and not node.active:
        waits = formats.count(outgoing, "request waits", "requests wait")
        output.note(
            f"{waits} for node {node.name} as source; to cancel them: alpenhorn node sync {quote(node.name)} --all"
            " --cancel"
        )
    note_group_waiting(app, node)


def note_group_waiting(app: App, node: storage.NodeRow) -> None:
    """Print a note about requests and rules into the group of a node that is used no more, or was deleted, if no other
    node serves that."""
    others = [one for one in storage.nodes(app.index, active=True) if one.group == node.group]
    if any(one.id != node.id and not one.retired for one in others):
        return
    group = names.group(app.index, node.group)
    incoming = sum(one.files for one in storage.pending_transfers(app.index, group_id=group.id))
    if incoming:
        waits = formats.count(incoming, "request waits", "requests wait")
        output.note(
            f"{waits} for group {group.name}, which no other node serves; to cancel them: alpenhorn group sync"
            f" {quote(group.name)} --all --cancel"
        )
    for rule in storage.actions(app.index, group_id=group.id):
        if rule.autosync:
            output.note(
                f"rule {rule.node} -> {rule.group}: its requests wait until another node serves the group; to remove"
                f" it: alpenhorn group autosync {quote(rule.group)} {quote(rule.node)} --remove"
            )
