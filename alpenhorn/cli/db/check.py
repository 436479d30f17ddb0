"""`alpenhorn db check`."""

from __future__ import annotations

import click

from alpenhorn.cli import findings
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.columns import Format, format_option
from alpenhorn.cli.long_work import LongWork
from alpenhorn.coordinator import plugins, tallies
from alpenhorn.errors import DONE, FAILED
from alpenhorn.index import check as checks
from alpenhorn.index.durability import durability


@click.command()
@format_option
@pass_app
def check(app: App, form: Format) -> int:
    """Nothing is changed.  Each line begins with pass, warn or fail; the line below says what to do.  The exit
    status is 1 if a check fails.  On a large index this takes a while, because every row is read.

    \b
    Examples:
      alpenhorn db check
      alpenhorn db check --format csv
    """
    index = app.open_index()
    index.answer_within(None)  # no timeout: whole tables are read
    with LongWork(app, "Checking the index", index=index):
        found = [*checks.check(index), *durability(index), *tallies.findings(index), *plugins.findings(index)]
    findings.show(form, found)
    return FAILED if any(finding.level is checks.Level.FAIL for finding in found) else DONE
