"""`alpenhorn node sync` and `alpenhorn group sync`: many files requested, or their requests cancelled.

The two are one command with its arguments the other way round.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.complete import GROUP, NODE
from alpenhorn.cli.options import (
    Command,
    acq_option,
    at_most_one,
    check_option,
    confirm,
    counted,
    file_list_option,
    force_option,
    listed,
    propose,
    total_size,
)
from alpenhorn.cli.waiting import in_pieces
from alpenhorn.edits import requests as edit_requests
from alpenhorn.index import selections
from alpenhorn.index.selections import SelectionPart
from alpenhorn.scan import files_to_request, names
from alpenhorn.scan.files_to_request import RequestSelection
from alpenhorn.scan.names import NamedRow


class Wish(NamedTuple):
    """What was given beside node and group; named as the parameters of `sync_options`."""

    acqs: Sequence[str]
    all_: bool
    cancel: bool
    check: bool
    file_list: str | None
    force: bool
    show_acqs: bool
    show_files: bool
    targets: Sequence[str]


def sync_options(command: Command) -> Command:
    for decorate in (
        click.option(
            "--target",
            "targets",
            type=GROUP,
            metavar="GROUP",
            multiple=True,
            help="Leave out files that are in GROUP; may be repeated.",
        ),
        click.option("--show-files", is_flag=True, help="List the files concerned."),
        click.option("--show-acqs", is_flag=True, help="List the acquisitions concerned."),
        force_option,
        file_list_option,
        check_option,
        click.option("-x", "--cancel", is_flag=True, help="Cancel pending requests."),
        click.option(
            "-a", "--all", "all_", is_flag=True, help="With --cancel: whatever is at the other end."
        ),
        acq_option,
    ):
        command = decorate(command)
    return command


@click.command("sync")
@click.argument("node_name", type=NODE, metavar="NODE")
@click.argument("group_name", type=GROUP, metavar="GROUP", required=False)
@sync_options
@pass_app
def node_sync(
    app: App,
    /,
    node_name: str,
    group_name: str | None,
    **options: Any,
) -> None:
    """Request that the files of a node be copied into a group.

    Requests every file that is on NODE and is neither in GROUP nor already requested there.  With --cancel
    pending requests from NODE into GROUP, or with --all into any group, are cancelled instead.  A path in a
    file list may also be one below the node's root.

    \b
    Examples:
      alpenhorn node sync field1 offsite
      alpenhorn node sync field1 offsite --acq 20260722T000000Z_pilot --check
      alpenhorn node sync field1 --cancel --all
    """
    wish = Wish(**options)
    if group_name is None and not wish.all_:
        raise click.UsageError("give a GROUP, or --all with --cancel")
    if group_name is not None and wish.all_:
        raise click.UsageError("--all cannot be used with a GROUP")
    _sync(app, node_name, group_name, wish)


@click.command("sync")
@click.argument("group_name", type=GROUP, metavar="GROUP")
@click.argument("node_name", type=NODE, metavar="NODE", required=False)
@sync_options
@pass_app
def group_sync(
    app: App,
    /,
    group_name: str,
    node_name: str | None,
    **options: Any,
) -> None:
    """Request that a group get the files of a node.

    Requests every file that is on NODE and is neither in GROUP nor already requested there.  With --cancel
    pending requests from NODE, or with --all from any node, into GROUP are cancelled instead.  A path in a
    file list may also be one below the node's root.

    \b
    Examples:
      alpenhorn group sync offsite field1
      alpenhorn group sync offsite field1 --file-list wanted.txt --force
      alpenhorn group sync offsite --cancel --all
    """
    wish = Wish(**options)
    if node_name is None and not wish.all_:
        raise click.UsageError("give a NODE, or --all with --cancel")
    if node_name is not None and wish.all_:
        raise click.UsageError("--all cannot be used with a NODE")
    _sync(app, node_name, group_name, wish)


def _sync(app: App, node_name: str | None, group_name: str | None, wish: Wish) -> None:
    at_most_one(check=wish.check, force=wish.force)
    at_most_one(cancel=wish.cancel, target=wish.targets)
    if wish.all_ and not wish.cancel:
        raise click.UsageError("--all is for use with --cancel")
    index = app.index
    node = None if node_name is None else names.node(index, node_name)
    group = None if group_name is None else names.group(index, group_name)
    selection = RequestSelection(
        node=None if node is None else node.id,
        group=None if group is None else group.id,
        acqs=tuple(acq.id for acq in names.acqs(index, wish.acqs)),
        targets=tuple(target.id for target in names.groups(index, wish.targets)),
        files=listed(app, wish.file_list, node),
    )
    way = _way(node, group)
    if wish.cancel:
        parts = files_to_request.pending_requests(selection)
        found = counted(app, f"pending requests {way}", parts, "r.id")
        what = f"{output.count(found.total.files, 'pending request')} ({total_size(found.total)}) {way}"
        verb, nothing = "cancel", f"No pending requests {way}."
    else:
        parts = files_to_request.new_requests(selection)
        found = counted(app, f"files to request {way}", parts, "c.id")
        what = f"{output.count(found.total.files, 'file')} ({total_size(found.total)}) {way}"
        verb, nothing = "request", f"Nothing to request {way}: every file is there, or requested already."
    if not found.total.files:
        output.line(nothing)
        return
    propose(verb, what, check=wish.check, force=wish.force)
    _show(app, parts, wish.show_acqs, wish.show_files)
    if wish.check:
        return
    confirm(f"{verb.capitalize()} {what}?", wish.force, stdin_taken=wish.file_list == "-")
    if wish.cancel:
        done = in_pieces(
            app,
            f"Cancelling {what}",
            found.pieces,
            lambda piece: edit_requests.cancel_selection(index, piece),
        )
        output.line(f"Cancelled {output.count(done, 'request')}.")
    else:
        assert node is not None and group is not None
        source, into, now = node.id, group.id, app.stamp()
        done = in_pieces(
            app,
            f"Requesting {what}",
            found.pieces,
            lambda piece: edit_requests.create(index, piece, source, into, now),
        )
        output.line(f"Requested {output.count(done, 'file')}.")


def _way(node: NamedRow | None, group: NamedRow | None) -> str:
    parts = [f"from {node.name}"] if node is not None else []
    return " ".join(parts + ([f"into {group.name}"] if group is not None else []))


def _show(app: App, parts: Sequence[SelectionPart], show_acqs: bool, show_files: bool) -> None:
    if show_acqs:
        output.table(("Acquisition", "Files"), selections.acqs(app.index, parts), right=("Files",))
    if show_files:
        output.lines(selections.paths(app.index, parts))
