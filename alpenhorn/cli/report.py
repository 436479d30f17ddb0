"""`alpenhorn report`: a report on the archive, as one web page."""

from __future__ import annotations

import logging
import os
import stat
import sys
import time
from pathlib import Path

import click

from alpenhorn import formats
from alpenhorn.cli import output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.long_work import LongWork
from alpenhorn.errors import AlpenhornError
from alpenhorn.monitoring import textfile
from alpenhorn.reasons import Code

EXAMPLE = "alpenhorn report --output report.html"


class ReportError(AlpenhornError):
    """The report cannot be made or written."""


@click.command()
@click.option(
    "--output",
    "path",
    metavar="FILE",
    type=click.Path(path_type=Path, readable=False),
    help="Write the report to FILE.",
)
@pass_app
def report(app: App, path: Path | None) -> None:
    """The report is a single HTML file, which needs no network and no script to be read, in a browser or on paper.  It
    shows what needs attention; for each node how full it is, how it grows, and the day on which it will be full; copies
    by state; files with too few copies; what runs did in the last weeks; failures by reason; the age of verifications;
    the last runs; and what each number is measured from.  It names nodes, acquisitions and hosts, so choose who may
    read it.

    FILE is replaced when the report is complete.  Without --output, or with --output -, the report is printed, but not
    on a terminal.  The report reads every copy in the index, so on a large archive, write it daily rather than hourly.
    It needs the extra `report`.

    \b
    Examples:
      alpenhorn report --output report.html
      alpenhorn -q report --output /var/www/html/archive.html      (from cron)
      alpenhorn report | mail -a 'Content-Type: text/html' -s Archive archive@example.org
    """
    target = None if path is None or str(path) == "-" else path
    if target is None and sys.stdout.isatty():
        raise click.UsageError(
            f"the report is a web page, which a terminal does not show; to write it: {EXAMPLE}"
        )
    if target is not None:
        _check_writable(target)
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # otherwise it reports where it keeps its cache
    try:
        # 1.5 s, and needs the extra.
        from alpenhorn.monitoring.report import data, page
    except ImportError as error:
        raise ReportError(Code.REPORT_PACKAGE_MISSING(why=error)) from error

    began = time.monotonic()
    index = app.index
    index.answer_within(None)  # no limit: whole tables are read
    with LongWork(app, "Reading the index for the report") as work:
        found = data.read(index, app.config, work.at)
    text = page.render(found, time.monotonic() - began)
    if target is None:
        click.echo(text)
        return
    content = text.encode()
    try:
        _write(target, content)
    except OSError as error:
        raise _unwritable(target, error.strerror) from error
    if app.verbosity >= 0:
        output.line(f"{target}: written, {formats.size(len(content))}")


def _check_writable(path: Path) -> None:
    """Raise ReportError if it is clear before the work that the file cannot be written."""
    directory = path.resolve().parent
    if path.is_dir():
        raise _unwritable(path, "it is a directory")
    if not directory.is_dir():
        raise _unwritable(path, f"there is no directory {directory}")
    place = path if _is_special(path) else directory
    if not os.access(place, os.W_OK):
        raise _unwritable(path, f"{place} is not writable")


def _write(path: Path, content: bytes) -> None:
    if _is_special(path):  # such as /dev/null, which must not be replaced
        path.write_bytes(content)
        return
    path = path.resolve()  # the file, not a link to it
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        mask = os.umask(0o077)
        os.umask(mask)
        mode = 0o666 & ~mask
    textfile.replace(path, content, mode, path.with_name(f".{path.name[:200]}.{os.getpid()}"))


def _is_special(path: Path) -> bool:
    """Return whether there is something other than a regular file."""
    return path.exists() and not path.is_file()


def _unwritable(path: Path, why: str | None) -> ReportError:
    return ReportError(Code.REPORT_FILE_UNUSABLE(file=path, why=why))
