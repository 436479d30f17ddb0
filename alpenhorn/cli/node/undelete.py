"""`alpenhorn node undelete`: ask for deleted files back from the trash of a node."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import click

from alpenhorn.cli import bulk, output, trash
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.bulk import BulkEdit, bulk_options, listed_files
from alpenhorn.cli.complete import NODE
from alpenhorn.cli.files import ids
from alpenhorn.cli.options import acq_option, at_most_one
from alpenhorn.cli.times import TimeOrDuration, start
from alpenhorn.edits import undelete as edit_undelete
from alpenhorn.index.selections import Total
from alpenhorn.model.nodes import NodeFact
from alpenhorn.scan import files_to_undelete, names, topology
from alpenhorn.scan.files_to_undelete import UndeleteSelection


class UndeleteOptions(NamedTuple):
    """The values of the options of `undelete`."""

    acqs: Sequence[str]
    cancel: bool
    check: bool
    file_list: str | None
    force: bool
    since: datetime | timedelta | None


@click.command()
@click.argument("node_name", type=NODE, metavar="NODE")
@acq_option
@click.option("-x", "--cancel", is_flag=True, help="Leave files in the trash after all.")
@bulk_options
@click.option(
    "--since",
    metavar="T",
    type=TimeOrDuration(),
    help="Only files deleted since T: a date, or a date and time (in UTC, unless --local-time is given); or a duration"
    " until now, such as 7d.",
)
@pass_app
def undelete(app: App, /, node_name: str, **options: Any) -> None:
    """The next run on the host of the node moves the files back to their paths, where nothing is, and the copies are
    suspect until they have been read in full.  Files of which the node has a copy again stay in the trash.

    \b
    Examples:
      alpenhorn node undelete field1 --since 2h --dry-run
      alpenhorn node undelete field1 --acq 20260722T000000Z_pilot
    """
    given = UndeleteOptions(**options)
    at_most_one(check=given.check, force=given.force)
    named = names.node(app.index, node_name)
    node = topology.load(app.index).nodes[named.id]
    selection = UndeleteSelection(
        node.id,
        ids(names.acqs(app.index, given.acqs)),
        listed_files(app, given.file_list, named),
        start(app, given.since),
    )
    bulk.run(app, _cancel(app, node, selection) if given.cancel else _request(app, node, selection), given)


def _request(app: App, node: NodeFact, selection: UndeleteSelection) -> BulkEdit:
    step = trash.next_step(node.name, node.host, node.active)
    return BulkEdit(
        files_to_undelete.to_undelete(selection),
        "t.id",
        counting=f"files in the trash of {node.name}",
        nothing=f"No files to bring back from the trash of {node.name}.",
        verb="bring back",
        doing="Requesting",
        subject=lambda found: f"{_files_and_size(found)} from the trash of {node.name}",
        consequence=", to be read in full before they count",
        change=lambda parts, stamp: edit_undelete.request(app.index, parts, stamp),
        done=lambda files: f"Requested {output.count(files, 'file')}. {step}",
    )


def _cancel(app: App, node: NodeFact, selection: UndeleteSelection) -> BulkEdit:
    return BulkEdit(
        files_to_undelete.to_cancel(selection),
        "t.id",
        counting=f"files to be brought back on {node.name}",
        nothing=f"No files are to be brought back from the trash of {node.name}.",
        verb="leave",
        doing="Leaving",
        subject=lambda found: f"{_files_and_size(found)} in the trash of {node.name}",
        change=lambda parts, stamp: edit_undelete.cancel(app.index, parts),
        done=lambda files: f"Left {output.count(files, 'file')} in the trash.",
    )


def _files_and_size(found: Total) -> str:
    return f"{output.count(found.files, 'file')} ({bulk.total_size(found)})"
