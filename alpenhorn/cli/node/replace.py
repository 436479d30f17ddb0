"""`alpenhorn node replace`: a new disk in place of a dead one."""

from __future__ import annotations

from shlex import quote

import click

from alpenhorn import formats
from alpenhorn.cli import lost_copies, output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.complete import NODE
from alpenhorn.cli.nodes import real_roots, root_option
from alpenhorn.cli.options import check_option, confirm, force_option
from alpenhorn.cli.repair import request_repairs
from alpenhorn.coordinator.lost_media import MediumAtRoot, at_root, is_medium_of, refuse_if_there
from alpenhorn.edits import lost as edit
from alpenhorn.edits import nodes as edit_node
from alpenhorn.errors import Refused
from alpenhorn.index.connection import Index
from alpenhorn.listings import storage
from alpenhorn.model.nodes import NodeFact
from alpenhorn.scan import media, names
from alpenhorn.scan import topology as topologies


@click.command()
@click.argument("name", type=NODE, metavar="NODE")
@root_option
@check_option
@force_option
@pass_app
def replace(app: App, name: str, root: str | None, check: bool, force: bool) -> None:
    """Mount the new, empty disk at the root of the node, or name its directory with --root, and run this command on the
    host of the node.  It records all copies on the old disk as missing, requests the initialisation of the new disk,
    and requests a good copy of each wanted file from the other nodes.  The next runs do the rest.

    It is refused while the old disk is there, and if the new one belongs to another node or archive.  If the old disk
    turns up again, its copies do not count until they were checked.

    \b
    Examples:
      alpenhorn node replace archive2 --dry-run
      alpenhorn node replace archive2 --root /mnt/new
    """
    index = app.index
    found = names.node(index, name)
    node = topologies.load(index).nodes[found.id]
    _refuse_unusable(app, node, root)
    before = edit.medium_state(index, node.id)
    refuse_if_there(index, node, app.host, app.disconnect)
    new_root = root or node.root or ""
    _refuse_taken(app, node, new_root)
    amounts = lost_copies.count(app, node)
    copies = formats.count(amounts.copies.files, "copy", "copies")
    output.line(
        f"{'Would replace' if check or not force else 'To replace'}: the disk of node {name} by {new_root};"
        f" {copies} ({output.size(amounts.copies.bytes)}) on the old one are lost."
    )
    lost_copies.show_only_here(amounts)
    if check:
        return
    confirm(f"Record {copies} on {name} as lost, and use {new_root} in its place?", force)
    _use(app, node, root)
    if before is not None and root is not None:
        before = before._replace(root=root)
    output.line(f"Recorded {lost_copies.record(app, node, before, amounts)} as missing.")
    requested, left = request_repairs(app, name)
    output.line(f"Ran: alpenhorn repair --node {quote(name)} --force")
    output.line(f"Requested {formats.count(requested, 'file')} from other nodes.")
    if left:
        output.line(
            f"{formats.count(left, 'copy', 'copies')} cannot be brought back; to see why: alpenhorn repair --node"
            f" {quote(name)} --dry-run"
        )
    output.line(f"The next run on {node.host} initialises the disk, and copies the files to it.")


def _refuse_unusable(app: App, node: NodeFact, root: str | None) -> None:
    name = quote(node.name)
    if node.host != app.host:
        where = f"it is on host {node.host}" if node.host else "it is on no host"
        raise Refused(
            f"node {node.name}: {where}, and this is {app.host}; nothing was changed; run this command on the host with"
            f" the new disk, after: alpenhorn node modify {name} --host {quote(app.host)}"
        )
    if node.retired:
        raise Refused(
            f"node {node.name}: is retired; nothing was changed; first: alpenhorn node retire {name} --cancel"
        )
    if not (root or node.root):
        raise Refused(f"node {node.name}: has no root; nothing was changed; name the new one with --root DIR")


def _refuse_taken(app: App, node: NodeFact, root: str) -> None:
    """Raise Refused if the new root is not there, or belongs to another node or archive."""
    seen = at_root(root, app.disconnect)
    if seen is None:
        raise Refused(f"{root}: does not answer; nothing was changed; check its disk or file server")
    if not seen.there:
        raise Refused(
            f"{root}: no such directory; nothing was changed; mount the new disk there, or name its directory with"
            " --root DIR"
        )
    why = _why_taken(app.index, node, seen)
    if why:
        raise Refused(f"{root}: {why}; nothing was changed; use an empty disk")


def _why_taken(index: Index, node: NodeFact, seen: MediumAtRoot) -> str:
    known = media.load(index)
    if is_medium_of(index, node, seen):
        return f"is the old disk of node {node.name}"
    if seen.identity is not None and seen.identity.index_id != known.identity:
        return "is a disk of another archive"
    if seen.identity is not None:
        other = known.others(node.id).get(seen.identity.medium)
        return f"is the disk of node {other}" if other else "was a disk of this archive before"
    if seen.owner and seen.owner != node.name:
        return f"is marked as the storage of node {seen.owner}"
    return ""


def _use(app: App, node: NodeFact, root: str | None) -> None:
    """Request the initialisation of the new disk, and make the node active; print the equivalent command."""
    values = {"active": True} | ({} if root is None else {"root": root})
    (before,) = storage.nodes(app.index, node_id=node.id)
    real = real_roots(app, node.name, values, before)
    edit_node.modify(app.index, node.id, values, {}, app.stamp(), initialise=True, real=real)
    if root is None:
        output.line(f"Ran: alpenhorn node modify {quote(node.name)} --activate --init")
    else:
        output.line(f"Ran: alpenhorn node modify {quote(node.name)} --root {quote(root)} --activate --init")
