"""`alpenhorn file`: files and their copies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from alpenhorn.cli import clean, file_create, file_edit, output, pin
from alpenhorn.cli.app import App, json_option, pass_app
from alpenhorn.cli.complete import GROUP, NODE
from alpenhorn.cli.options import Command, acq_option
from alpenhorn.index.connection import Index
from alpenhorn.listings import files as listing
from alpenhorn.listings.files import FileFilter
from alpenhorn.scan import names, pins


@click.group()
def file() -> None:
    """Files and their copies: create, find, import, check, copy, release and pin them."""


for _command in (
    file_create.create,
    file_create.modify,
    file_edit.state,
    file_edit.import_,
    file_edit.sync,
    file_edit.verify,
    clean.file_clean,
    pin.pin,
    pin.unpin,
):
    file.add_command(_command)


def state_options(command: Command) -> Command:
    for state in ("suspect", "missing", "healthy", "corrupt"):
        command = click.option(f"--{state}", is_flag=True, help=f"Choose {state} copies.")(command)
    return command


def place_options(command: Command) -> Command:
    command = click.option(
        "--node", "nodes", type=NODE, metavar="NODE", multiple=True, help="On NODE; may be repeated."
    )(command)
    return click.option(
        "--group", "groups", type=GROUP, metavar="GROUP", multiple=True, help="In GROUP; may be repeated."
    )(command)


def _states(**flags: bool) -> tuple[str, ...]:
    return tuple(state for state, given in flags.items() if given)


def _ids(found: Sequence[names.NamedRow]) -> tuple[int, ...]:
    return tuple(row.id for row in found)


def _filter(
    index: Index, acqs: Sequence[str], nodes: Sequence[str], groups: Sequence[str], states: tuple[str, ...]
) -> FileFilter:
    return FileFilter(
        acqs=_ids(names.acqs(index, acqs)),
        nodes=_ids(names.nodes(index, nodes)),
        groups=_ids(names.groups(index, groups)),
        states=states,
    )


@file.command("list")
@acq_option
@place_options
@click.option(
    "--absent-group",
    "absent_groups",
    type=GROUP,
    metavar="GROUP",
    multiple=True,
    help="Without a healthy copy in GROUP; may be repeated.",
)
@click.option(
    "--absent-node",
    "absent_nodes",
    type=NODE,
    metavar="NODE",
    multiple=True,
    help="Without a healthy copy on NODE; may be repeated.",
)
@click.option("-a", "--all", "every", is_flag=True, help="All places must fit, not just one of them.")
@state_options
@click.option(
    "--from", "from_", type=NODE, metavar="SRC", help="With --to: files that can be copied from node SRC."
)
@click.option("--to", type=GROUP, metavar="DEST", help="With --from: files that group DEST does not have.")
@click.option(
    "--details", is_flag=True, help="Show size, MD5 sum and time, and the state on a single node or group."
)
@json_option
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
    as_json: bool,
) -> None:
    """List files by where they are.

    Without options all files are listed.  With places (--node, --group, --absent-node, --absent-group) those
    that fit any of them, or with --all all of them.  A file is on a node or in a group when a healthy copy
    is there; with state options, a copy in one of these states.

    \b
    Examples:
      alpenhorn file list --node archive1 --corrupt
      alpenhorn file list --all --node field1 --absent-group offsite
      alpenhorn file list --from field1 --to offsite --details
    """
    states = _states(corrupt=corrupt, healthy=healthy, missing=missing, suspect=suspect)
    if bool(from_) != bool(to):
        raise click.UsageError("--from and --to go together")
    if from_ and states:
        raise click.UsageError(f"--from cannot be used with --{states[0]}")
    if every and not (nodes or groups or absent_nodes or absent_groups):
        raise click.UsageError("--all needs a place: --node, --group, --absent-node or --absent-group")
    index = app.index
    chosen = _filter(index, acqs, nodes, groups, states)._replace(
        absent_nodes=_ids(names.nodes(index, absent_nodes)),
        absent_groups=_ids(names.groups(index, absent_groups)),
        every=every,
        sync_from=names.node(index, from_).id if from_ else None,
        sync_to=names.group(index, to).id if to else None,
    )
    node_id = chosen.nodes[0] if len(chosen.nodes) == 1 and not chosen.groups else 0
    group_id = chosen.groups[0] if len(chosen.groups) == 1 and not chosen.nodes else 0
    rows = listing.files(index, chosen, node_id=node_id, group_id=group_id)
    if as_json:
        output.documents(_file_document(row) for row in rows)
    elif details:
        _print_details(rows, bool(node_id), bool(group_id))
    else:
        output.lines(row.path for row in rows)


def _print_details(rows: Iterator[listing.FileRow], on_node: bool, in_group: bool) -> None:
    headers = ["File", "Size", "MD5 sum", "Registered"]
    if on_node or in_group:
        headers.append("State")
    if on_node:
        headers.append("Space used")
    output.table(
        headers,
        (
            (
                row.path,
                output.size(row.size_b),
                row.md5sum,
                output.time(row.registered),
                *((row.state,) if on_node or in_group else ()),
                *((output.size(row.space_b),) if on_node else ()),
            )
            for row in rows
        ),
        right=("Size", "Space used"),
        empty="No files.",
    )


def _file_document(row: listing.FileRow) -> dict[str, object]:
    document: dict[str, object] = {
        "path": row.path,
        "acq": row.acq,
        "name": row.name,
        "size_b": row.size_b,
        "md5sum": row.md5sum,
        "registered": row.registered,
    }
    if row.state is not None:
        document["state"] = row.state
    return document


@file.command()
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
    """List copies: which file is on which node, in which state.

    Without state options the healthy ones.

    \b
    Examples:
      alpenhorn file find --corrupt --missing
      alpenhorn file find --acq 20260722T000000Z_pilot --group offsite
    """
    states = _states(corrupt=corrupt, healthy=healthy, missing=missing, suspect=suspect)
    rows = listing.copies(app.index, _filter(app.index, acqs, nodes, groups, states))
    if as_json:
        output.documents({"path": row.path, **_copy_document(row)} for row in rows)
        return
    output.table(
        ("File", "Node", "State", "Size"),
        ((row.path, row.node, row.state, output.size(row.size_b)) for row in rows),
        right=("Size",),
        empty="No such copies.",
    )


@file.command()
@click.argument("path", metavar="FILE")
@click.option("-a", "--all", "all_", is_flag=True, help="Show all of it.")
@click.option("--groups", is_flag=True, help="Show its state in the groups.")
@click.option("--nodes", is_flag=True, help="Show its copies on the nodes.")
@click.option("--transfers", is_flag=True, help="Show its copy requests.")
@json_option
@pass_app
def show(app: App, path: str, all_: bool, groups: bool, nodes: bool, transfers: bool, as_json: bool) -> None:
    """Show a file, given as ACQUISITION/NAME.

    \b
    Example:
      alpenhorn file show 20260722T000000Z_pilot/0001.h5 --all
    """
    index = app.index
    found = names.file(index, path)
    row = listing.details(index, found.id)
    states = listing.group_states(index, found.id) if groups or all_ else None
    copies = listing.copies_of(index, found.id) if nodes or all_ else None
    requests = listing.transfers_of(index, found.id) if transfers or all_ else None
    kept = pins.of_file(index, found.id)
    if as_json:
        document = _file_document(row)
        document["pins"] = [one._asdict() for one in kept]
        if states is not None:
            document["groups"] = [{"group": group, "state": state} for group, state in states]
        if copies is not None:
            document["copies"] = [_copy_document(copy) for copy in copies]
        if requests is not None:
            document["transfers"] = [_transfer_document(request) for request in requests]
        output.document(document)
        return
    output.fields(
        (
            ("Path", row.path),
            ("Acquisition", row.acq),
            ("Name", row.name),
            ("Size", output.size(row.size_b)),
            ("Bytes", row.size_b),
            ("MD5 sum", row.md5sum),
            ("Registered", output.time(row.registered)),
            *((f"Kept on {one.node or 'every node'}", pins.words(one.reason, one.until)) for one in kept),
        )
    )
    if states is not None:
        output.heading("In groups:")
        output.table(("Group", "State"), states, empty="  none")
    if copies is not None:
        output.heading("Copies:")
        output.table(
            ("Node", "Group", "State", "Space used", "Last update"),
            (
                (copy.node, copy.group, copy.state, output.size(copy.space_b), output.time(copy.last_update))
                for copy in copies
            ),
            right=("Space used",),
            empty="  none",
        )
    if requests is not None:
        _print_transfers(requests)


def _print_transfers(requests: Sequence[listing.FileRequestRow]) -> None:
    output.heading("Copy requests:")
    output.table(
        ("ID", "From node", "Into group", "State", "Requested", "Started", "Done"),
        (
            (
                request.id,
                request.node,
                request.group,
                request.state,
                output.time(request.timestamp),
                output.time(request.started),
                output.time(request.ended),
            )
            for request in requests
        ),
        right=("ID",),
        empty="  none",
    )


def _transfer_document(request: listing.FileRequestRow) -> dict[str, object]:
    return {
        "id": request.id,
        "node": request.node,
        "group": request.group,
        "state": request.state,
        "requested": request.timestamp,
        "started": request.started,
        "ended": request.ended,
    }


def _copy_document(copy: listing.CopyRow) -> dict[str, object]:
    return {
        "node": copy.node,
        "group": copy.group,
        "state": copy.state,
        "has_file": copy.has_file,
        "wants_file": copy.wants_file,
        "ready": copy.ready,
        "size_b": copy.size_b,
        "space_b": copy.space_b,
        "last_update": copy.last_update,
    }
