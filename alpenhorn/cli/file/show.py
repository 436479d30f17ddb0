"""`alpenhorn file show`."""

from __future__ import annotations

from collections.abc import Sequence

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import App, json_option, pass_app
from alpenhorn.cli.files import copy_document, file_document
from alpenhorn.listings import files as listing
from alpenhorn.scan import names, pins


@click.command()
@click.argument("path", metavar="FILE")
@click.option("-a", "--all", "all_", is_flag=True, help="Show all of it.")
@click.option("--groups", is_flag=True, help="Show its state in the groups.")
@click.option("--nodes", is_flag=True, help="Show its copies on the nodes.")
@click.option("--transfers", is_flag=True, help="Show its copy requests.")
@json_option
@pass_app
def show(app: App, path: str, all_: bool, groups: bool, nodes: bool, transfers: bool, as_json: bool) -> None:
    """FILE is given as ACQUISITION/NAME.

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
        document = file_document(row)
        document["pins"] = [one._asdict() for one in kept]
        if states is not None:
            document["groups"] = [{"group": group, "state": state} for group, state in states]
        if copies is not None:
            document["copies"] = [copy_document(copy) for copy in copies]
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


def _print_transfers(requests: Sequence[listing.TransferRow]) -> None:
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


def _transfer_document(request: listing.TransferRow) -> dict[str, object]:
    return {
        "id": request.id,
        "node": request.node,
        "group": request.group,
        "state": request.state,
        "requested": request.timestamp,
        "started": request.started,
        "ended": request.ended,
    }
