"""`alpenhorn acq delete`."""

from __future__ import annotations

from shlex import quote

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.complete import ACQ
from alpenhorn.cli.deletions import DeletionOptions, delete_files
from alpenhorn.cli.options import check_option, confirm, force_option
from alpenhorn.edits import deletions
from alpenhorn.errors import Refused
from alpenhorn.index.selections import SelectionPart
from alpenhorn.listings import acqs as listing_acqs
from alpenhorn.scan import files_to_delete, names


@click.command()
@click.argument("name", type=ACQ, metavar="ACQ")
@check_option
@force_option
@click.option(
    "--files",
    "with_files",
    is_flag=True,
    help="Delete its files from the index first, as `file delete` does.",
)
@pass_app
def delete(app: App, name: str, check: bool, force: bool, with_files: bool) -> None:
    """An acquisition with files cannot be deleted without --files, nor with a file that has a copy, a pending request
    or a pin.  Nothing on disks changes.

    \b
    Examples:
      alpenhorn acq delete 20260722T000000Z_pilot --check
      alpenhorn acq delete 20260722T000000Z_pilot --files
    """
    found = names.acq(app.index, name)
    files, _ = listing_acqs.total(app.index, found.id)
    if files and not with_files:
        raise Refused(
            f"acquisition {found.name}: still has {output.count(files, 'file')}; nothing was changed; to delete"
            f" {'it' if files == 1 else 'them'}, too: alpenhorn acq delete {quote(found.name)} --files"
        )
    if files:
        parts = [SelectionPart(*files_to_delete.selected(found.id))]
        options = DeletionOptions(check, force)
        also = f", and acquisition {found.name},"
        if not delete_files(app, parts, options, of=f" of {found.name}", also=also):
            return
    else:
        if not force:
            output.line(f"Would delete acquisition {found.name} from the index.")
        if check:
            return
        confirm(f"Delete acquisition {found.name} from the index?", force)
    deletions.acq(app.index, found)
    output.line(f"Deleted acquisition {found.name}.")
