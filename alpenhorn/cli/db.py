"""`alpenhorn db`: create the data index, bring it up to date, and look at what may be wrong with it."""

from __future__ import annotations

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import App, json_option, pass_app
from alpenhorn.cli.db_upgrade import upgrade
from alpenhorn.errors import DONE, FAILED
from alpenhorn.index import check as checks
from alpenhorn.index import schema


@click.group()
def db() -> None:
    """The data index itself: create, check and upgrade it."""


db.add_command(upgrade)


@db.command()
@click.option(
    "-o",
    "--only",
    metavar="COMP",
    type=click.Choice(list(schema.COMPONENTS)),
    help="Create only this component's tables: alpenhorn (the index) or sync (what this program adds).",
)
@pass_app
def init(app: App, only: str | None) -> None:
    """Create the tables of the data index, or add those that are missing.

    Nothing that is there is changed, so this is safe on an index that the alpenhorn daemon made, and may be
    run again. An SQLite file is made if need be; a MariaDB database must exist.

    \b
    Example:
      alpenhorn db init
    """
    index = app.open_index(create=True)
    added = schema.create(index, only)
    for what in added:
        output.line(f"added {what}")
    if not added:
        output.line(f"nothing to add: the index {index.url} is complete")


@db.command()
@json_option
@pass_app
def check(app: App, as_json: bool) -> int:
    """Look for what may be wrong with the index: version, indexes, collation, orphan rows, clocks.

    Nothing is changed. Each line says pass, warn or fail, and what to do; exits 1 when one says fail. On a
    large index this reads every row and takes a while.

    \b
    Example:
      alpenhorn db check
    """
    findings = checks.check(app.open_index())
    if as_json:
        output.document([finding._asdict() for finding in findings])
    else:
        for finding in findings:
            output.line(f"{finding.level}  {finding.text}")
            if finding.remedy:
                output.line(f"      {finding.remedy}")
    return FAILED if any(finding.level is checks.Level.FAIL for finding in findings) else DONE
