"""`alpenhorn db check`."""

from __future__ import annotations

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import App, json_option, pass_app
from alpenhorn.cli.long_work import LongWork
from alpenhorn.coordinator import plugins
from alpenhorn.errors import DONE, FAILED
from alpenhorn.index import check as checks
from alpenhorn.index.durability import durability


@click.command()
@json_option
@pass_app
def check(app: App, as_json: bool) -> int:
    """Nothing is changed.  Each line begins with pass, warn or fail; the line below says what to do.  The exit
    status is 1 if a check fails.  On a large index this takes a while, because every row is read.

    \b
    Example:
      alpenhorn db check
    """
    index = app.open_index()
    index.answer_within(None)  # no timeout: whole tables are read
    with LongWork(app, "Checking the index", index=index):
        findings = [*checks.check(index), *durability(index), *plugins.findings(index)]
    if as_json:
        output.document([finding.document() for finding in findings])
    else:
        for finding in findings:
            output.line(f"{finding.level}  {finding.text}")
            if finding.remedy:
                output.line(f"      {finding.remedy}")
    return FAILED if any(finding.level is checks.Level.FAIL for finding in findings) else DONE
