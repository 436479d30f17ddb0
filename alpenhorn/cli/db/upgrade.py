"""`alpenhorn db upgrade`: an index that an older release, or an older version of this program, made."""

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
@click.option("-c", "--check", is_flag=True, help="Only show what would be done.")
@click.option(
    "--dump",
    "target",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the dump to FILE, which must not exist; by default beside the SQLite file, or in the working"
    " directory, under a name with the date.",
)
@options.force_option
@pass_app
def upgrade(app: App, check: bool, target: Path | None, force: bool) -> None:
    """Known versions are 2.0.0rc1, 2.0.0rc2, and earlier ones of this program.  MariaDB tables with another
    character set than utf8mb4, which servers with the default latin1 or utf8mb3 make, are converted, so that
    names may have any character.

    The command shows what it found and what it will do, and asks; then it writes a dump, with which one can
    go back, and upgrades.  Stop everything that uses the index first, including the alpenhorn daemons of all
    hosts.  With SQLite all of it is done or nothing.  With MariaDB each step stays done; if the upgrade was
    cut short, run the command again to do the rest.

    \b
    Examples:
      alpenhorn db upgrade --check
      alpenhorn db upgrade --dump /srv/backup/index-before-upgrade
    """
    index = app.open_index()
    index.answer_within(None)  # a large table is altered for hours
    shape, why, planned = upgrades.prepare(index)
    if planned is None:
        output.line(
            f"nothing to upgrade: the index {index.url} {why}; `alpenhorn db init` adds what may be missing"
        )
        return
    target = dump.default_target(index, app.now()) if target is None else target.absolute()
    is_older = {Shape.CURRENT: "", Shape.HALF: f"is {shape}: it "}.get(
        shape, f"is that of alpenhorn {shape}: it "
    )
    output.line(f"found: the index {index.url} {is_older}{why}")
    if planned.problems:
        raise Refused(
            "\n".join(("this index cannot be upgraded as it is; nothing was changed:", *planned.problems))
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
    options.confirm("Is everything that uses this index stopped, and shall it be upgraded?", force)
    for step in upgrades.upgrade(index, planned, target):
        output.line(f"done: {step or dumping}")
    output.line(f"the index {index.url} has today's tables. Next: alpenhorn db check")
    output.line(f"to go back, with nothing running: {dump.way_back(index, target)}")
