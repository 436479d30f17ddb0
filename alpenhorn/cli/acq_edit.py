"""`alpenhorn acq create` and `acq files`, and the names that acquisitions and files may have."""

from __future__ import annotations

from typing import Any

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import App, json_option, pass_app
from alpenhorn.cli.complete import ACQ, GROUP, NODE
from alpenhorn.cli.options import at_most_one, fault
from alpenhorn.edits import acqs as edit_acq
from alpenhorn.errors import UnsafePath
from alpenhorn.fs.paths import check_relative
from alpenhorn.listings import acq_files as listing
from alpenhorn.plan.imports import unimportable
from alpenhorn.plan.paths import ACQ_LENGTH, NAME_LENGTH
from alpenhorn.scan import names


class PathName(click.ParamType[str]):
    """The name of a new acquisition, or of a new file in one, such as an import could have made."""

    def __init__(self, name: str, length: int) -> None:
        self.name = name
        self.length = length

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        wrong = fault(text, self.length)
        if wrong:
            self.fail(f"the name {text[:80]!a} {wrong}", param, ctx)
        try:
            check_relative(text)
        except UnsafePath as error:
            self.fail(str(error), param, ctx)
        wrong = unimportable(text, "file") if self.name == "acquisition" else unimportable("acq", text)
        if wrong:
            self.fail(f"the name {text[:80]!a} is refused: {wrong}", param, ctx)
        return text


NEW_ACQ = PathName("acquisition", ACQ_LENGTH)
NEW_FILE = PathName("file", NAME_LENGTH)


@click.command()
@click.argument("name", type=NEW_ACQ, metavar="NAME")
@pass_app
def create(app: App, name: str) -> None:
    """Create an acquisition, without files.

    NAME is a directory below a node's root, and may have slashes.  An import makes the acquisitions that it
    finds by itself.

    \b
    Example:
      alpenhorn acq create 20260722T000000Z_pilot
    """
    edit_acq.create(app.index, name)
    output.line(f"Created acquisition {name}.")


@click.command()
@click.argument("name", type=ACQ, metavar="ACQ")
@click.option("--group", type=GROUP, metavar="GROUP", help="Only files in GROUP, with the best state there.")
@click.option("--node", type=NODE, metavar="NODE", help="Only files on NODE, with the state there.")
@click.option("--show-removed", is_flag=True, help="With --node or --group: also files removed from there.")
@json_option
@pass_app
def files(
    app: App, name: str, group: str | None, node: str | None, show_removed: bool, as_json: bool
) -> None:
    """List the files of an acquisition.

    A file is on a node when a copy is there, may be, or is missing there.

    \b
    Examples:
      alpenhorn acq files 20260722T000000Z_pilot
      alpenhorn acq files 20260722T000000Z_pilot --node archive1 --show-removed
    """
    at_most_one(node=node, group=group)
    if show_removed and not (node or group):
        raise click.UsageError("--show-removed needs a place: --node or --group")
    index = app.index
    found = names.acq(index, name)
    if node:
        rows = listing.on_node(index, found.id, names.node(index, node).id, show_removed)
    elif group:
        rows = listing.in_group(index, found.id, names.group(index, group).id, show_removed)
    else:
        rows = listing.files(index, found.id)
    placed = bool(node or group)
    if as_json:
        output.documents(
            {
                "name": row.name,
                "size_b": row.size_b,
                "md5sum": row.md5sum,
                **({"state": row.state} if placed else {}),
            }
            for row in rows
        )
        return
    output.table(
        ("Name", "Size", "MD5 sum", *(("State",) if placed else ())),
        ((row.name, output.size(row.size_b), row.md5sum, *((row.state,) if placed else ())) for row in rows),
        right=("Size",),
        empty="No files.",
    )
