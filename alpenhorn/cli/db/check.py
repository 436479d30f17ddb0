"""`alpenhorn db`: create the data index, bring it up to date, back it up, and look at what may be wrong with it."""

from __future__ import annotations

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import App, json_option, pass_app
from alpenhorn.cli.db.backup import backup
from alpenhorn.cli.db.rebuild import rebuild
from alpenhorn.cli.db.upgrade import upgrade
from alpenhorn.coordinator import plugins
from alpenhorn.errors import DONE, FAILED, Refused
from alpenhorn.index import check as checks
from alpenhorn.index import components, schema
from alpenhorn.index.durability import durability


@click.group()
def db() -> None:
    """The data index itself: create, check, back up, rebuild and upgrade it."""


db.add_command(backup)
db.add_command(rebuild)
db.add_command(upgrade)


@db.command()
@click.option(
    "-o",
    "--only",
    metavar="COMP",
    help="Create only this component's tables: alpenhorn (the index), sync (what this program adds), or a package's.",
)
@pass_app
def init(app: App, only: str | None) -> None:
    """Create the tables of the data index, or add those that are missing; those of installed packages too.

    Nothing that is there is changed, so this is safe on an index that the alpenhorn daemon made, and may be
    run again. An SQLite file is made if need be; a MariaDB database must exist. An index of an earlier version is
    left to `alpenhorn db upgrade`.

    \b
    Example:
      alpenhorn db init
    """
    brought = plugins.offered_components()
    named = {one.loaded.name: one for one in brought if one.loaded is not None}
    if only is not None and only not in (*schema.COMPONENTS, *named):
        known = ", ".join((*schema.COMPONENTS, *named))
        raise click.BadParameter(f"there is no component {only!r}; known are {known}", param_hint="--only")
    index = app.open_index(create=True)
    index.answer_within(None)  # an index on a large table takes its time
    added = [] if only in named else schema.create(index, only)
    if only is None or only in named:
        wanted = [one.loaded for name, one in named.items() if only in (None, name)]
        made = components.create(index, wanted)
        added += made.added
        for name, why in made.refused:
            if only is not None:
                raise Refused(f"the component {name} was not added: {why}")
            output.note(f"the component {name} was not added: {why}")
    if only is None:
        for one in brought:
            if one.error:
                output.note(f"nothing was added for {one.name} of {one.origin}: {one.error}")
    for what in added:
        output.line(f"added {what}")
    if not added:
        output.line(f"nothing to add: the index {index.url} is complete")


@db.command()
@json_option
@pass_app
def check(app: App, as_json: bool) -> int:
    """Look for what may be wrong with the index: version, indexes, collation, orphan rows, clocks, server.

    Nothing is changed. Each line says pass, warn or fail, and what to do; exits 1 when one says fail. On a
    large index this reads every row and takes a while.

    \b
    Example:
      alpenhorn db check
    """
    index = app.open_index()
    index.answer_within(None)  # whole tables are gone through
    findings = [*checks.check(index), *durability(index), *plugins.findings(index)]
    if as_json:
        output.document([finding.document() for finding in findings])
    else:
        for finding in findings:
            output.line(f"{finding.level}  {finding.text}")
            if finding.remedy:
                output.line(f"      {finding.remedy}")
    return FAILED if any(finding.level is checks.Level.FAIL for finding in findings) else DONE
