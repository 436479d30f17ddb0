"""`alpenhorn file pin`."""

from __future__ import annotations

from datetime import datetime, timedelta

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.arguments import Text
from alpenhorn.cli.complete import NODE
from alpenhorn.cli.times import TimeOrDuration
from alpenhorn.edits import pins as edit_pins
from alpenhorn.errors import Refused
from alpenhorn.scan import copies_to_release, names
from alpenhorn.scan.pins import EVERY_NODE

LONGEST_REASON = 1000


@click.command()
@click.argument("path", metavar="FILE")
@click.option("--node", "node_name", type=NODE, metavar="NODE", help="Only pin the copy on NODE.")
@click.option("--reason", metavar="R", type=Text(LONGEST_REASON), help="Reason for the pin.")
@click.option(
    "--until",
    metavar="T",
    type=TimeOrDuration(),
    help="End of the pin: a date, for 00:00, or a date and time (in UTC, unless --local-time is given); or a duration"
    " such as 30d.",
)
@pass_app
def pin(
    app: App, path: str, node_name: str | None, reason: str | None, until: datetime | timedelta | None
) -> None:
    """Runs do not delete pinned copies, and the clean commands do not release them.  Without --until, the pin lasts
    until it is removed.  A second pin for the same file and node replaces the first.

    \b
    Examples:
      alpenhorn file pin 20260722T000000Z_pilot/0001.h5 --reason "calibration reference"
      alpenhorn file pin 20260722T000000Z_pilot/0001.h5 --node archive1 --until 30d
    """
    index = app.index
    node = None if node_name is None else names.node(index, node_name)
    file = names.file(index, path, None if node is None else names.root(index, node))
    now = index.now().replace(microsecond=0)
    end = _end(until, now)
    if end is not None and end <= now:
        raise Refused(f"{output.zoned(end)}: in the past (now: {output.zoned(now)}); nothing was pinned")
    edit_pins.pin(index, file, EVERY_NODE if node is None else node.id, reason or None, end, now)
    where = "every node" if node is None else node.name
    output.line(f"Pinned {file.path} on {where}{'' if end is None else f' until {output.zoned(end)}'}.")
    for name in copies_to_release.being_deleted(index, file_id=file.id):
        if node is None or name == node.name:
            output.note(f"{file.path} on {name}: a run is already deleting this copy; it may be gone")


def _end(until: datetime | timedelta | None, now: datetime) -> datetime | None:
    if until is None or isinstance(until, datetime):
        return until
    try:
        return now + until
    except OverflowError:
        raise click.UsageError(
            "--until: after the year 9999; for a pin without an end leave it out"
        ) from None
