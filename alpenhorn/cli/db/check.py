"""`alpenhorn db check`."""

from __future__ import annotations

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import App, json_option, pass_app
from alpenhorn.coordinator import plugins
from alpenhorn.errors import DONE, FAILED
from alpenhorn.index import check as checks
from alpenhorn.index.durability import durability


@click.command()
@json_option
@pass_app
def check(app: App, as_json: bool) -> int:
    """Nothing is changed.  Each line says pass, warn or fail, and what to do; the exit status is 1 when one says
    fail.  On a large index this reads every row and takes a while.

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
