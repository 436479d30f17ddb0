"""`alpenhorn node verify`: copies to be checked by runs, or taken to be in some state without a check."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.complete import NODE
from alpenhorn.cli.options import (
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
from alpenhorn.cli.waiting import in_pieces
from alpenhorn.edits import verify as edit_verify
from alpenhorn.model.nodes import NodeFact
from alpenhorn.scan import copies_to_check, names, topology
from alpenhorn.scan.copies_to_check import CheckSelection, RecordedState

TAKEN = {
    RecordedState.HEALTHY: "good without having been read, and count when runs decide what may be deleted elsewhere",
    RecordedState.CORRUPT: "corrupt",
    RecordedState.MISSING: "missing",
}


class Wish(NamedTuple):
    """What was given beside the node; named as the parameters of `node_verify`."""

    acqs: Sequence[str]
    all_: bool
    cancel: bool
    check: bool
    corrupt: bool
    file_list: str | None
    force: bool
    healthy: bool
    missing: bool

    @property
    def states(self) -> frozenset[RecordedState]:
        chosen = {
            RecordedState.HEALTHY: self.healthy or self.all_,
            RecordedState.CORRUPT: self.corrupt or self.all_,
            RecordedState.MISSING: self.missing or self.all_,
        }
        return frozenset(state for state, given in chosen.items() if given)


@click.command("verify")
@click.argument("node_name", type=NODE, metavar="NODE")
@acq_option
@click.option(
    "-a", "--all", "all_", is_flag=True, help="Copies in whatever state: --corrupt, --healthy and --missing."
)
@click.option("--cancel", is_flag=True, help="Take suspect copies to be as chosen, and check them no more.")
@check_option
@click.option("--corrupt", is_flag=True, help="Corrupt copies.  With --cancel: they are corrupt (default).")
@file_list_option
@force_option
@click.option("--healthy", is_flag=True, help="Good copies.  With --cancel: they are good.")
@click.option("--missing", is_flag=True, help="Missing copies.  With --cancel: they are missing.")
@pass_app
def node_verify(app: App, /, node_name: str, **options: Any) -> None:
    """Ask for the copies on a node to be checked.

    The next runs read them in full; until then they are suspect, and count for nothing.  Corrupt and missing
    copies are checked, or those that the options choose, which may be combined; never released ones.  --cancel
    ends the wait: all suspect copies, but those that a run is deleting, are then taken to be corrupt, or what
    the option chooses, without having been read.

    \b
    Examples:
      alpenhorn node verify archive1
      alpenhorn node verify archive1 --all --acq 20260722T000000Z_pilot --check
      alpenhorn node verify archive1 --cancel --healthy --file-list seen.txt
    """
    wish = Wish(**options)
    at_most_one(check=wish.check, force=wish.force)
    at_most_one(cancel=wish.cancel, all=wish.all_)
    if wish.cancel:
        at_most_one(corrupt=wish.corrupt, healthy=wish.healthy, missing=wish.missing)
    index = app.index
    named = names.node(index, node_name)
    node = topology.load(index).nodes[named.id]
    selection = CheckSelection(
        node.id,
        wish.states or frozenset({RecordedState.CORRUPT, RecordedState.MISSING}),
        tuple(acq.id for acq in names.acqs(index, wish.acqs)),
        listed(app, wish.file_list, named),
    )
    if wish.cancel:
        (state,) = wish.states or {RecordedState.CORRUPT}
        _cancel(app, node, selection, state, wish)
    else:
        _request(app, node, selection, wish)


def _request(app: App, node: NodeFact, selection: CheckSelection, wish: Wish) -> None:
    kinds = _or([state.name.lower() for state in RecordedState if state in selection.states])
    found = counted(app, f"{kinds} copies on {node.name}", copies_to_check.to_check(selection), "c.id")
    if not found.total.files:
        output.line(f"No {kinds} copies on {node.name} to check.")
        return
    what = f"{some_copies(found.total)} on {node.name} to be checked"
    if RecordedState.HEALTHY in selection.states:
        what += "; until then none of them counts as good"
    propose("mark", what, check=wish.check, force=wish.force)
    if wish.check:
        return
    confirm(f"Mark {what}?", wish.force, stdin_taken=wish.file_list == "-")
    stamp = app.stamp()
    done = in_pieces(
        app,
        f"Marking {some_copies(found.total)} on {node.name}",
        found.pieces,
        lambda piece: edit_verify.request(app.index, piece, selection, stamp),
    )
    output.line(f"Marked {output.count(done, 'copy', 'copies')} to be checked. {_next(node)}")


def _cancel(app: App, node: NodeFact, selection: CheckSelection, state: RecordedState, wish: Wish) -> None:
    found = counted(app, f"suspect copies on {node.name}", copies_to_check.to_cancel(selection), "c.id")
    if not found.total.files:
        output.line(f"No suspect copies on {node.name} whose check could be cancelled.")
        return
    what = f"the check of {some_copies(found.total)} on {node.name}"
    taken = f"{what}; they are then taken to be {TAKEN[state]}"
    propose("cancel", taken, check=wish.check, force=wish.force)
    if wish.check:
        return
    confirm(f"Cancel {taken}?", wish.force, stdin_taken=wish.file_list == "-")
    stamp = app.stamp()
    done = in_pieces(
        app,
        f"Cancelling {what}",
        found.pieces,
        lambda piece: edit_verify.cancel(app.index, piece, state, stamp),
    )
    output.line(
        f"Cancelled the check of {output.count(done, 'copy', 'copies')}:"
        f" {'it is' if done == 1 else 'they are'} recorded as {state.name.lower()}."
    )


def _next(node: NodeFact) -> str:
    """What becomes of the copies on the node."""
    if not node.active or node.host is None:
        return f"Nothing is checked before a run works on the node: alpenhorn node activate {node.name}"
    return f"Runs on {node.host} check them."


def _or(words: Sequence[str]) -> str:
    """`a`, `a or b`, `a, b or c`."""
    return " or ".join([", ".join(words[:-1]), words[-1]] if words[1:] else words)
