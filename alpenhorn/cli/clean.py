"""`alpenhorn node clean` and `alpenhorn file clean`: copies released for removal, or wanted again.

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
from alpenhorn.cli.waiting import Waiting, in_pieces
from alpenhorn.edits import clean as edit_clean
from alpenhorn.errors import Refused
from alpenhorn.index.selections import total
from alpenhorn.listings import files as listing
from alpenhorn.listings.files import CopyRow
from alpenhorn.model.nodes import GIB, NodeFact
from alpenhorn.plan.brake import most
from alpenhorn.scan import copies_to_release, deletions, names, pins, topology
from alpenhorn.scan.copies_to_release import ReleaseSelection
from alpenhorn.scan.names import FileName

LONGEST = 36500  # days


class Wish(NamedTuple):
    """What was given beside the node; named as the parameters of `node_clean`.  `size` in GiB."""

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


@click.command("clean")
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
def node_clean(app: App, /, node_name: str, **options: Any) -> None:
    """Release copies on a node for removal.

    Released copies are deleted when room is needed, or with --now by the next run; only when there are good
    copies enough on archive nodes, and never while they are pinned.  Without --include-bad only good copies
    are released.  --cancel takes the release back.

    \b
    Examples:
      alpenhorn node clean field1 --target offsite --days 30
      alpenhorn node clean field1 --now --size 500 --check
      alpenhorn node clean field1 --cancel --acq 20260722T000000Z_pilot
    """
    wish = Wish(**options)
    at_most_one(check=wish.check, force=wish.force)
    for name in ("at_once", "size", "targets", "include_bad"):
        shown = {"at_once": "now", "targets": "target"}.get(name, name)
        at_most_one(cancel=wish.cancel, **{shown: getattr(wish, name)})
    index = app.index
    named = names.node(index, node_name)
    node = topology.load(index).nodes[named.id]
    if node.archive and not (wish.cancel or wish.archive_ok):
        raise _archive(node)
    selection = ReleaseSelection(
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


def _release(app: App, node: NodeFact, selection: ReleaseSelection, wish: Wish) -> None:
    index = app.index
    now = index.now()
    if wish.size is not None:
        before = copies_to_release.scheduled(index, selection, now)
        wanted = int(wish.size * GIB) - before
        if wanted <= 0:
            output.line(f"Nothing to release on {node.name}: {output.size(before)} are released already.")
            return
        with Waiting(app, f"Looking for the first {output.size(wanted)} on {node.name}"):
            selection = selection._replace(cut=copies_to_release.cut(index, selection, now, wanted))
    found = counted(
        app, f"copies to release on {node.name}", copies_to_release.to_release(selection, now), "c.id"
    )
    with Waiting(app, f"Counting the pinned copies on {node.name}"):
        kept = total(index, copies_to_release.kept_by_pins(selection, now))
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
    output.line(f"Released {output.count(done, 'copy', 'copies')}. {_next(node, wish.at_once)}")


def _cancel(app: App, node: NodeFact, selection: ReleaseSelection, wish: Wish) -> None:
    index = app.index
    parts = copies_to_release.to_cancel(selection)
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
    for count in copies_to_release.being_deleted(index, node_id=node.id).values():
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


@click.command("clean")
@click.argument("path", metavar="FILE")
@click.option("--archive-ok", is_flag=True, help="Also on an archive node.")
@click.option("-x", "--cancel", is_flag=True, help="Want released copies again that are still there.")
@click.option("--node", "node_name", type=NODE, metavar="NODE", help="The copy on NODE.")
@click.option(
    "-n",
    "--now",
    "at_once",
    is_flag=True,
    help="Have it deleted as soon as that is safe, not when room is needed.",
)
@pass_app
def file_clean(
    app: App, path: str, archive_ok: bool, cancel: bool, node_name: str | None, at_once: bool
) -> None:
    """Release the good copy of a file on a node for removal.

    On an archive node that takes --archive-ok.  A released copy is deleted when room is needed, or with --now
    by the next run; only when there are good copies enough on archive nodes, and never while it is pinned.
    --cancel takes the release back: on every node, or with --node on that one.

    \b
    Examples:
      alpenhorn file clean 20260722T000000Z_pilot/0001.h5 --node field1 --now
      alpenhorn file clean 20260722T000000Z_pilot/0001.h5 --cancel
    """
    at_most_one(cancel=cancel, now=at_once)
    if not (node_name or cancel):
        raise click.UsageError("give --node NODE, or --cancel")
    index = app.index
    only = None if node_name is None else names.node(index, node_name)
    file = names.file(index, path, None if only is None else names.root(index, only))
    nodes = {node.name: node for node in topology.load(index).nodes.values()}
    if only is not None and nodes[only.name].archive and not (cancel or archive_ok):
        raise _archive(nodes[only.name])
    copies = [
        copy
        for copy in listing.copies_of(index, file.id)
        if copy.has_file != "N" and copy.node in nodes and (only is None or copy.node == only.name)
    ]
    if not copies:
        raise Refused(
            f"there is no copy of {file.path}{'' if only is None else f' on {only.name}'}; nothing was changed"
        )
    if cancel:
        _cancel_one(app, file, [nodes[copy.node] for copy in copies])
    else:
        (copy,) = copies
        _release_one(app, file, copy, nodes[copy.node], at_once)


def _release_one(app: App, file: FileName, copy: CopyRow, node: NodeFact, at_once: bool) -> None:
    if copy.wants_file == "N" or (copy.wants_file == "M" and not at_once):
        output.line(f"Released already: {file.path} on {node.name}.")
        return
    why = _obstacle(app, file, copy, node)
    if not why:
        selection = ReleaseSelection(node.id, at_once, files=(file.id,))
        parts = copies_to_release.to_release(selection, app.index.now())
        if edit_clean.release(app.index, parts, selection, app.stamp()):
            output.line(f"Released: {file.path} on {node.name}. {_next(node, at_once)}")
            return
        why = "it was changed meanwhile; look at it, and try again"
    raise Refused(f"{file.path} on {node.name} is left as it is: {why}")


def _cancel_one(app: App, file: FileName, nodes: Sequence[NodeFact]) -> None:
    changed = False
    for node in nodes:
        parts = copies_to_release.to_cancel(ReleaseSelection(node.id, files=(file.id,)))
        if edit_clean.cancel(app.index, parts, app.stamp()):
            changed = True
            output.line(f"Cancelled the release of {file.path} on {node.name}.")
    if not changed:
        output.line(f"No released copy of {file.path} to want again.")
    for name in copies_to_release.being_deleted(app.index, file_id=file.id):
        output.note(f"a run is deleting {file.path} on {name} at this moment")


def _obstacle(app: App, file: FileName, copy: CopyRow, node: NodeFact) -> str:
    """Why this copy is not released; empty when it can be."""
    if copy.has_file != "Y":
        return f"it is {copy.state.lower()}; alpenhorn node clean --include-bad releases such copies, too"
    kept = pins.pinned(app.index, node.id, (file.id,)).get(file.id)
    return f"it is {kept}; see: alpenhorn file unpin" if kept else ""


def _archive(node: NodeFact) -> Refused:
    return Refused(
        f"{node.name} is an archive node; nothing was changed; to release copies on it all the same use --archive-ok"
    )


def _next(node: NodeFact, at_once: bool) -> str:
    """What becomes of a released copy on the node."""
    if not node.active or node.host is None:
        return f"Nothing is deleted before a run works on the node: alpenhorn node activate {node.name}"
    if at_once:
        return f"The next run on {node.host} deletes what is safe."
    if node.archive:
        return "On an archive node nothing is deleted for want of room; with --now it is."
    if node.min_avail_gb <= 0:
        return (
            f"Runs on {node.host} delete what is safe when room is needed, and it never is as long as the node"
            f" has no min_avail: alpenhorn node modify {node.name} --min-avail SIZE"
        )
    return f"Runs on {node.host} delete what is safe when room is needed."
