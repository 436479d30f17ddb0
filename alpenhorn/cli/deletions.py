"""What `file delete` and `acq delete` have in common: files are counted, shown and deleted from the index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from alpenhorn.cli import bulk, output
from alpenhorn.cli.app import App
from alpenhorn.cli.bulk import BulkEdit
from alpenhorn.cli.long_work import LongWork
from alpenhorn.edits import deletions
from alpenhorn.index.bulk import chunks
from alpenhorn.index.selections import SelectionPart


class DeletionOptions(NamedTuple):
    """The options of a deletion; there is no list of files."""

    check: bool
    force: bool
    file_list: str | None = None


def delete_files(
    app: App, parts: Sequence[SelectionPart], options: DeletionOptions, *, of: str = "", also: str = ""
) -> bool:
    """Delete the files of a selection after the user's confirmation; return whether any was deleted.

    `of` follows their number, `also` their size.  Raises Refused before the question if one of them must stay.
    """
    with LongWork(app, "Looking for copies of the files") as work:
        for sql, values in parts:
            ids = app.index.values(f"SELECT f.id {sql} ORDER BY f.id", values)
            done = 0
            for some in chunks(ids):
                work.at(done, len(ids))
                deletions.refuse_kept(app.index, some)
                done += len(some)
    edit = BulkEdit(
        parts,
        "f.id",
        counting=f"files{of}",
        nothing="No files to delete.",
        verb="delete",
        doing="Deleting",
        subject=lambda found: f"{output.count(found.files, 'file')}{of} ({bulk.total_size(found)})",
        consequence=f"{also} from the index",
        change=lambda some, _: deletions.files(app.index, some),
        done=lambda files: f"Deleted {output.count(files, 'file')}{of} from the index.",
    )
    return bulk.run(app, edit, options)
