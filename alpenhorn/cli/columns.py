"""Listings: one list of columns, printed as a table, as CSV or as JSON.

The keys of CSV and JSON are the same, and so are the values: sizes in bytes, times in UTC, null (an empty field in CSV)
for what is unknown.  A value that is itself a list or an object is JSON in a field of CSV.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from itertools import islice
from operator import attrgetter
from typing import Any, NamedTuple

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import CommandFunction

Getter = str | Callable[[Any], Any]


class Format(StrEnum):
    TABLE = "table"
    CSV = "csv"
    JSON = "json"


class Column(NamedTuple):
    """One column.  `key`: in CSV and JSON, "" for one of tables only; a key `in.files` is `files` in the object `in`.

    `header`: in tables, "" for one that tables do not have.  `value` gives the value of a row for CSV and JSON, `cell`
    what a table shows.  `right`: aligned right.
    """

    key: str
    header: str
    value: Callable[[Any], Any]
    cell: Callable[[Any], object]
    right: bool = False

    def headed(self, header: str) -> Column:
        """The same with another header."""
        return self._replace(header=header)

    def hidden(self) -> Column:
        """The same, but not in tables."""
        return self._replace(header="")

    def of(self, part: Getter) -> Column:
        """The same for rows of which `part` is the row of this column."""
        get = _getter(part)
        return self._replace(value=lambda row: self.value(get(row)), cell=lambda row: self.cell(get(row)))


def column(
    key: str,
    header: str = "",
    value: Getter = "",
    shown: Callable[[Any], object] | None = None,
    cell: Getter = "",
    right: bool = False,
) -> Column:
    """A column whose `value` is an attribute of the row, by default that named `key`, or what a function gives.

    A table shows the value, as `shown` formats it, or what `cell` gives.
    """
    get = _getter(value or key) if value or key else _nothing
    if cell:
        return Column(key, header, get, _getter(cell), right)
    return Column(key, header, get, get if shown is None else lambda row: shown(get(row)), right)


number = functools.partial(column, right=True)
size = functools.partial(column, shown=output.size, right=True)
time = functools.partial(column, shown=output.time)
flag = functools.partial(column, shown=output.yes_no)


def _getter(path: Getter) -> Callable[[Any], Any]:
    return attrgetter(path) if isinstance(path, str) else path


def _nothing(row: object) -> None:
    return None


# --- printing ------------------------------------------------------------------------------------------


def format_option(command: CommandFunction) -> CommandFunction:
    """Give a command --format and --json, as the one parameter `form`."""

    @functools.wraps(command)
    def with_form(*args: Any, format_: str | None, as_json: bool, **options: Any) -> Any:
        if as_json and format_ not in (None, Format.JSON):
            raise click.UsageError(f"--json cannot be used with --format {format_}")
        form = Format.JSON if as_json else Format(format_ or Format.TABLE)
        return command(*args, form=form, **options)

    decorated = click.option("--json", "as_json", is_flag=True, help="Same as --format json.")(with_form)
    return click.option(
        "--format",
        "format_",
        type=click.Choice([form.value for form in Format]),
        help="Output format; a table by default.",
    )(decorated)  # type: ignore[return-value]


def show(form: Format, columns: Sequence[Column], rows: Iterable[Any], empty: str = "") -> None:
    """Print a listing; a table without rows is the line `empty`."""
    if form is Format.TABLE:
        table(columns, rows, empty)
    elif form is Format.CSV:
        csv(columns, rows)
    else:
        output.documents(document(columns, row) for row in rows)


def table(columns: Sequence[Column], rows: Iterable[Any], empty: str = "") -> None:
    """Print a table; without rows the line `empty`."""
    shown = [column for column in columns if column.header]
    output.table(
        [column.header for column in shown],
        ([column.cell(row) for column in shown] for row in rows),
        right=[column.header for column in shown if column.right],
        empty=empty,
    )


def document(columns: Sequence[Column], row: object) -> dict[str, Any]:
    """The JSON object of a row."""
    found: dict[str, Any] = {}
    for column in columns:
        *outer, key = column.key.split(".")
        if key:
            inner = found
            for name in outer:
                inner = inner.setdefault(name, {})
            inner[key] = column.value(row)
    return found


def documents(columns: Sequence[Column], rows: Iterable[Any]) -> list[dict[str, Any]]:
    """The JSON objects of rows, for a part of a document."""
    return [document(columns, row) for row in rows]


def csv(columns: Sequence[Column], rows: Iterable[Any]) -> None:
    """Print CSV, a line for each row below one of the keys."""
    # Imported here because few listings are printed as CSV.
    import csv
    import io

    kept = [column for column in columns if column.key]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([column.key for column in kept])
    remaining = iter(rows)
    while True:
        piece = list(islice(remaining, output.PIECE))
        writer.writerows([output.csv_field(column.value(row)) for column in kept] for row in piece)
        click.echo(buffer.getvalue(), nl=False)
        buffer.seek(0)
        buffer.truncate()
        if not piece:
            return
