"""`alpenhorn file list`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.columns import Format, ListOptions, column, listing_options
from alpenhorn.cli.complete import GROUP, NODE
from alpenhorn.cli.files import FILE_COLUMNS, chosen_states, file_filter, ids, place_options, state_options
from alpenhorn.cli.long_work import until_first_row
from alpenhorn.listings.files import files
from alpenhorn.scan import names, patterns

STATE = column("state", "State")
SPACE = column("", "Space used", "space_b", output.size, right=True)


@click.command()
@place_options
@click.option(
    "--absent-group",
    "absent_groups",
    type=GROUP,
    metavar="GROUP",
    multiple=True,
    help="Only files without a healthy copy in GROUP, a name or a pattern; may be repeated.",
)
@click.option(
    "--absent-node",
    "absent_nodes",
    type=NODE,
    metavar="NODE",
    multiple=True,
    help="Only files without a healthy copy on NODE, a name or a pattern; may be repeated.",
)
@click.option(
    "-a",
    "--all",
    "every",
    is_flag=True,
    help="Require all of the given nodes and groups, not just one of them.",
)
@state_options
@click.option(
    "--from",
    "from_",
    type=NODE,
    metavar="SRC",
    help="With --to: only files that can be copied from node SRC.",
)
@click.option(
    "--to", type=GROUP, metavar="DEST", help="With --from: only files that group DEST does not have."
)
@click.option(
    "--details",
    is_flag=True,
    help="Show the size, MD5 sum and time of each file, and its state on a single node or group.",
)
@listing_options((*FILE_COLUMNS, STATE))
@pass_app
def list_(
    app: App,
    acqs: Sequence[str],
    nodes: Sequence[str],
    groups: Sequence[str],
    absent_groups: Sequence[str],
    absent_nodes: Sequence[str],
    every: bool,
    corrupt: bool,
    healthy: bool,
    missing: bool,
    suspect: bool,
    from_: str | None,
    to: str | None,
    details: bool,
    listing: ListOptions,
) -> None:
    """Without options, all files are listed.  With --node, --group, --absent-node and --absent-group, files that match
    any of these options are listed, or with --all files that match all of them.  A file is on a node or in a
    group if a healthy copy is there; with state options, if a copy in one of these states is there.  --wide includes
    --details.

    \b
    Examples:
      alpenhorn file list --node archive1 --corrupt
      alpenhorn file list --acq '202607*' --limit 20
      alpenhorn file list --all --node field1 --absent-group offsite
      alpenhorn file list --from field1 --to offsite --details
    """
    states = chosen_states(corrupt=corrupt, healthy=healthy, missing=missing, suspect=suspect)
    if bool(from_) != bool(to):
        raise click.UsageError("--from and --to must be used together")
    if from_ and states:
        raise click.UsageError(f"--from cannot be used with --{states[0]}")
    if every and not (nodes or groups or absent_nodes or absent_groups):
        raise click.UsageError("--all needs --node, --group, --absent-node or --absent-group")
    index = app.index
    chosen = file_filter(index, acqs, nodes, groups, states)._replace(
        absent_nodes=ids(patterns.matching(index, "node", absent_nodes)),
        absent_groups=ids(patterns.matching(index, "group", absent_groups)),
        every=every,
        sync_from=names.node(index, from_).id if from_ else None,
        sync_to=names.group(index, to).id if to else None,
    )
    node_id = chosen.nodes[0] if len(chosen.nodes) == 1 and not chosen.groups else 0
    group_id = chosen.groups[0] if len(chosen.groups) == 1 and not chosen.nodes else 0
    shown = (*FILE_COLUMNS, *((STATE,) if node_id or group_id else ()), *((SPACE,) if node_id else ()))
    rows = files(index, chosen, node_id=node_id, group_id=group_id, limit=listing.at_most)
    reading = partial(until_first_row, app, "Listing files")
    if listing.form is Format.TABLE and not (details or listing.wide):
        output.lines(row.path for row in reading(listing.pick(shown, rows)))
        return
    listing.show(shown, rows, "No files.", optional=("Space used", "Registered"), reading=reading)
