"""`alpenhorn node verify`: request checks of copies, or record their states without a check."""

from __future__ import annotations

from collections.abc import Sequence
from shlex import quote
from typing import Any, NamedTuple

import click

from alpenhorn.cli import bulk, output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.bulk import BulkEdit, bulk_options, listed_files
from alpenhorn.cli.complete import NODE
from alpenhorn.cli.options import acq_option, at_most_one
from alpenhorn.edits import verify as edit_verify
from alpenhorn.model.nodes import NodeFact
from alpenhorn.scan import copies_to_check, names, topology
from alpenhorn.scan.copies_to_check import CheckSelection, RecordedState

RECORDED_AS = {
    RecordedState.HEALTHY: "good without being read, and count when runs decide what may be deleted elsewhere",
    RecordedState.CORRUPT: "corrupt",
    RecordedState.MISSING: "missing",
}


class VerifyOptions(NamedTuple):
    """The values of the options of `verify`."""

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


@click.command()
@click.argument("node_name", type=NODE, metavar="NODE")
@acq_option
@click.option(
    "-a",
    "--all",
    "all_",
    is_flag=True,
    help="Corrupt, good and missing copies.",
)
@click.option("--cancel", is_flag=True, help="Cancel checks, and record suspect copies without reading them.")
@click.option(
    "--corrupt", is_flag=True, help="Corrupt copies; with --cancel: record copies as corrupt (default)."
)
@bulk_options
@click.option("--healthy", is_flag=True, help="Good copies; with --cancel: record copies as good.")
@click.option("--missing", is_flag=True, help="Missing copies; with --cancel: record copies as missing.")
@pass_app
def verify(app: App, /, node_name: str, **options: Any) -> None:
    """The next runs read the copies in full; until then the copies are suspect and do not count as good.  By default
    corrupt and missing copies are checked; state options choose others, and may be combined.  Released copies
    are never checked.  With --cancel, all suspect copies, except those that a run is deleting, are recorded
    as corrupt, or in the state given by an option, without a check.

    \b
    Examples:
      alpenhorn node verify archive1
      alpenhorn node verify archive1 --all --acq 20260722T000000Z_pilot --check
      alpenhorn node verify archive1 --cancel --healthy --file-list seen.txt
    """
    given = VerifyOptions(**options)
    at_most_one(cancel=given.cancel, all=given.all_)
    if given.cancel:
        at_most_one(corrupt=given.corrupt, healthy=given.healthy, missing=given.missing)
    index = app.index
    named = names.node(index, node_name)
    node = topology.load(index).nodes[named.id]
    selection = CheckSelection(
        node.id,
        given.states or frozenset({RecordedState.CORRUPT, RecordedState.MISSING}),
        tuple(acq.id for acq in names.acqs(index, given.acqs)),
        listed_files(app, given.file_list, named),
    )
    if given.cancel:
        (state,) = given.states or {RecordedState.CORRUPT}
        _cancel(app, node, selection, state, given)
    else:
        _request(app, node, selection, given)


def _request(app: App, node: NodeFact, selection: CheckSelection, options: VerifyOptions) -> None:
    kinds = _or([state.name.lower() for state in RecordedState if state in selection.states])
    warning = "; until then they do not count as good" if RecordedState.HEALTHY in selection.states else ""
    good = f" To read the good ones: alpenhorn node verify {quote(node.name)} --healthy"
    hint = "" if RecordedState.HEALTHY in selection.states else good
    mark = BulkEdit(
        copies_to_check.to_check(selection),
        "c.id",
        counting=f"{kinds} copies on {node.name}",
        nothing=f"No {kinds} copies on {node.name} to check.{hint}",
        verb="mark",
        doing="Marking",
        subject=lambda found: f"{bulk.copies_and_size(found)} on {node.name}",
        consequence=f" to be checked{warning}",
        change=lambda parts, stamp: edit_verify.request(app.index, parts, selection, stamp),
        done=lambda copies: f"Marked {output.count(copies, 'copy', 'copies')} to be checked. {_next(node)}",
    )
    bulk.run(app, mark, options)


def _cancel(
    app: App, node: NodeFact, selection: CheckSelection, state: RecordedState, options: VerifyOptions
) -> None:
    cancel = BulkEdit(
        copies_to_check.to_cancel(selection),
        "c.id",
        counting=f"suspect copies on {node.name}",
        nothing=f"No checks on {node.name} to cancel.",
        verb="cancel",
        doing="Cancelling",
        subject=lambda found: f"the check of {bulk.copies_and_size(found)} on {node.name}",
        consequence=f", and record them as {RECORDED_AS[state]}",
        change=lambda parts, stamp: edit_verify.cancel(app.index, parts, state, stamp),
        done=lambda copies: (
            f"Cancelled the check of {output.count(copies, 'copy', 'copies')}:"
            f" {'it is' if copies == 1 else 'they are'} recorded as {state.name.lower()}."
        ),
    )
    bulk.run(app, cancel, options)


def _next(node: NodeFact) -> str:
    """Return which runs check the copies on the node, as a sentence."""
    if not node.active or node.host is None:
        return f"No run works on the node; to activate it: alpenhorn node activate {quote(node.name)}"
    return f"Runs on {node.host} check them."


def _or(words: Sequence[str]) -> str:
    """Join words: `a`, `a or b`, `a, b or c`."""
    return " or ".join([", ".join(words[:-1]), words[-1]] if words[1:] else words)
