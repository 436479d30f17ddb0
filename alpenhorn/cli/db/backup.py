"""`alpenhorn db backup`: a consistent copy of the index."""

from __future__ import annotations

import os
from pathlib import Path

import click

from alpenhorn.address import sqlite_path
from alpenhorn.cli import output
from alpenhorn.cli.app import App, json_option, pass_app
from alpenhorn.cli.long_work import LongWork
from alpenhorn.coordinator import plugins
from alpenhorn.edits import backup as records
from alpenhorn.errors import AlpenhornError, Refused
from alpenhorn.index import backup as backups
from alpenhorn.index.schema import COMPONENTS

KEEP = 10


@click.command()
@click.argument("directory", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--keep",
    metavar="N",
    type=click.IntRange(min=1),
    default=KEEP,
    show_default=True,
    help="Number of backups to keep in DIR; older ones are deleted.",
)
@json_option
@pass_app
def backup(app: App, directory: Path | None, keep: int, as_json: bool) -> None:
    """The backup is a consistent snapshot; other programs may use the index during the backup.  It is flushed to
    disk and verified before it gets its name, alpenhorn-index-YYYYMMDDTHHMMSSZ.db (SQLite) or .sql (MariaDB); only
    then are older backups deleted.  Use a separate directory for each index.  DIR is by default [database]
    backup_dir or, with SQLite, the directory backups next to the index.  Run this daily, for example from
    cron; with -q it prints nothing on success.

    \b
    Examples:
      alpenhorn db backup
      alpenhorn db backup /srv/backup/alpenhorn --keep 30
    """
    index = app.index
    index.answer_within(None)  # no timeout: whole tables are read
    with LongWork(app, "Writing and verifying a backup", interrupts=False):
        made = backups.write(index, _directory(app, directory), _tables(), keep)
    try:
        records.made(index, made.path, made.at)
    except AlpenhornError as error:
        output.warning(
            f"the backup is complete, but could not be recorded in the index; status may warn: {error}"
        )
    for problem in made.not_removed:
        output.warning(problem)
    if as_json:
        output.document(
            {
                "path": str(made.path),
                "at": made.at,
                "size_b": made.size_b,
                "rows": made.rows,
                "removed": [str(path) for path in made.removed],
            }
        )
    elif app.verbosity >= 0:
        files = output.count(made.rows.get("archivefile", 0), "file")
        output.line(f"Wrote and verified {made.path}: {files}, {output.size(made.size_b)}.")
        if made.removed:
            output.line(f"Deleted {output.count(len(made.removed), 'older backup')}.")


def _directory(app: App, given: Path | None) -> Path:
    """Return the absolute directory for backups.

    Only the default directory is created: a configured one may be on a disk that is not mounted.
    """
    chosen = given or app.config.database.backup_dir
    if chosen is not None:
        return chosen.absolute()
    path = app.index.file if app.config.database.extension else sqlite_path(app.config.database.url)
    if path is None:
        raise Refused(
            "no directory for backups: give one with alpenhorn db backup DIR, or set [database] backup_dir"
        )
    beside = Path(path).absolute().parent / "backups"
    try:
        os.makedirs(beside, mode=0o700, exist_ok=True)
    except OSError as error:
        raise Refused(f"{beside}: cannot be created: {error.strerror}; give another directory") from error
    return beside


def _tables() -> list[str]:
    """Return the names of the tables of alpenhorn and of installed extensions."""
    ours = [table for tables in COMPONENTS.values() for table in tables]
    theirs = [model for one in plugins.offered_components() if one.loaded for model in one.loaded.models]
    return [table._meta.table_name for table in (*ours, *theirs)]
