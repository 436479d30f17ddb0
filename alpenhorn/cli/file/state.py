"""`alpenhorn file state`."""

from __future__ import annotations

from shlex import quote

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import App, json_option, pass_app
from alpenhorn.cli.complete import NODE
from alpenhorn.cli.files import state_words
from alpenhorn.cli.options import at_most_one
from alpenhorn.cli.trash import words as trash_words
from alpenhorn.cli.usage_hints import HintingCommand
from alpenhorn.edits import copies as edit_copy
from alpenhorn.errors import Refused
from alpenhorn.listings import files as listing
from alpenhorn.listings import trash
from alpenhorn.scan import names, topology
from alpenhorn.scan.names import FileName

GONE = ("Absent", "Missing")  # states of a file that is not on the disk


@click.command(cls=HintingCommand)
@click.argument("path", metavar="FILE")
@click.argument("node_name", type=NODE, metavar="NODE")
@click.option(
    "--set",
    "state_",
    metavar="STATE",
    type=click.Choice(list(edit_copy.SETTINGS), case_sensitive=False),
    help=f"State to record: {', '.join(edit_copy.SETTINGS)}.",
)
@click.option("--force", is_flag=True, help="With --set Absent or Missing: also if the file is on the disk.")
@click.option("--ready", is_flag=True, help="Record that the copy can be read at once.")
@click.option("--unready", is_flag=True, help="Record that the copy cannot be read at once.")
@json_option
@pass_app
def state(
    app: App,
    path: str,
    node_name: str,
    state_: str | None,
    force: bool,
    ready: bool,
    unready: bool,
    as_json: bool,
) -> None:
    """The first word is the state of the copy: Healthy, Suspect, Corrupt, Missing, Removed, or Absent if no copy is
    recorded.  Removable, Released and Ready may follow.  A second line tells of a deleted file that is still in the
    trash of the node.  --set keeps Removable, and clears Released.  Only the index is changed, not the node.  On the
    host of the node, Absent and Missing are refused if the file is there.

    \b
    Examples:
      alpenhorn file state 20260722T000000Z_pilot/0001.h5 archive1
      alpenhorn file state 20260722T000000Z_pilot/0001.h5 archive1 --set Suspect
    """
    at_most_one(ready=ready, unready=unready)
    if ready and state_ not in (None, "Healthy"):
        raise click.UsageError(f"--ready cannot be used with --set {state_}")
    if force and state_ not in GONE:
        raise click.UsageError(f"--force needs --set {' or '.join(GONE)}")
    index = app.index
    node = names.node(index, node_name)
    file = names.file(index, path, names.root(index, node))
    if state_ or ready or unready:
        if state_ in GONE and not force:
            _require_gone(app, file, node)
        wanted = True if ready else False if unready else None
        changed = edit_copy.set_state(index, file, node.id, state_, wanted, app.stamp())
        if not as_json:
            output.line("State changed." if changed else "No change.")
            return
    copy = listing.copy_of(index, file.id, node.id)
    trashed = trash.of_file(index, file.id, node.id)
    if as_json:
        output.document(
            {
                "path": file.path,
                "node": node.name,
                "state": "Absent" if copy is None else copy.state,
                "has_file": "N" if copy is None else copy.has_file,
                "wants_file": None if copy is None else copy.wants_file,
                "ready": copy is not None and copy.ready,
                "in_trash": bool(trashed),
            }
        )
    else:
        output.line(state_words(copy))
        if trashed:
            output.line(f"In the trash: {trash_words(trashed[0])}")


def _require_gone(app: App, file: FileName, row: names.NamedRow) -> None:
    """Raise Refused if the file is on the disk of a node of this host, and say so if that cannot be found out."""
    node = topology.load(app.index).nodes[row.id]
    where = f"{file.path} on {node.name}"
    if node.host != app.host:
        output.note(
            f"{where}: the disk was not looked at, since it is {f'on host {node.host}' if node.host else 'on no host'}"
        )
        return
    from alpenhorn.coordinator.one_copy import is_there  # 17 ms, and only these states need it

    try:
        there = is_there(node, file.path, app.disconnect)
    except Refused as error:
        output.note(f"{where}: the disk was not looked at: {error}")
        return
    if there:
        allowed = " --archive-ok" if node.archive else ""
        raise Refused(
            f"{where}: the file is on the disk; nothing was changed; to have it deleted: alpenhorn file clean"
            f" {quote(file.path)} --node {quote(node.name)} --now{allowed}; to have it read: alpenhorn file verify"
            f" {quote(file.path)} {quote(node.name)}; to change the index anyway: --force"
        )
