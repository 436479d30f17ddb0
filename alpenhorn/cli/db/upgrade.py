"""`alpenhorn db upgrade`: upgrade an index created by an older release."""

from __future__ import annotations

from pathlib import Path

import click

from alpenhorn.cli import options, output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.errors import Refused
from alpenhorn.index import dump
from alpenhorn.index import upgrade as upgrades
from alpenhorn.index.shapes import Shape


@click.command()
@options.check_option
@click.option(
    "--dump",
    "target",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File for the dump, which must not exist (default: a name with the date, next to the SQLite file, or in the"
    " working directory).",
)
@options.force_option
@pass_app
def upgrade(app: App, check: bool, target: Path | None, force: bool) -> None:
    """An index of version 2.0.0rc1 or 2.0.0rc2 of the daemon, or of an earlier version of this program, can be
    upgraded.  MariaDB tables with a character set other than utf8mb4 are converted to it, so that names may
    contain any character.

    The command shows the steps and asks for confirmation; then it writes a dump, from which the old index can
    be restored, and upgrades the index.  First stop everything that uses the index, including the alpenhorn
    daemons on all hosts.  With SQLite, either all steps are done or none.  With MariaDB, each completed step
    remains; if the upgrade was interrupted, run the command again to do the rest.

    \b
    Examples:
      alpenhorn db upgrade --check
      alpenhorn db upgrade --dump /srv/backup/index-before-upgrade
    """
    index = app.open_index()
    index.answer_within(None)  # no timeout: altering a large table may take hours
    shape, why, planned = upgrades.prepare(index)
    if planned is None:
        output.line(
            f"nothing to upgrade: the index {index.url} {why}; to add missing tables: alpenhorn db init"
        )
        return
    target = dump.default_target(index, app.now()) if target is None else target.absolute()
    is_older = {Shape.CURRENT: "", Shape.HALF: f"is {shape}: it "}.get(
        shape, f"is that of alpenhorn {shape}: it "
    )
    output.line(f"found: the index {index.url} {is_older}{why}")
    if planned.problems:
        raise Refused(
            "\n".join(
                (
                    f"the index {index.url}: cannot be upgraded as it is; nothing was changed:",
                    *planned.problems,
                )
            )
        )
    dumping = f"write a dump to {target}"
    for number, what in enumerate((dumping, *map(str, planned.steps)), 1):
        output.line(f"{number:>3}. {what}")
    for note in planned.notes:
        output.line(f"note: {note}")
    if check:
        return
    dump.refuse_taken(target)
    dump.require_room(index, target, upgrades.TABLES)
    options.confirm("Upgrade the index? Everything that uses it must be stopped.", force)
    for step in upgrades.upgrade(index, planned, target):
        output.line(f"done: {step or dumping}")
    output.line(f"upgraded: the index {index.url}; to check it: alpenhorn db check")
    output.line(f"to restore the old index, while nothing uses it: {dump.restore_command(index, target)}")
