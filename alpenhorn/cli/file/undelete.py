"""`alpenhorn file undelete`: ask for a deleted file back from the trash of nodes."""

from __future__ import annotations

from shlex import quote

import click

from alpenhorn.cli import output, trash
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.complete import NODE
from alpenhorn.edits import undelete as edit_undelete
from alpenhorn.errors import Refused
from alpenhorn.listings import trash as listing
from alpenhorn.listings.trash import TrashedCopy
from alpenhorn.scan import files_to_undelete, names
from alpenhorn.scan.files_to_undelete import UndeleteSelection
from alpenhorn.scan.names import FileName


@click.command()
@click.argument("path", metavar="FILE")
@click.option("-x", "--cancel", is_flag=True, help="Leave the file in the trash after all.")
@click.option("--node", "node_name", type=NODE, metavar="NODE", help="Only from the trash of NODE.")
@pass_app
def undelete(app: App, path: str, cancel: bool, node_name: str | None) -> None:
    """The next run on the host of the node moves the file back to its path, if nothing is there, and the copy is
    suspect until it has been read in full.  Files are kept in the trash for the time `sync.trash` of the
    configuration, or until room is needed.  Without --node, the file is brought back on each node that has it
    in its trash.

    \b
    Examples:
      alpenhorn file undelete 20260722T000000Z_pilot/0001.h5
      alpenhorn file undelete 20260722T000000Z_pilot/0001.h5 --node field1
    """
    index = app.index
    only = None if node_name is None else names.node(index, node_name)
    file = names.file(index, path, None if only is None else names.root(index, only))
    newest: dict[int, TrashedCopy] = {}
    for copy in listing.of_file(index, file.id, None if only is None else only.id):
        newest.setdefault(copy.node_id, copy)
    if not newest:
        where = "any node" if only is None else only.name
        raise Refused(f"{file.path}: not in the trash of {where}; nothing was changed")
    if cancel:
        _cancel(app, file, newest)
        return
    there = [copy for copy in newest.values() if copy.has_file not in (None, "N")]
    wanted = [copy for copy in newest.values() if copy.has_file in (None, "N")]
    if not wanted:
        nodes = ", ".join(copy.node for copy in there)
        raise Refused(
            f"{file.path}: {nodes} {'has' if len(there) == 1 else 'have'} a copy; nothing was changed; see: alpenhorn"
            f" file show {quote(file.path)} --nodes"
        )
    for copy in wanted:
        what = f"{file.path} from the trash of {copy.node}"
        if copy.asked is not None:
            output.line(f"Already requested: {what}.")
            continue
        parts = files_to_undelete.to_undelete(UndeleteSelection(copy.node_id, files=(file.id,)))
        if edit_undelete.request(app.index, parts, app.stamp()):
            output.line(f"Requested: {what}. {trash.next_step(copy.node, copy.host, copy.active, True)}")
        else:
            output.line(
                f"Not requested: {what}: changed by another program meanwhile; check it and try again."
            )


def _cancel(app: App, file: FileName, newest: dict[int, TrashedCopy]) -> None:
    changed = False
    for node_id, copy in newest.items():
        parts = files_to_undelete.to_cancel(UndeleteSelection(node_id, files=(file.id,)))
        if edit_undelete.cancel(app.index, parts):
            changed = True
            output.line(f"Cancelled: {file.path} stays in the trash of {copy.node}.")
    if not changed:
        output.line(f"Nobody asked for {file.path} to be brought back.")
