"""The findings of `alpenhorn doctor` and `alpenhorn db check`: lines for people, and one list in the other formats."""

from __future__ import annotations

from collections.abc import Iterable

import click

from alpenhorn.cli import columns, output
from alpenhorn.cli.columns import Format, column
from alpenhorn.index.check import Finding, Level
from alpenhorn.reasons import Reason, code_in_json

COLOURS = {Level.PASS: "green", Level.WARN: "yellow", Level.FAIL: "red"}
INDENT = " " * 6


def _code(finding: Finding) -> str | None:
    return code_in_json(finding.text) if isinstance(finding.text, Reason) else None


COLUMNS = (column("level"), column("text"), column("remedy"), column("code", value=_code))


def lines(finding: Finding) -> None:
    """Print a line that begins with the level, coloured on a terminal, and below it the remedy, if there is one.

    A table would shorten the remedies, which are commands to be copied.
    """
    click.echo(f"{click.style(finding.level, fg=COLOURS[finding.level])}  {output.harmless(finding.text)}")
    if finding.remedy:
        output.line(f"{INDENT}{finding.remedy}")


def show(form: Format, findings: Iterable[Finding]) -> None:
    """Print all findings in any format."""
    if form is Format.JSON:
        output.document(columns.documents(COLUMNS, findings))
    elif form.in_rows:
        columns.show(form, COLUMNS, findings)
    else:
        for finding in findings:
            lines(finding)
