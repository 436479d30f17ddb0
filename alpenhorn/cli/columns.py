"""Listings: one list of columns, printed as a table, CSV, JSON or lines of JSON.

CSV and JSON have the same keys and values: sizes in bytes, times in UTC, null (in CSV an empty field) for unknown
values.  In CSV a list or an object is written as JSON.
"""

from __future__ import annotations

import functools
import io
import math
from collections.abc import Callable, Iterable, Sequence
from csv import writer
from enum import StrEnum
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import CommandFunction

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

Getter = str | Callable[[Any], Any]


class Format(StrEnum):
    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    JSONL = "jsonl"

    @property
    def in_rows(self) -> bool:
        """Whether the output consists of the rows of one list, also from a command that has more to show."""
        return self in (Format.CSV, Format.JSONL)


class ListingColumn(NamedTuple):
    """One column of a listing.

    `key` is its key in CSV and JSON, "" if it is shown in tables only; the key `in.files` is `files` in the object
    `in`.  `header` is its header in tables, "" if tables do not show it.  `value` returns the value of a row for CSV
    and JSON; `cell` returns the table cell.  `right` aligns it right.  `zoned`: the cells are times without a zone.
    """

    key: str
    header: str
    value: Callable[[Any], Any]
    cell: Callable[[Any], object]
    right: bool = False
    zoned: bool = False

    @property
    def title(self) -> str:
        """The header as tables show it, with the zone of times."""
        return f"{self.header} ({output.zone()})" if self.zoned and self.header else self.header

    def headed(self, header: str) -> ListingColumn:
        """Return this column with another header."""
        return self._replace(header=header)

    def hidden(self) -> ListingColumn:
        """Return this column without a place in tables."""
        return self._replace(header="")

    def of(self, part: Getter) -> ListingColumn:
        """Return this column for rows that hold the row of this column in `part`."""
        get = _getter(part)
        return self._replace(value=lambda row: self.value(get(row)), cell=lambda row: self.cell(get(row)))


def column(
    key: str,
    header: str = "",
    value: Getter = "",
    shown: Callable[[Any], object] | None = None,
    cell: Getter = "",
    right: bool = False,
) -> ListingColumn:
    """Return a column whose `value` is the name of an attribute of the row, by default `key`, or a function of the row.

    A table shows the value formatted by `shown`, or the result of `cell`.
    """
    get = _getter(value or key) if value or key else _nothing
    if cell:
        return ListingColumn(key, header, get, _getter(cell), right)
    return ListingColumn(key, header, get, get if shown is None else lambda row: shown(get(row)), right)


number = functools.partial(column, right=True)
size = functools.partial(column, shown=output.size, right=True)

flag = functools.partial(column, shown=output.yes_no)


def time(key: str, header: str = "", value: Getter = "") -> ListingColumn:
    """Return a column of naive UTC, shown in the zone that the header names."""
    return column(key, header, value, shown=output.time)._replace(zoned=True)


def _getter(path: Getter) -> Callable[[Any], Any]:
    return attrgetter(path) if isinstance(path, str) else path


def _nothing(row: object) -> None:
    return None


# --- printing ------------------------------------------------------------------------------------------


def format_option(command: CommandFunction) -> CommandFunction:
    """Add --format and --json to a command, as the single parameter `form`."""

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
        help="Output format (default: table).",
    )(decorated)  # type: ignore[return-value]


def refuse_to_ask(form: Format, answered: bool, options: str) -> None:
    """Raise UsageError for a format other than a table, unless the confirmation is `answered` by one of `options`."""
    if form is not Format.TABLE and not answered:
        raise click.UsageError(f"--format {form} cannot ask for confirmation; use it with {options}")


def limit_option(help_: str = "Show only the first N rows.") -> Callable[[CommandFunction], CommandFunction]:
    """Return a decorator that adds --limit to a command, as `limit`."""
    return click.option("--limit", metavar="N", type=click.IntRange(1, 10_000_000), help=help_)


