"""`alpenhorn node clean`: copies released for removal, or their releases undone.

Nothing is deleted here: runs do that, each copy when it is safe.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any, NamedTuple

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.complete import GROUP, NODE
from alpenhorn.cli.options import (
    Gib,
    acq_option,
    at_most_one,
    check_option,
    confirm,
    counted,
    file_list_option,
    force_option,
    listed,
    propose,
    some_copies,
)
from alpenhorn.cli.releases import next_step, refuse_archive
from alpenhorn.cli.waiting import Waiting, in_pieces
from alpenhorn.edits import clean as edit_clean
from alpenhorn.model.nodes import GIB, NodeFact
from alpenhorn.plan.brake import most
from alpenhorn.scan import clean_candidates, deletions, names, topology
from alpenhorn.scan.clean_candidates import Selection
from alpenhorn.scan.sync_candidates import total

LONGEST = 36500  # days


class CleanOptions(NamedTuple):
    """What was given beside the node; named as the parameters of `clean`.  `size` in GiB."""

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
@click.option("--archive-ok", is_flag=True, help="Also on an archive node.")
@click.option("-x", "--cancel", is_flag=True, help="Want released copies again that are still there.")
@check_option
@click.option(
    "-d",
    "--days",
    metavar="COUNT",
    type=click.IntRange(1, LONGEST),
    help="Only files registered more than COUNT days ago.",
)
@file_list_option
@force_option
@click.option("--include-bad", is_flag=True, help="Suspect and corrupt copies, too.")
@click.option(
    "-n",
    "--now",
    "at_once",
    is_flag=True,
    help="Have them deleted as soon as that is safe, not when room is needed.",
)
@click.option(
    "-s",
    "--size",
    metavar="SIZE",
    type=Gib(positive=True),
    help="Take files in order of registration until SIZE GiB are released, earlier releases counted in.",
)
@click.option(
    "--target",
    "targets",
    type=GROUP,
    metavar="GROUP",
    multiple=True,
    help="Only files with another good copy in GROUP; may be repeated, and then in each of them.",
)
@pass_app
def clean(app: App, /, node_name: str, **options: Any) -> None:
    """Released copies are deleted when room is needed, or with --now by the next run; only while enough good
    copies are on archive nodes, and never while they are pinned.  Without --include-bad only good copies are
    released.  --cancel undoes releases that have not been carried out.

    \b
    Examples:
      alpenhorn node clean field1 --target offsite --days 30
      alpenhorn node clean field1 --now --size 500 --check
      alpenhorn node clean field1 --cancel --acq 20260722T000000Z_pilot
    """
    wish = CleanOptions(**options)
    at_most_one(check=wish.check, force=wish.force)
    for name in ("at_once", "size", "targets", "include_bad"):
        shown = {"at_once": "now", "targets": "target"}.get(name, name)
        at_most_one(cancel=wish.cancel, **{shown: getattr(wish, name)})
    index = app.index
    named = names.node(index, node_name)
    node = topology.load(index).nodes[named.id]
    if node.archive and not (wish.cancel or wish.archive_ok):
        raise refuse_archive(node)
    selection = Selection(
        node=node.id,
        at_once=wish.at_once,
        bad=wish.include_bad,
        acqs=tuple(acq.id for acq in names.acqs(index, wish.acqs)),
        targets=tuple(target.id for target in names.groups(index, wish.targets)),
        files=listed(app, wish.file_list, named),
        before=None if wish.days is None else app.stamp() - datetime.timedelta(days=wish.days),
    )
    if wish.cancel:
        _cancel(app, node, selection, wish)
    else:
        _release(app, node, selection, wish)


def _release(app: App, node: NodeFact, selection: Selection, wish: CleanOptions) -> None:
    index = app.index
    now = index.now()
    if wish.size is not None:
        before = clean_candidates.scheduled(index, selection, now)
        wanted = int(wish.size * GIB) - before
        if wanted <= 0:
            output.line(f"Nothing to release on {node.name}: {output.size(before)} are released already.")
            return
        with Waiting(app, f"Looking for the first {output.size(wanted)} on {node.name}"):
            selection = selection._replace(cut=clean_candidates.cut(index, selection, now, wanted))
    found = counted(
        app, f"copies to release on {node.name}", clean_candidates.to_release(selection, now), "c.id"
    )
    with Waiting(app, f"Counting the pinned copies on {node.name}"):
        kept = total(index, clean_candidates.kept_by_pins(selection, now))
    if kept.files:
        output.line(f"Left out, as they are pinned: {some_copies(kept)}.")
    if not found.total.files:
        output.line(f"Nothing to release on {node.name}.")
        return
    way = f"on {node.name}, to be deleted {'as soon as that is safe' if wish.at_once else 'when room is needed'}"
    what = f"{some_copies(found.total)} {way}"
    propose("release", what, check=wish.check, force=wish.force)
    if wish.at_once:
        _tell_of_the_brake(app, node, found.total.files)
    if wish.check:
        return
    confirm(f"Release {what}?", wish.force, stdin_taken=wish.file_list == "-")
    stamp = app.stamp()
    done = in_pieces(
        app,
        f"Releasing {some_copies(found.total)} on {node.name}",
        found.pieces,
        lambda piece: edit_clean.release(index, piece, selection, stamp),
    )
    output.line(f"Released {output.count(done, 'copy', 'copies')}. {next_step(node, wish.at_once)}")


def _cancel(app: App, node: NodeFact, selection: Selection, wish: CleanOptions) -> None:
    index = app.index
    parts = clean_candidates.to_cancel(selection)
    found = counted(app, f"released copies on {node.name}", parts, "c.id")
    if not found.total.files:
        output.line(f"No released copies on {node.name} to want again.")
        return
    what = f"the release of {some_copies(found.total)} on {node.name}"
    propose("cancel", what, check=wish.check, force=wish.force)
    if wish.check:
        return
    confirm(f"Cancel {what}?", wish.force, stdin_taken=wish.file_list == "-")
    stamp = app.stamp()
    done = in_pieces(
        app, f"Cancelling {what}", found.pieces, lambda piece: edit_clean.cancel(index, piece, stamp)
    )
    output.line(f"Cancelled the release of {output.count(done, 'copy', 'copies')}.")
    for count in clean_candidates.being_deleted(index, node_id=node.id).values():
        output.note(
            f"a run is deleting {output.count(count, 'copy', 'copies')} on {node.name} at this moment"
        )


def _tell_of_the_brake(app: App, node: NodeFact, files: int) -> None:
    copies = deletions.present(app.index, node.id)
    allowed = most(copies, app.config.sync.delete_limit)
    released = sum(deletions.released(app.index, node.id).values()) + files
    if allowed is not None and released > allowed:
        output.line(
            f"With these {released} of the {copies} copies on {node.name} are released. A run deletes at most {allowed}"
            " unasked (delete_limit): if more can go, it will ask for --allow-mass-delete."
        )
