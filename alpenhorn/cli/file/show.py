"""`alpenhorn file show`."""

from __future__ import annotations

import click

from alpenhorn.cli import columns, output
from alpenhorn.cli.app import App, json_option, pass_app
from alpenhorn.cli.columns import column, number, time
from alpenhorn.cli.files import COPY_COLUMNS, FILE_COLUMNS
from alpenhorn.cli.trash import words as trash_words
from alpenhorn.listings import files as listing
from alpenhorn.listings import trash
from alpenhorn.model.tape_batches import CollectState
from alpenhorn.scan import names, pins, tape_batches
from alpenhorn.scan.digests import known_sha256

TRANSFERS = (
    number("id", "ID"),
    column("node", "From node"),
    column("group", "Into group"),
    column("state", "State"),
    time("requested", "Requested", "timestamp"),
    time("started", "Started"),
    time("ended", "Done"),
)
TAPE = (
    column("node"),
    column("state"),
    column("batch"),
    time("since"),
    column("tries"),
    column("error"),
    column("code"),
)
TRASH = (
    column("node"),
    time("deleted", "Deleted"),
    time("asked", "Undelete requested"),
)


@click.command()
@click.argument("path", metavar="FILE")
@click.option("-a", "--all", "all_", is_flag=True, help="Show everything.")
@click.option("--groups", is_flag=True, help="Show the state of the file in each group.")
@click.option("--nodes", is_flag=True, help="Show the copy on each node.")
@click.option("--transfers", is_flag=True, help="Show the copy requests for the file.")
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
    trashed = trash.of_file(index, found.id)
    on_tape = tape_batches.of_file(index, found.id)
    sha256 = known_sha256(index, [found.id]).get(found.id)
    if as_json:
        document = columns.document(FILE_COLUMNS, row)
        document["sha256"] = sha256
        document["pins"] = [one._asdict() for one in kept]
        document["tape"] = columns.documents(TAPE, on_tape)
        document["trash"] = columns.documents(TRASH, trashed)
        if states is not None:
            document["groups"] = [{"group": group, "state": state} for group, state in states]
        if copies is not None:
            document["copies"] = columns.documents(COPY_COLUMNS, copies)
        if requests is not None:
            document["transfers"] = columns.documents(TRANSFERS, requests)
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
            *(("SHA-256 sum", one) for one in (sha256,) if one),
            ("Registered", output.zoned(row.registered)),
            *((f"Pinned on {one.node or 'every node'}", pins.words(one.reason, one.until)) for one in kept),
            *((f"Tape of {one.node}", _tape_words(one)) for one in on_tape),
            *((f"In the trash of {one.node}", trash_words(one)) for one in trashed),
        )
    )
    if states is not None:
        output.heading("In groups:")
        output.table(("Group", "State"), states, empty="  none")
    if copies is not None:
        output.heading("Copies:")
        columns.table(COPY_COLUMNS, copies, empty="  none")
    if requests is not None:
        output.heading("Copy requests:")
        columns.table(TRANSFERS, requests, empty="  none")


def _tape_words(one: tape_batches.FileOnTape) -> str:
    """Describe where a file is on its way to tape."""
    since = output.zoned(one.since)
    if one.state == CollectState.ON_TAPE:
        return f"verified on tape {since}, in batch {one.batch}"
    if one.state == CollectState.ASKED:
        return f"not yet; being put on tape in batch {one.batch}, waits since {since}"
    failed = f"; {output.count(one.tries, 'attempt')} failed: {one.error}" if one.tries else ""
    return f"not yet; collected for a batch since {since}{failed}"
