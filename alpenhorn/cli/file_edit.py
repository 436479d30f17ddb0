"""`alpenhorn file state`, `import`, `sync` and `verify`: one file at a time."""

from __future__ import annotations

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import App, json_option, pass_app
from alpenhorn.cli.complete import GROUP, NODE
from alpenhorn.cli.options import at_most_one
from alpenhorn.cli.paths import path_below
from alpenhorn.edits import copies as edit_copy
from alpenhorn.edits import imports as import_requests
from alpenhorn.edits import requests as edit_requests
from alpenhorn.edits.imports import ImportRequest
from alpenhorn.errors import Refused
from alpenhorn.listings import files as listing
from alpenhorn.scan import files_to_request, names
from alpenhorn.scan.files_to_request import RequestSelection


@click.command()
@click.argument("path", metavar="FILE")
@click.argument("node_name", type=NODE, metavar="NODE")
@click.option(
    "--set",
    "state_",
    metavar="STATE",
    type=click.Choice(list(edit_copy.SETTINGS), case_sensitive=False),
    help=f"Record this state: {', '.join(edit_copy.SETTINGS)}.",
)
@click.option("--ready", is_flag=True, help="Record that the copy can be read at once.")
@click.option("--unready", is_flag=True, help="Record that it cannot.")
@json_option
@pass_app
def state(
    app: App, path: str, node_name: str, state_: str | None, ready: bool, unready: bool, as_json: bool
) -> None:
    """Show or correct the recorded state of a file on a node.

    The first word tells what is there: Healthy, Suspect, Corrupt, Missing, Removed, or Absent where nothing
    is recorded.  Removable, Released and Ready may follow.  --set keeps Removable, and takes Released away.
    Nothing on the node itself is touched.

    \b
    Examples:
      alpenhorn file state 20260722T000000Z_pilot/0001.h5 archive1
      alpenhorn file state 20260722T000000Z_pilot/0001.h5 archive1 --set Suspect
    """
    at_most_one(ready=ready, unready=unready)
    if ready and state_ not in (None, "Healthy"):
        raise click.UsageError(f"a copy that is {state_} cannot be ready")
    index = app.index
    node = names.node(index, node_name)
    file = names.file(index, path, names.root(index, node))
    if state_ or ready or unready:
        wanted = True if ready else False if unready else None
        changed = edit_copy.set_state(index, file.id, node.id, state_, wanted, app.stamp())
        if not as_json:
            output.line("State changed." if changed else "No change.")
            return
    copy = listing.copy_of(index, file.id, node.id)
    if as_json:
        output.document(
            {
                "path": file.path,
                "node": node.name,
                "state": "Absent" if copy is None else copy.state,
                "has_file": "N" if copy is None else copy.has_file,
                "wants_file": None if copy is None else copy.wants_file,
                "ready": copy is not None and copy.ready,
            }
        )
    else:
        output.line(_words(copy))


def _words(copy: listing.CopyRow | None) -> str:
    """What is there, and then what is to become of it."""
    if copy is None:
        return "Absent"
    if copy.has_file == "N":
        return copy.state
    words = [{"Y": "Healthy", "M": "Suspect", "X": "Corrupt"}[copy.has_file]]
    if copy.wants_file != "Y":
        words.append("Removable" if copy.wants_file == "M" else "Released")
    if copy.ready:
        words.append("Ready")
    return " ".join(words)


@click.command("import")
@click.argument("path", metavar="PATH")
@click.argument("node_name", type=NODE, metavar="NODE")
@click.option("-n", "--register-new", is_flag=True, help="Also take a file that the index does not know.")
@pass_app
def import_(app: App, path: str, node_name: str, register_new: bool) -> None:
    """Let the next run import a file that is on a node.

    PATH is relative to the node's root, or below it.

    \b
    Example:
      alpenhorn file import 20260722T000000Z_pilot/0001.h5 field1 --register-new
    """
    node = names.node(app.index, node_name)
    inner = path_below(path, names.root(app.index, node), node_name)
    if not inner:
        raise click.UsageError(
            f"{path!a} names no file; to search a whole node: alpenhorn node scan {node_name}"
        )
    request = ImportRequest(node.id, inner, recurse=False, register=register_new)
    if import_requests.file(app.index, request, app.stamp()):
        output.line(f"Requested: import of {inner} on node {node_name}.")
    else:
        output.line(f"Already requested: import of {inner} on node {node_name}; nothing was added.")


@click.command()
@click.argument("path", metavar="FILE")
@click.option("--cancel", is_flag=True, help="Cancel pending requests for the file.")
@click.option("--force", is_flag=True, help="Request it even if the source does not have it.")
@click.option("--from", "from_", type=NODE, metavar="SOURCE_NODE", help="The node to copy from.")
@click.option("--to", type=GROUP, metavar="DEST_GROUP", help="The group to copy into.")
@pass_app
def sync(app: App, path: str, cancel: bool, force: bool, from_: str | None, to: str | None) -> None:
    """Request that one file be copied from a node into a group.

    With --cancel its pending requests are cancelled: all, or those with the given --from and --to.

    \b
    Examples:
      alpenhorn file sync 20260722T000000Z_pilot/0001.h5 --from field1 --to offsite
      alpenhorn file sync 20260722T000000Z_pilot/0001.h5 --cancel
    """
    if not cancel and not (from_ and to):
        raise click.UsageError("give --from SOURCE_NODE and --to DEST_GROUP, or --cancel")
    index = app.index
    node = names.node(index, from_) if from_ else None
    group = names.group(index, to) if to else None
    file = names.file(index, path, None if node is None else names.root(index, node))
    selection = RequestSelection(
        node=None if node is None else node.id, group=None if group is None else group.id, files=(file.id,)
    )
    if cancel:
        done = edit_requests.cancel_selection(index, files_to_request.pending_requests(selection))
        output.line(
            f"Cancelled {output.count(done, 'request')}." if done else "No pending requests to cancel."
        )
        return
    assert node is not None and group is not None
    now = app.stamp()
    if dict(listing.group_states(index, file.id)).get(group.name) == "Present":
        output.line(f"Nothing to request: {file.path} is in {group.name} already.")
        return
    copy = listing.copy_of(index, file.id, node.id)
    if copy is None or copy.has_file != "Y":
        if not force:
            raise Refused(
                f"{file.path} is not on {node.name} ({_words(copy)}); nothing was requested;"
                " choose another source, or use --force"
            )
        output.note(f"{file.path} is not on {node.name} ({_words(copy)}); requested all the same")
    if edit_requests.create_for(index, [file.id], node.id, group.id, now):
        output.line(f"Requested: {file.path} from {node.name} into {group.name}.")
    else:
        output.line(f"Already requested: {file.path} into {group.name}; nothing was added.")


@click.command()
@click.argument("path", metavar="FILE")
@click.argument("node_name", type=NODE, metavar="NODE")
@pass_app
def verify(app: App, path: str, node_name: str) -> None:
    """Let the next run check a copy of a file.

    The copy counts as suspect until it has been read in full.

    \b
    Example:
      alpenhorn file verify 20260722T000000Z_pilot/0001.h5 archive1
    """
    node = names.node(app.index, node_name)
    file = names.file(app.index, path, names.root(app.index, node))
    before = edit_copy.suspect(app.index, file.id, node.id, app.stamp())
    if before == "M":
        output.line(f"Already requested: check of {file.path} on {node_name}.")
    else:
        output.line(f"Requested: check of {file.path} on {node_name}.")
