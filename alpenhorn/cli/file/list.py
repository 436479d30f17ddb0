"""`alpenhorn file list`."""

from __future__ import annotations

from collections.abc import Sequence

import click

from alpenhorn.cli import columns, output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.columns import Format, column, format_option, limit_option
from alpenhorn.cli.complete import GROUP, NODE
from alpenhorn.cli.files import FILE_COLUMNS, chosen_states, file_filter, ids, place_options, state_options
from alpenhorn.cli.long_work import until_first_row
from alpenhorn.listings import files as listing
from alpenhorn.scan import names


@click.command()
@place_options
@click.option(
    "--absent-group",
    "absent_groups",
    type=GROUP,
    metavar="GROUP",
    multiple=True,
    help="Only files without a healthy copy in GROUP; may be repeated.",
)
@click.option(
    "--absent-node",
    "absent_nodes",
    type=NODE,
    metavar="NODE",
    multiple=True,
    help="Only files without a healthy copy on NODE; may be repeated.",
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
@limit_option()
@format_option
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
    limit: int | None,
    form: Format,
) -> None:
    """Without options, all files are listed.  With --node, --group, --absent-node and --absent-group, files that match
    any of these options are listed, or with --all files that match all of them.  A file is on a node or in a
    group if a healthy copy is there; with state options, if a copy in one of these states is there.

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
        absent_nodes=ids(names.nodes(index, absent_nodes)),
        absent_groups=ids(names.groups(index, absent_groups)),
        every=every,
        sync_from=names.node(index, from_).id if from_ else None,
        sync_to=names.group(index, to).id if to else None,
    )
    node_id = chosen.nodes[0] if len(chosen.nodes) == 1 and not chosen.groups else 0
    group_id = chosen.groups[0] if len(chosen.groups) == 1 and not chosen.nodes else 0
    found = listing.files(index, chosen, node_id=node_id, group_id=group_id, limit=limit)
    rows = until_first_row(app, "Listing files", found)
    if form is Format.TABLE and not details:
        output.lines(row.path for row in rows)
        return
    state = (column("state", "State"),) if node_id or group_id else ()
    space = (column("", "Space used", "space_b", output.size, right=True),) if node_id else ()
    columns.show(form, (*FILE_COLUMNS, *state, *space), rows, empty="No files.")
