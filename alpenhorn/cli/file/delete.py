"""`alpenhorn file delete`."""

from __future__ import annotations

from collections.abc import Sequence

import click

from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.deletions import DeletionOptions, delete_files
from alpenhorn.cli.options import check_option, force_option
from alpenhorn.index.selections import SelectionPart, limited
from alpenhorn.scan import names


@click.command()
@click.argument("paths", metavar="FILE...", nargs=-1, required=True)
@check_option
@force_option
@pass_app
def delete(app: App, paths: Sequence[str], check: bool, force: bool) -> None:
    """Only a file without copies, pending requests and pins can be deleted; otherwise the message says what keeps it.
    Its finished requests and the records of removed copies are deleted, too; the history of nodes and runs is kept.
    Nothing on disks changes.  If the file is imported again, it is a new file.

    \b
    Examples:
      alpenhorn file delete 20260722T000000Z_pilot/0001.h5 --check
      alpenhorn file delete 20260722T000000Z_pilot/0001.h5
    """
    ids = sorted({names.file(app.index, path).id for path in paths})
    parts = limited(SelectionPart("FROM archivefile f WHERE 1 = 1", ()), (), ids, "f.id")
    delete_files(app, parts, DeletionOptions(check, force))
