"""`alpenhorn file clean`: release a copy for removal, or undo the release."""

from __future__ import annotations

from collections.abc import Sequence
from shlex import quote

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.complete import NODE
from alpenhorn.cli.options import at_most_one
from alpenhorn.cli.releases import archive_refusal, next_step
from alpenhorn.edits import clean as edit_clean
from alpenhorn.errors import Refused
from alpenhorn.listings import files as listing
from alpenhorn.listings.files import CopyRow
from alpenhorn.model.nodes import NodeFact
from alpenhorn.scan import copies_to_release, names, pins, topology
from alpenhorn.scan.copies_to_release import ReleaseSelection
from alpenhorn.scan.names import FileName


@click.command()
@click.argument("path", metavar="FILE")
@click.option("--archive-ok", is_flag=True, help="Allow the release of copies on an archive node.")
@click.option("-x", "--cancel", is_flag=True, help="Undo releases that have not been carried out.")
@click.option("--node", "node_name", type=NODE, metavar="NODE", help="Only release or keep the copy on NODE.")
@click.option(
    "--now",
    "at_once",
    is_flag=True,
    help="Delete the copy as soon as that is safe, not only when room is needed.",
)
@pass_app
def clean(app: App, path: str, archive_ok: bool, cancel: bool, node_name: str | None, at_once: bool) -> None:
    """Only a good copy is released, and on an archive node only with --archive-ok.  A released copy is deleted when
    room is needed, or with --now by the next run, provided that enough good copies are on archive nodes and
    that it is not pinned.  --cancel undoes releases of the file on all nodes, or with --node on that node.

    \b
    Examples:
      alpenhorn file clean 20260722T000000Z_pilot/0001.h5 --node field1 --now
      alpenhorn file clean 20260722T000000Z_pilot/0001.h5 --cancel
    """
    at_most_one(cancel=cancel, now=at_once)
    if not (node_name or cancel):
        raise click.UsageError("give --node NODE, or --cancel")
    index = app.index
    only = None if node_name is None else names.node(index, node_name)
    file = names.file(index, path, None if only is None else names.root(index, only))
    nodes = {node.name: node for node in topology.load(index).nodes.values()}
    if only is not None and nodes[only.name].archive and not (cancel or archive_ok):
        raise archive_refusal(only.name)
    copies = [
        copy
        for copy in listing.copies_of(index, file.id)
        if copy.has_file != "N" and copy.node in nodes and (only is None or copy.node == only.name)
    ]
    if not copies:
        raise Refused(
            f"{file.path}: no copy{'' if only is None else f' on {only.name}'}; nothing was changed"
        )
    if cancel:
        _cancel_one(app, file, [nodes[copy.node] for copy in copies])
    else:
        (copy,) = copies
        _release_one(app, file, copy, nodes[copy.node], at_once)


def _release_one(app: App, file: FileName, copy: CopyRow, node: NodeFact, at_once: bool) -> None:
    if copy.wants_file == "N" or (copy.wants_file == "M" and not at_once):
        output.line(f"Already released: {file.path} on {node.name}.")
        return
    why = _obstacle(app, file, copy, node)
    if not why:
        selection = ReleaseSelection(node.id, at_once, files=(file.id,))
        parts = copies_to_release.to_release(selection, app.index.now())
        if edit_clean.release(app.index, parts, selection, app.stamp()):
            output.line(f"Released: {file.path} on {node.name}. {next_step(node, at_once)}")
            return
        why = "changed by another program meanwhile; check it and try again"
    raise Refused(f"{file.path} on {node.name}: not released: {why}")


def _cancel_one(app: App, file: FileName, nodes: Sequence[NodeFact]) -> None:
    changed = False
    for node in nodes:
        parts = copies_to_release.to_cancel(ReleaseSelection(node.id, files=(file.id,)))
        if edit_clean.cancel(app.index, parts, app.stamp()):
            changed = True
            output.line(f"Cancelled the release of {file.path} on {node.name}.")
    if not changed:
        output.line(f"No release of {file.path} to undo.")
    for name in copies_to_release.being_deleted(app.index, file_id=file.id):
        output.note(f"{file.path} on {name}: a run is deleting this copy now")


def _obstacle(app: App, file: FileName, copy: CopyRow, node: NodeFact) -> str:
    """Return why this copy cannot be released; empty if it can."""
    if copy.has_file != "Y":
        allowed = " --archive-ok" if node.archive else ""
        command = f"alpenhorn node clean {quote(node.name)} --include-bad{allowed}"
        return f"{copy.state.lower()}; to release such copies: {command}"
    kept = pins.pinned(app.index, node.id, (file.id,)).get(file.id)
    if not kept:
        return ""
    everywhere = any(pin.node is None for pin in pins.of_file(app.index, file.id))
    only = "" if everywhere else f" --node {quote(node.name)}"
    return f"{kept}; to remove the pin: alpenhorn file unpin {quote(file.path)}{only}"
