"""`alpenhorn doctor`: check everything that a run on this host needs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from alpenhorn.cli import findings, output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.columns import Format, format_option
from alpenhorn.doctor.checks import Doctor, Progress
from alpenhorn.errors import DONE, FAILED, UNUSABLE
from alpenhorn.index.check import Finding

ERASED = "\r\x1b[K"  # erases the current line of a terminal


@click.command()
@format_option
@pass_app
def doctor(app: App, form: Format) -> int:
    """The checks cover the configuration, the index, rsync and ssh, the hosts from which files are pulled, this
    host's nodes with their roots, markers and locks, the machines of a Dask cluster, and the last run.  Nothing
    is changed.  Each line begins with pass, warn or fail; the line below says what to do.  With -q only warnings
    and failures are shown.

    The exit status is 0 if nothing fails, 1 if a check fails, and 3 if the configuration or the index cannot
    be used.  Run this as the user that runs `alpenhorn sync`, because permissions and ssh keys depend on the
    user.

    \b
    Examples:
      alpenhorn doctor
      alpenhorn -q doctor
      alpenhorn doctor --json
    """
    doctor = Doctor(None if app.conf is None else Path(app.conf), os.environ, app.now())
    found: list[Finding] = []
    in_lines = form is Format.TABLE
    for finding in _with_progress(doctor.findings(), shown=in_lines):
        found.append(finding)
        if in_lines and (finding.level != "pass" or app.verbosity >= 0):
            findings.lines(finding)
    failures, warnings = (sum(finding.level == level for finding in found) for level in ("fail", "warn"))
    if in_lines:
        more = "; nodes and other hosts were not checked" if doctor.unusable else ""
        output.line(f"{output.count(warnings, 'warning')}, {output.count(failures, 'failure')}{more}")
    else:
        findings.show(form, found)
    if doctor.unusable:
        return UNUSABLE
    return FAILED if failures else DONE


def _with_progress(steps: Iterator[Finding | Progress], shown: bool) -> Iterator[Finding]:
    """Yield the findings; on a terminal, show the current check in the last line."""
    terminal = shown and sys.stdout.isatty()
    waiting = ""
    for one in steps:
        if waiting:
            click.echo(ERASED, nl=False)
        if not isinstance(one, Progress):
            yield one
        elif terminal:
            waiting = click.style(f"… {output.harmless(one.text)}", dim=True)
        if waiting:
            click.echo(waiting, nl=False)
    if waiting:
        click.echo(ERASED, nl=False)
