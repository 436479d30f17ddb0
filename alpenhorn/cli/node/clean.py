"""`alpenhorn node clean`: release copies for removal, or undo releases.

This command deletes nothing; runs delete released copies if that is safe.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any, NamedTuple

import click

from alpenhorn.cli import bulk, output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.arguments import Size
from alpenhorn.cli.bulk import BulkEdit, bulk_options, listed_files
from alpenhorn.cli.complete import GROUP, NODE
from alpenhorn.cli.long_work import LongWork
from alpenhorn.cli.options import acq_option, at_most_one
from alpenhorn.cli.releases import archive_refusal, next_step
from alpenhorn.edits import clean as edit_clean
from alpenhorn.index.selections import Total, total
from alpenhorn.model.nodes import GIB, NodeFact
from alpenhorn.plan.brake import most
from alpenhorn.scan import copies_to_release, deletions, names, topology
from alpenhorn.scan.copies_to_release import ReleaseSelection

LONGEST = 36500  # days


class CleanOptions(NamedTuple):
    """The values of the options of `clean`; `size` in bytes."""

    acqs: Sequence[str]
    archive_ok: bool
    cancel: bool
    check: bool
    days: int | None
    file_list: str | None
    force: bool
    include_bad: bool
    at_once: bool
    size: float | None
    targets: Sequence[str]


@click.command()
@click.argument("node_name", type=NODE, metavar="NODE")
@acq_option
@click.option("--archive-ok", is_flag=True, help="Allow the release of copies on an archive node.")
@click.option("-x", "--cancel", is_flag=True, help="Undo releases that have not been carried out.")
@click.option(
    "-d",
    "--days",
    metavar="COUNT",
    type=click.IntRange(1, LONGEST),
    help="Only copies of files registered more than COUNT days ago.",
)
@bulk_options
@click.option("--include-bad", is_flag=True, help="Include suspect and corrupt copies.")
@click.option(
    "--now",
    "at_once",
    is_flag=True,
    help="Delete the copies as soon as that is safe, not only when room is needed.",
)
@click.option(
    "-s",
    "--size",
    metavar="SIZE",
    type=Size(GIB, positive=True),
    help="Release copies of the oldest files until SIZE is released, such as 500GB or 2TiB (a plain number: GiB),"
    " including earlier releases.",
)
@click.option(
    "--target",
    "targets",
    type=GROUP,
    metavar="GROUP",
    multiple=True,
    help="Only copies of files with another good copy in GROUP; if repeated, in each GROUP.",
)
@pass_app
def clean(app: App, /, node_name: str, **options: Any) -> None:
    """Released copies are deleted when room is needed, or with --now by the next run, provided that enough good
    copies are on archive nodes and that they are not pinned.  Without --include-bad, only good copies are
    released.  --cancel undoes releases that have not been carried out.

    \b
    Examples:
      alpenhorn node clean field1 --target offsite --days 30
      alpenhorn node clean field1 --now --size 2TiB --dry-run
      alpenhorn node clean field1 --cancel --acq 20260722T000000Z_pilot
    """
    given = CleanOptions(**options)
    for name in ("at_once", "size", "targets", "include_bad"):
        shown = {"at_once": "now", "targets": "target"}.get(name, name)
        at_most_one(cancel=given.cancel, **{shown: getattr(given, name)})
    index = app.index
    named = names.node(index, node_name)
    node = topology.load(index).nodes[named.id]
    if node.archive and not (given.cancel or given.archive_ok):
        raise archive_refusal(node.name)
    selection = ReleaseSelection(
        node=node.id,
        at_once=given.at_once,
        bad=given.include_bad,
        acqs=tuple(acq.id for acq in names.acqs(index, given.acqs)),
        targets=tuple(target.id for target in names.groups(index, given.targets)),
        files=listed_files(app, given.file_list, named),
        before=None if given.days is None else app.stamp() - datetime.timedelta(days=given.days),
    )
    if given.cancel:
        _cancel(app, node, selection, given)
    else:
        _release(app, node, selection, given)


def _release(app: App, node: NodeFact, selection: ReleaseSelection, options: CleanOptions) -> None:
    index = app.index
    now = index.now()
    if options.size is not None:
        before = copies_to_release.scheduled(index, selection, now)
        wanted = int(options.size) - before
        if wanted <= 0:
            output.line(f"Nothing to release on {node.name}: {output.size(before)} are already released.")
            return
        with LongWork(app, f"Looking for the first {output.size(wanted)} on {node.name}"):
            selection = selection._replace(cut=copies_to_release.cut(index, selection, now, wanted))
    with LongWork(app, f"Counting the pinned copies on {node.name}"):
        kept = total(index, copies_to_release.kept_by_pins(selection, now))
    if kept.files:
        output.line(f"Left out because pinned: {bulk.copies_and_size(kept)}.")
    release = BulkEdit(
        copies_to_release.to_release(selection, now),
        "c.id",
        counting=f"copies to release on {node.name}",
        nothing=f"Nothing to release on {node.name}.",
        verb="release",
        doing="Releasing",
        subject=lambda found: f"{bulk.copies_and_size(found)} on {node.name}",
        consequence=f", to be deleted {'as soon as that is safe' if options.at_once else 'when room is needed'}",
        change=lambda parts, stamp: edit_clean.release(index, parts, selection, stamp),
        done=lambda copies: (
            f"Released {output.count(copies, 'copy', 'copies')}. {next_step(node, options.at_once)}"
        ),
    )
    bulk.run(
        app, release, options, lambda found: _warn_of_brake(app, node, found) if options.at_once else None
    )


def _cancel(app: App, node: NodeFact, selection: ReleaseSelection, options: CleanOptions) -> None:
    index = app.index
    cancel = BulkEdit(
        copies_to_release.to_cancel(selection),
        "c.id",
        counting=f"released copies on {node.name}",
        nothing=f"No releases on {node.name} to undo.",
        verb="cancel",
        doing="Cancelling",
        subject=lambda found: f"the release of {bulk.copies_and_size(found)} on {node.name}",
        change=lambda parts, stamp: edit_clean.cancel(index, parts, stamp),
        done=lambda copies: f"Cancelled the release of {output.count(copies, 'copy', 'copies')}.",
    )
    if bulk.run(app, cancel, options):
        for count in copies_to_release.being_deleted(index, node_id=node.id).values():
            output.note(f"node {node.name}: a run is deleting {output.count(count, 'copy', 'copies')} now")


def _warn_of_brake(app: App, node: NodeFact, found: Total) -> None:
    copies = deletions.present(app.index, node.id)
    allowed = most(copies, app.config.sync.delete_limit)
    released = sum(deletions.released(app.index, node.id).values()) + found.files
    if allowed is not None and released > allowed:
        output.line(
            f"This makes {released} released copies of {copies} on {node.name}. A run deletes at most {allowed}"
            " (delete_limit) without --allow-mass-delete."
        )
