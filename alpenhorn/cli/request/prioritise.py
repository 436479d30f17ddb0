"""`alpenhorn request prioritise`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import click

from alpenhorn.cli import bulk, output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.arguments import PRIORITY, REQUEST_ID
from alpenhorn.cli.bulk import BulkEdit, bulk_options
from alpenhorn.cli.complete import GROUP, NODE
from alpenhorn.cli.options import acq_option
from alpenhorn.cli.sync_requests import ends, pending_edit, selected
from alpenhorn.edits import priorities
from alpenhorn.edits import requests as edit_requests
from alpenhorn.scan import names


class PriorityOptions(NamedTuple):
    """The values of the options of `prioritise`."""

    acqs: Sequence[str]
    check: bool
    file_list: str | None
    force: bool
    group: str | None
    node: str | None

    @property
    def selecting(self) -> bool:
        return any((self.acqs, self.check, self.file_list, self.force, self.group, self.node))


@click.command()
@click.argument("ids", metavar="[ID...]", nargs=-1, type=REQUEST_ID)
@click.argument("priority", metavar="PRIORITY", type=PRIORITY)
@click.option("--group", type=GROUP, metavar="GROUP", help="Pending requests into GROUP.")
@click.option("--node", type=NODE, metavar="NODE", help="Pending requests from NODE.")
@acq_option
@bulk_options
@pass_app
def prioritise(app: App, /, ids: Sequence[int], priority: int, **given: Any) -> None:
    """Requests with a larger PRIORITY are done before others; within one priority, older requests come first.  0 is
    the priority of all other requests, and a negative one is less urgent; put -- before it.  A run in progress notices
    the change.  The alpenhorn daemon ignores priorities.

    The requests are given by ID, or by --group or --node, which --acq and --file-list restrict.

    \b
    Examples:
      alpenhorn request prioritise 4711 4712 10
      alpenhorn request prioritise 5 --group offsite --acq 20260722T000000Z_pilot
      alpenhorn request prioritise --group offsite --force -- -1
    """
    options = PriorityOptions(**given)
    if ids and options.selecting:
        raise click.UsageError("give request IDs, or options that select requests, not both")
    if ids:
        _by_ids(app, list(dict.fromkeys(ids)), priority)
        return
    if options.group is None and options.node is None:
        raise click.UsageError("give request IDs, or --group or --node")
    bulk.run(app, _edit(app, options, priority), options)


def _by_ids(app: App, ids: Sequence[int], priority: int) -> None:
    edit_requests.require(app.index, ids)
    done = priorities.prioritise_selection(app.index, priorities.by_ids(ids), priority)
    output.line(f"Set the priority of {output.count(done, 'request')} to {priority}.")
    if done < len(ids):
        output.line(f"Not changed, because not pending: {output.count(len(ids) - done, 'request')}.")


def _edit(app: App, options: PriorityOptions, priority: int) -> BulkEdit:
    index = app.index
    node = None if options.node is None else names.node(index, options.node)
    group = None if options.group is None else names.group(index, options.group)
    return pending_edit(
        selected(app, node, group, options.acqs, options.file_list),
        ends(node, group),
        verb="prioritise",
        doing="Prioritising",
        consequence=f" with priority {priority}",
        change=lambda parts, _: priorities.prioritise_selection(index, parts, priority),
        done=lambda requests: f"Set the priority of {output.count(requests, 'request')} to {priority}.",
    )
