"""Change many rows: count them, show what would change, ask for confirmation, and change them in pieces.

Each command provides the selection, the texts and the edit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import App, CommandFunction
from alpenhorn.cli.long_work import LongWork
from alpenhorn.cli.options import check_option, confirm, file_list_option, force_option
from alpenhorn.index import selections
from alpenhorn.index.selections import CountedSelection, SelectionPart, Total
from alpenhorn.scan import names


class BulkEdit(NamedTuple):
    """A change of many rows, and how it is described.

    `parts` select the rows; `row` is the SQL expression of their ids, such as `c.id`.  `change` changes the rows of a
    piece in one transaction, with the given time of the change, and returns their number.

    The texts form messages such as "Would release 3 copies (3.00 KiB) on field1, to be deleted when room is needed.":
    `verb` is "release", `subject` is "3 copies (3.00 KiB) on field1", and `consequence` is the rest; `doing` is
    "Releasing".  `counting` names the rows that are counted; `nothing` is printed if there are none.
    """

    parts: Sequence[SelectionPart]
    row: str
    counting: str
    nothing: str
    verb: str
    doing: str
    subject: Callable[[Total], str]
    change: Callable[[tuple[SelectionPart, ...], datetime], int]
    done: Callable[[int], str]
    consequence: str = ""


class BulkOptions(Protocol):
    """The values of the options that `bulk_options` adds."""

    @property
    def check(self) -> bool: ...
    @property
    def force(self) -> bool: ...
    @property
    def file_list(self) -> str | None: ...


def bulk_options(command: CommandFunction) -> CommandFunction:
    """Add --check, --file-list and --force to a command."""
    return check_option(file_list_option(force_option(command)))


def run(
    app: App, edit: BulkEdit, options: BulkOptions, before_asking: Callable[[Total], None] | None = None
) -> bool:
    """Carry out an edit, subject to the options and the user's confirmation; return whether anything was changed.

    `before_asking` may print more about the rows that were counted.  Raises Refused without a terminal, click.Abort if
    the answer is no.
    """
    found = _counted(app, edit)
    if not found.total.files:
        output.line(edit.nothing)
        return False
    subject = edit.subject(found.total)
    what = f"{subject}{edit.consequence}"
    tentative = options.check or not options.force
    output.line(f"Would {edit.verb} {what}." if tentative else f"To {edit.verb}: {what}.")
    if before_asking is not None:
        before_asking(found.total)
    if options.check:
        return False
    confirm(f"{edit.verb.capitalize()} {what}?", options.force, stdin_taken=options.file_list == "-")
    output.line(edit.done(_in_pieces(app, f"{edit.doing} {subject}", found, edit)))
    return True


def _counted(app: App, edit: BulkEdit) -> CountedSelection:
    with LongWork(app, f"Counting the {edit.counting}") as work:
        return selections.counted(app.index, edit.parts, edit.row, work.at)


def _in_pieces(app: App, doing: str, found: CountedSelection, edit: BulkEdit) -> int:
    """Change the rows in pieces, each in a transaction, and return the number of rows changed."""
    stamp = app.stamp()
    of = sum(piece.files for piece in found.pieces)
    at, done = 0, 0
    with LongWork(app, doing, changing=True) as work:
        for piece in found.pieces:
            work.at(at, of)
            done += edit.change(piece.parts, stamp)
            at += piece.files
    return done


def total_size(found: Total) -> str:
    """`1.00 GiB, 2 of unknown size`."""
    unsized = f", {found.unsized} of unknown size" if found.unsized else ""
    return f"{output.size(found.bytes)}{unsized}"


def copies_and_size(found: Total) -> str:
    """`3 copies (1.00 GiB, 2 of unknown size)`."""
    return f"{output.count(found.files, 'copy', 'copies')} ({total_size(found)})"


def listed_files(app: App, file_list: str | None, node: names.NamedRow | None) -> Sequence[int] | None:
    """Return the ids of the files in a list, which may also have paths below the node's root; None without a list.

    Raises NotFound.
    """
    if file_list is None:
        return None
    source = "standard input" if file_list == "-" else file_list
    root = None if node is None else names.root(app.index, node)
    with LongWork(app, f"Looking up the files in {source}"):
        return names.files(app.index, _lines(file_list), root, source)


def _lines(path: str) -> Iterator[tuple[int, str]]:
    """Yield (line number, path) for each line of a list, without blank lines and comments.

    Bytes that are not UTF-8 become surrogates, which match no name in the index.
    """
    with click.open_file(path, encoding="utf-8", errors="surrogateescape") as lines:
        for number, line in enumerate(lines, 1):
            text = line.strip()
            if text and not text.startswith("#"):
                yield number, text
