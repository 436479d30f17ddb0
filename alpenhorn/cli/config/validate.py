"""`alpenhorn config validate`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.config import load_only


@click.command()
@click.argument("file", metavar="[FILE]", required=False, type=click.Path(path_type=Path))
@pass_app
def validate(app: App, file: Path | None) -> None:
    """Without FILE, the files and environment variables that commands use are checked together; with FILE, only that
    file.  All errors are printed, and the exit status is 3 if there are any.  Whether the index and the programs
    that are named can be used is checked by `alpenhorn doctor`.

    \b
    Examples:
      alpenhorn config validate
      alpenhorn config validate /etc/alpenhorn/alpenhorn.toml
    """
    config = app.config if file is None else load_only(file, os.environ)
    for path in config.sources:
        output.line(f"{path}: valid")
    if not config.sources:
        output.line("No configuration files; the defaults are used.")