class Sorting(NamedTuple):
    """An order of rows by the values of a column; rows without a value come last."""

    column: ListingColumn
    descending: bool

    def __call__(self, rows: Iterable[Any]) -> list[Any]:
        pairs = [(self.column.value(row), row) for row in rows]
        known = [pair for pair in pairs if pair[0] is not None]
        known.sort(key=lambda pair: _sort_key(pair[0]), reverse=self.descending)
        return [row for _, row in known] + [row for value, row in pairs if value is None]


def _sort_key(value: object) -> tuple[float, str]:
    """Return a key that can be compared for all values that a row can have: numbers come before texts."""
    if isinstance(value, int | float):
        return value, ""
    return math.inf, value if isinstance(value, str) else output.as_json(value)


class SortKey(click.ParamType[Sorting]):
    """The key of a column, with a - before it for descending order."""

    name = "column"

    def __init__(self, columns: Sequence[ListingColumn]) -> None:
        self._columns = {column.key: column for column in columns if column.key}

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Sorting:
        key = str(value).removeprefix("-")
        if key not in self._columns:
            self.fail(f"no such column: {key!a}; the columns are: {', '.join(self._columns)}", param, ctx)
        return Sorting(self._columns[key], descending=key != value)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        # 37 ms, and only shell completion needs it.
        from click.shell_completion import CompletionItem

        return [CompletionItem(key) for key in self._columns if key.startswith(incomplete)]


def sort_option(columns: Sequence[ListingColumn]) -> Callable[[CommandFunction], CommandFunction]:
    """Return a decorator that adds --sort to a command, as `sort`, for a listing with these columns."""
    return click.option(
        "--sort",
        metavar="COLUMN",
        type=SortKey(columns),
        help="Sort by COLUMN, named as in JSON; -COLUMN: in descending order.",
    )


def show(
    form: Format,
    columns: Sequence[ListingColumn],
    rows: Iterable[Any],
    empty: str = "",
    *,
    sort: Sorting | None = None,
    limit: int | None = None,
) -> None:
    """Print a listing; for a table without rows print the line `empty`.

    `limit`: maximum number of rows; further ones are not read, unless the rows are sorted.
    """
    rows = islice(rows if sort is None else sort(rows), limit)
    if form is Format.TABLE:
        table(columns, rows, empty)
    elif form is Format.CSV:
        csv(columns, rows)
    elif form is Format.JSONL:
        output.json_lines(document(columns, row) for row in rows)
    else:
        output.documents(document(columns, row) for row in rows)


def table(
    columns: Sequence[ListingColumn], rows: Iterable[Any], empty: str = "", optional: Iterable[str] = ()
) -> None:
    """Print a table, or the line `empty` if there are no rows.

    `optional`: headers of columns that a narrow terminal does not show, the first to be left out first.
    """
    shown = [column for column in columns if column.header]
    output.table(
        [column.title for column in shown],
        ([column.cell(row) for column in shown] for row in rows),
        right=[column.title for column in shown if column.right],
        empty=empty,
        optional=[column.title for header in optional for column in shown if column.header == header],
    )


def document(columns: Sequence[ListingColumn], row: object) -> dict[str, Any]:
    """Return the JSON object of a row."""
    found: dict[str, Any] = {}
    for column in columns:
        *outer, key = column.key.split(".")
        if key:
            inner = found
            for name in outer:
                inner = inner.setdefault(name, {})
            inner[key] = column.value(row)
    return found


def documents(columns: Sequence[ListingColumn], rows: Iterable[Any]) -> list[dict[str, Any]]:
    """Return the JSON objects of rows, for use in a larger document."""
    return [document(columns, row) for row in rows]


def csv(columns: Sequence[ListingColumn], rows: Iterable[Any]) -> None:
    """Print CSV: a line with the keys, then one line for each row."""
    kept = [column for column in columns if column.key]
    buffer = io.StringIO()
    lines = writer(buffer, lineterminator="\n")
    lines.writerow([column.key for column in kept])
    remaining = iter(rows)
    while True:
        piece = list(islice(remaining, output.PIECE))
        lines.writerows([output.csv_field(column.value(row)) for column in kept] for row in piece)
        click.echo(buffer.getvalue(), nl=False)
        buffer.seek(0)
        buffer.truncate()
        if not piece:
            return
