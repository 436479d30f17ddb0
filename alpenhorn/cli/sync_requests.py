"""Request many files or cancel requests, for `alpenhorn node sync` and `alpenhorn group sync`.

The two commands differ only in the order of their arguments.  `alpenhorn request prioritise` changes the pending
requests that these would cancel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple

import click

from alpenhorn.cli import bulk, output
from alpenhorn.cli.app import App, CommandFunction
from alpenhorn.cli.bulk import BulkEdit, bulk_options, listed_files
from alpenhorn.cli.complete import GROUP
from alpenhorn.cli.options import acq_option, at_most_one, priority_option
from alpenhorn.edits import requests as edit_requests
from alpenhorn.index import selections
from alpenhorn.index.selections import SelectionPart
from alpenhorn.scan import files_to_request, names
from alpenhorn.scan.files_to_request import RequestSelection
from alpenhorn.scan.names import NamedRow


class SyncOptions(NamedTuple):
    """The values of the options that `sync_options` adds."""

    acqs: Sequence[str]
    all_: bool
    cancel: bool
    check: bool
    file_list: str | None
    force: bool
    priority: int
    show_acqs: bool
    show_files: bool
    targets: Sequence[str]


def sync_options(command: CommandFunction) -> CommandFunction:
    for decorate in (
        click.option(
            "--target",
            "targets",
            type=GROUP,
            metavar="GROUP",
            multiple=True,
            help="Leave out files that are already in GROUP; may be repeated.",
        ),
        click.option("--show-files", is_flag=True, help="List the selected files."),
        click.option("--show-acqs", is_flag=True, help="List the acquisitions of the selected files."),
        bulk_options,
        priority_option,
        click.option("-x", "--cancel", is_flag=True, help="Cancel pending requests instead."),
        click.option(
            "-a",
            "--all",
            "all_",
            is_flag=True,
            help="With --cancel: requests from any node, or into any group.",
        ),
        acq_option,
    ):
        command = decorate(command)
    return command


def request_or_cancel(
    app: App, node_name: str | None, group_name: str | None, given: SyncOptions, optional: str
) -> None:
    """Carry out a command; `optional`: its argument that --all replaces, NODE or GROUP."""
    complete = node_name is not None and group_name is not None
    if not complete and not given.all_:
        raise click.UsageError(f"give {optional}, or --cancel with --all")
    if complete and given.all_:
        raise click.UsageError(f"--all cannot be used with {optional}")
    at_most_one(cancel=given.cancel, target=given.targets)
    at_most_one(cancel=given.cancel, priority=given.priority)
    if given.all_ and not given.cancel:
        raise click.UsageError("--all needs --cancel")
    index = app.index
    node = None if node_name is None else names.node(index, node_name)
    group = None if group_name is None else names.group(index, group_name)
    selection = selected(app, node, group, given.acqs, given.file_list)
    if given.cancel:
        edit = pending_edit(
            selection,
            ends(node, group),
            verb="cancel",
            doing="Cancelling",
            change=lambda parts, stamp: edit_requests.cancel_selection(index, parts, stamp),
            done=lambda requests: f"Cancelled {output.count(requests, 'request')}.",
        )
    else:
        targets = tuple(target.id for target in names.groups(index, given.targets))
        selection = files_to_request.narrowed(index, selection._replace(targets=targets))
        edit = _request(app, selection, ends(node, group), given.priority)
    bulk.run(app, edit, given, lambda found: _show(app, edit.parts, given.show_acqs, given.show_files))


def _request(app: App, selection: RequestSelection, ends: str, priority: int) -> BulkEdit:
    source, into = selection.node, selection.group
    assert source is not None and into is not None
    return BulkEdit(
        files_to_request.new_requests(selection),
        "c.id",
        counting=f"files to request {ends}",
        nothing=f"Nothing to request {ends}: all files are there or already requested; see: alpenhorn request list",
        verb="request",
        doing="Requesting",
        subject=lambda found: f"{output.count(found.files, 'file')} ({bulk.total_size(found)}) {ends}",
        change=lambda parts, stamp: edit_requests.create(app.index, parts, source, into, stamp, priority),
        done=lambda files: f"Requested {output.count(files, 'file')}.",
    )


def selected(
    app: App, node: NamedRow | None, group: NamedRow | None, acqs: Sequence[str], file_list: str | None
) -> RequestSelection:
    """Return the selection by a node, a group, acquisitions and a list of files, as far as they are given."""
    return RequestSelection(
        node=None if node is None else node.id,
        group=None if group is None else group.id,
        acqs=tuple(acq.id for acq in names.acqs(app.index, acqs)),
        files=listed_files(app, file_list, node),
    )


def pending_edit(
    selection: RequestSelection,
    ends: str,
    *,
    verb: str,
    doing: str,
    change: Callable[[Sequence[SelectionPart], datetime], int],
    done: Callable[[int], str],
    consequence: str = "",
) -> BulkEdit:
    """Return a change of the pending requests of a selection; the texts are those of BulkEdit."""
    return BulkEdit(
        files_to_request.pending_requests(selection),
        "r.id",
        counting=f"pending requests {ends}",
        nothing=f"No pending requests {ends}.",
        verb=verb,
        doing=doing,
        subject=lambda found: (
            f"{output.count(found.files, 'pending request')} ({bulk.total_size(found)}) {ends}"
        ),
        consequence=consequence,
        change=change,
        done=done,
    )


def ends(node: NamedRow | None, group: NamedRow | None) -> str:
    parts = [f"from {node.name}"] if node is not None else []
    return " ".join(parts + ([f"into {group.name}"] if group is not None else []))


def _show(app: App, parts: Sequence[SelectionPart], show_acqs: bool, show_files: bool) -> None:
    if show_acqs:
        output.table(("Acquisition", "Files"), selections.acqs(app.index, parts), right=("Files",))
    if show_files:
        output.lines(selections.paths(app.index, parts))
