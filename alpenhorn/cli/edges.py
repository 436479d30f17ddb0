"""`alpenhorn group autosync` and `alpenhorn node autoclean`: the edges of replication by rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.complete import GROUP, NODE
from alpenhorn.edits.rules import set_flag
from alpenhorn.index.selections import SelectionPart, total
from alpenhorn.listings import storage
from alpenhorn.scan import names, rules
from alpenhorn.scan.rules import Action

CHECK = "alpenhorn rules check --apply"


class Ends(NamedTuple):
    node: storage.NodeRow
    group: names.NamedRow


@click.command()
@click.argument("group_name", type=GROUP, metavar="GROUP")
@click.argument("node_name", type=NODE, metavar="NODE")
@click.option("--remove", is_flag=True, help="Stop doing so.")
@pass_app
def autosync(app: App, group_name: str, node_name: str, remove: bool) -> None:
    """Request every new good copy on a node into a group, by itself.

    From now on a copy that is imported or pulled onto NODE is requested into GROUP, unless GROUP has the file
    or it is requested there already.  For the copies that are there already nothing happens until
    `alpenhorn rules check --apply`.

    \b
    Examples:
      alpenhorn group autosync offsite field1
      alpenhorn group autosync offsite field1 --remove
    """
    ends = _ends(app, node_name, group_name)
    way = f"from {ends.node.name} into {ends.group.name}"
    if not _set(app, ends, Action.AUTOSYNC, way, remove):
        return
    where = f"on {ends.node.name} already, and neither in {ends.group.name} nor requested there"
    _there_already(app, rules.unrequested(ends.node.id, ends.group.id), where)


@click.command()
@click.argument("node_name", type=NODE, metavar="NODE")
@click.argument("group_name", type=GROUP, metavar="GROUP")
@click.option("--remove", is_flag=True, help="Stop doing so.")
@pass_app
def autoclean(app: App, node_name: str, group_name: str, remove: bool) -> None:
    """Release a node's copies of all files that a group gets, by itself.

    From now on, when a copy in GROUP has been recorded as good, the copy on NODE is released: the next run
    removes it once that is safe.  For the copies that are there already nothing happens until
    `alpenhorn rules check --apply`.

    \b
    Examples:
      alpenhorn node autoclean field1 offsite
      alpenhorn node autoclean field1 offsite --remove
    """
    ends = _ends(app, node_name, group_name)
    way = f"of {ends.node.name} by {ends.group.name}"
    if not _set(app, ends, Action.AUTOCLEAN, way, remove):
        return
    least = app.config.sync.archive_copy_count
    safe = f"{output.count(least, 'good copy is', 'good copies are')} on other active archive nodes"
    if ends.node.archive:
        output.note(
            f"{ends.node.name} is an archive node: its copies stay until they are safe to go, when {safe}"
        )
    where = f"on {ends.node.name} already of what {ends.group.name} has"
    _there_already(app, rules.unreleased(ends.node.id, ends.group.id), where)


def _ends(app: App, node_name: str, group_name: str) -> Ends:
    node = names.node(app.index, node_name)
    group = names.group(app.index, group_name)
    (row,) = storage.nodes(app.index, node_id=node.id)
    return Ends(row, group)


def _set(app: App, ends: Ends, action: Action, way: str, remove: bool) -> bool:
    """Set or clear the flag, and say so; return whether the edge acts now."""
    changed = set_flag(app.index, ends.node.id, ends.group.id, action, not remove)
    state = "off" if remove else "on"
    if changed:
        output.line(f"{action.capitalize()} {way} is {state}.")
    else:
        output.line(f"No change: {action} {way} is {state} already.")
    return not remove


def _there_already(app: App, parts: Sequence[SelectionPart], where: str) -> None:
    """An edge acts on what becomes good from now on; say so of the copies that were before it."""
    found = total(app.index, parts)
    if found.files:
        copies = output.count(found.files, "copy", "copies")
        output.line(f"{copies} ({output.size(found.bytes)}) {where}; nothing happens to these until: {CHECK}")
