"""`alpenhorn file sync`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.complete import GROUP, NODE
from alpenhorn.cli.files import state_words
from alpenhorn.cli.options import at_most_one, priority_option
from alpenhorn.cli.usage_hints import HintingCommand, RightForm
from alpenhorn.edits import requests as edit_requests
from alpenhorn.errors import Refused
from alpenhorn.listings import files as listing
from alpenhorn.listings.requests import RequestState
from alpenhorn.scan import files_to_request, names
from alpenhorn.scan.files_to_request import RequestSelection


def _right_form(surplus: Sequence[str], given: dict[str, Any]) -> RightForm | None:
    if len(surplus) > 1 or given["to"]:
        return None
    source = () if given["from_"] or given["cancel"] else ("--from", "SOURCE_NODE")
    return RightForm("the group is given with --to", (*source, "--to", surplus[0]))


@click.command(cls=HintingCommand, right_form=_right_form)
@click.argument("path", metavar="FILE")
@click.option("--cancel", is_flag=True, help="Cancel pending requests for the file instead.")
@click.option("--force", is_flag=True, help="Request the file even if the source does not have it.")
@click.option("--from", "from_", type=NODE, metavar="SOURCE_NODE", help="Node to copy from.")
@priority_option
@click.option("--to", type=GROUP, metavar="DEST_GROUP", help="Group to copy into.")
@pass_app
def sync(
    app: App, path: str, cancel: bool, force: bool, from_: str | None, priority: int, to: str | None
) -> None:
    """The file is requested from the node --from into the group --to, also if it is already requested from another
    node: the first of the requests that can be done brings the file, and the others are then cancelled.  With --cancel,
    its pending requests are cancelled: all of them, or those with the given --from and --to.

    \b
    Examples:
      alpenhorn file sync 20260722T000000Z_pilot/0001.h5 --from field1 --to offsite
      alpenhorn file sync 20260722T000000Z_pilot/0001.h5 --cancel
    """
    if not cancel and not (from_ and to):
        raise click.UsageError("give --from SOURCE_NODE and --to DEST_GROUP, or --cancel")
    at_most_one(cancel=cancel, priority=priority)
    index = app.index
    node = names.node(index, from_) if from_ else None
    group = names.group(index, to) if to else None
    file = names.file(index, path, None if node is None else names.root(index, node))
    selection = RequestSelection(
        node=None if node is None else node.id, group=None if group is None else group.id, files=(file.id,)
    )
    if cancel:
        done = edit_requests.cancel_selection(
            index, files_to_request.pending_requests(selection), app.stamp()
        )
        output.line(
            f"Cancelled {output.count(done, 'request')}." if done else "No pending requests to cancel."
        )
        return
    assert node is not None and group is not None
    now = app.stamp()
    if dict(listing.group_states(index, file.id)).get(group.name) == "Present":
        output.line(f"Nothing to request: {file.path} is already in {group.name}.")
        return
    copy = listing.copy_of(index, file.id, node.id)
    if copy is None or copy.has_file != "Y":
        if not force:
            raise Refused(
                f"{file.path}: no good copy on {node.name} ({state_words(copy)}); nothing was requested; choose another"
                " source, or use --force"
            )
        output.note(
            f"{file.path}: no good copy on {node.name} ({state_words(copy)}); requested because of --force"
        )
    earlier = [
        request
        for request in listing.transfers_of(index, file.id)
        if request.group == group.name and request.state is RequestState.PENDING
    ]
    created = edit_requests.create_for(
        index, [file.id], node.id, group.id, now, any_source=False, priority=priority
    )
    if created:
        output.line(f"Requested: {file.path} from {node.name} into {group.name}.")
    else:
        output.line(f"Already requested: {file.path} from {node.name} into {group.name}.")
    for request in earlier:
        if created or request.node == node.name:
            source = request.node or "a deleted node"
            output.line(
                f"Pending since {output.zoned(request.timestamp)}: request {request.id} from {source}; to see why:"
                f" alpenhorn request show {request.id}"
            )
