"""`alpenhorn node delete`."""

from __future__ import annotations

import click

from alpenhorn import formats
from alpenhorn.cli import output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.complete import NODE
from alpenhorn.cli.long_work import LongWork
from alpenhorn.cli.node.deactivate import note_group_waiting
from alpenhorn.cli.options import check_option, confirm, force_option
from alpenhorn.edits import node_deletion as edit
from alpenhorn.edits.node_deletion import NodeRemains
from alpenhorn.listings import storage
from alpenhorn.scan import names


@click.command()
@click.argument("name", type=NODE, metavar="NODE")
@click.option(
    "--missing-ok",
    is_flag=True,
    help="Also if copies are missing there whose files have no good copy elsewhere.",
)
@check_option
@force_option
@pass_app
def delete(app: App, name: str, missing_ok: bool, check: bool, force: bool) -> None:
    """Only an inactive node on which no copy is, or may be, can be deleted; see "alpenhorn node retire".  Its rules,
    the requests from it, and the records of copies that were on it are deleted, too.  The history keeps its name, and
    its group stays.  Nothing on its disk changes.

    \b
    Examples:
      alpenhorn node delete disk7 --dry-run
      alpenhorn node delete disk7
    """
    found = names.node(app.index, name)
    with LongWork(app, f"Looking for copies on {name}"):
        edit.refuse_used(app.index, found, missing_ok)
        remains = edit.remains(app.index, found)
    (row,) = storage.nodes(app.index, node_id=found.id)
    if not force:
        output.line(f"Would delete node {name}{_with(remains)} from the index.")
    if check:
        return
    confirm(f"Delete node {name}?", force)
    with LongWork(app, f"Deleting node {name}", changing=True) as work:
        edit.delete(app.index, found, missing_ok, app.stamp(), work.at)
    output.line(f"Deleted node {name}{_with(remains)} from the index.")
    if remains.trashed:
        files = formats.count(remains.trashed, "deleted file is", "deleted files are")
        output.note(f"node {name}: {files} still in the trash on its disk, in {row.root}/.alpenhorn/trash")
    note_group_waiting(app, row)


def _with(remains: NodeRemains) -> str:
    parts = [
        formats.count(number, *what)
        for number, *what in (
            (remains.requests, "pending request"),
            (remains.rules, "rule"),
            (remains.imports, "pending import request"),
            (remains.trashed, "file in its trash", "files in its trash"),
        )
        if number
    ]
    return f" with {', '.join(parts)}" if parts else ""
