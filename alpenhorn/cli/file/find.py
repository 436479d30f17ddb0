"""`alpenhorn file find`."""

from __future__ import annotations

from collections.abc import Sequence

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import App, json_option, pass_app
from alpenhorn.cli.files import chosen_states, copy_document, file_filter, place_options, state_options
from alpenhorn.cli.options import acq_option
from alpenhorn.listings import files as listing


@click.command()
@acq_option
@place_options
@state_options
@json_option
@pass_app
def find(
    app: App,
    acqs: Sequence[str],
    nodes: Sequence[str],
    groups: Sequence[str],
    corrupt: bool,
    healthy: bool,
    missing: bool,
    suspect: bool,
    as_json: bool,
) -> None:
    """Each line is one copy: its file, node and state.  Without state options healthy copies are listed.

    \b
    Examples:
      alpenhorn file find --corrupt --missing
      alpenhorn file find --acq 20260722T000000Z_pilot --group offsite
    """
    states = chosen_states(corrupt=corrupt, healthy=healthy, missing=missing, suspect=suspect)
    rows = listing.copies(app.index, file_filter(app.index, acqs, nodes, groups, states))
    if as_json:
        output.documents({"path": row.path, **copy_document(row)} for row in rows)
        return
    output.table(
        ("File", "Node", "State", "Size"),
        ((row.path, row.node, row.state, output.size(row.size_b)) for row in rows),
        right=("Size",),
        empty="No such copies.",
    )
