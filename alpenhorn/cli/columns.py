"""Listings: one list of columns, printed as a table, CSV, JSON or lines of JSON.

CSV and JSON have the same keys and values: sizes in bytes, times in UTC, null (in CSV an empty field) for unknown
values.  In CSV a list or an object is written as JSON.
"""

from __future__ import annotations

import functools
import heapq
import io
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from csv import writer
from enum import StrEnum
from itertools import islice
from operator import attrgetter, itemgetter
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


class Sorting(NamedTuple):
    """An order of rows by the values of the column with this key or header; rows without a value come last."""

    key: str
    descending: bool

    def column(self, columns: Sequence[ListingColumn]) -> ListingColumn:
        """Return the column with the key or header.  Raises UsageError if none of `columns` has it."""
        found = _named(columns, self.key)
        if found is None:
            known = ", ".join(column.key for column in columns if column.key)
            raise click.UsageError(f"no such column in this list: {self.key!a}; the columns are: {known}")
        return found

    def first(self, columns: Sequence[ListingColumn], rows: Iterable[Any], limit: int | None) -> list[Any]:
        """Return the first `limit` rows in this order, all for None; only these are held in memory.

        Raises UsageError if none of `columns` has the key.
        """
        value = self.column(columns).value
        unknown: list[Any] = []

        def with_value() -> Iterator[tuple[Any, Any]]:
            for row in rows:
                found = value(row)
                if found is not None:
                    yield _sort_key(found), row
                elif limit is None or len(unknown) < limit:
                    unknown.append(row)

        if limit is None:
            known_rows = sorted(with_value(), key=itemgetter(0), reverse=self.descending)
        else:
            least = heapq.nlargest if self.descending else heapq.nsmallest
            known_rows = least(limit, with_value(), key=itemgetter(0))
        return [*(row for _, row in known_rows), *unknown][:limit]


def _named(columns: Iterable[ListingColumn], word: str) -> ListingColumn | None:
    """Return the column with a key; or with a key or header that differs in case only, or with a key such as
    `in.files` for `In`; None if no column has it."""
    sortable = [column for column in columns if column.key and word]
    name = word.casefold()
    for found in (
        [column for column in sortable if column.key == word],
        [column for column in sortable if column.key.casefold() == name],
        [column for column in sortable if column.header.casefold() == name],
        [column for column in sortable if column.key.partition(".")[0].casefold() == name],
    ):
        if found:
            return found[0]
    return None


def _sort_key(value: object) -> tuple[float, str]:
    """Return a key that can be compared for all values that a row can have: numbers come before texts."""
    if isinstance(value, int | float):
        return value, ""
    return math.inf, value if isinstance(value, str) else output.as_json(value)


class SortKey(click.ParamType[Sorting]):
    """The key of a column, with a - before it for descending order."""

    name = "column"

    def __init__(self, columns: Iterable[ListingColumn]) -> None:
        self._columns = tuple(columns)
        self._keys = list(dict.fromkeys(column.key for column in self._columns if column.key))

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Sorting:
        key = str(value).removeprefix("-")
        if _named(self._columns, key) is None:
            self.fail(f"no such column: {key!a}; the columns are: {', '.join(self._keys)}", param, ctx)
        return Sorting(key, descending=key != value)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        # 37 ms, and only shell completion needs it.
        from click.shell_completion import CompletionItem

        return [CompletionItem(key) for key in self._keys if key.startswith(incomplete)]


class ListOptions(NamedTuple):
    """How to print a listing: the format, the order and the maximum number of rows, and whether to ignore the width of
    the terminal."""

    form: Format = Format.TABLE
    sort: Sorting | None = None
    limit: int | None = None
    wide: bool = False

    @property
    def at_most(self) -> int | None:
        """The number of rows that a query needs to return; None for all, which must be read before they are sorted."""
        return None if self.sort else self.limit

    def require_column(self, columns: Sequence[ListingColumn]) -> None:
        """Raise UsageError if these columns lack the one to sort by, before rows are read that may take long."""
        if self.sort is not None:
            self.sort.column(columns)

    def pick(self, columns: Sequence[ListingColumn], rows: Iterable[Any]) -> Iterator[Any]:
        """Yield the rows to show, in order.  Raises UsageError if these columns lack the one to sort by."""
        if self.sort is None:
            yield from islice(rows, self.limit)
        else:
            yield from self.sort.first(columns, rows, self.limit)

    def show(
        self,
        columns: Sequence[ListingColumn],
        rows: Iterable[Any],
        empty: str = "",
        *,
        optional: Iterable[str] = (),
        reading: Callable[[Iterator[Any]], Iterable[Any]] = iter,
    ) -> None:
        """Print the rows; for a table without rows print the line `empty`.

        `optional`: as for `table`; `reading`: shows progress while the rows are read.
        """
        show(self.form, columns, reading(self.pick(columns, rows)), empty, optional=optional, wide=self.wide)


wide_option = click.option(
    "--wide",
    is_flag=True,
    help="Show all columns on one line each, even if they exceed the terminal's width.",
)


def listing_options(
    *columns: Sequence[ListingColumn], limit: str = "Show only the first N rows."
) -> Callable[[CommandFunction], CommandFunction]:
    """Return a decorator that adds --sort, --limit, --wide, --format and --json to a command, as `listing`.

    `columns`: of each list that the command can show; `limit`: the help of --limit.
    """

    def decorate(command: CommandFunction) -> CommandFunction:
        @functools.wraps(command)
        def with_listing(
            *args: Any, form: Format, sort: Sorting | None, limit: int | None, wide: bool, **options: Any
        ) -> Any:
            return command(*args, listing=ListOptions(form, sort, limit, wide), **options)

        decorated = wide_option(format_option(with_listing))
        decorated = click.option("--limit", metavar="N", type=click.IntRange(1, 10_000_000), help=limit)(
            decorated
        )
        return click.option(
            "--sort",
            metavar="COLUMN",
            type=SortKey(column for some in columns for column in some),
            help="Sort by COLUMN, named as in JSON or as shown; -COLUMN: in descending order.",
        )(decorated)  # type: ignore[return-value]

    return decorate


def show(
    form: Format,
    columns: Sequence[ListingColumn],
    rows: Iterable[Any],
    empty: str = "",
    *,
    optional: Iterable[str] = (),
    wide: bool = False,
) -> None:
    """Print rows in any format; for a table without rows print the line `empty`.

    `optional` and `wide`: as for `table`.
    """
    if form is Format.TABLE:
        table(columns, rows, empty, optional, wide)
    elif form is Format.CSV:
        csv(columns, rows)
    elif form is Format.JSONL:
        output.json_lines(document(columns, row) for row in rows)
    else:
        output.documents(document(columns, row) for row in rows)


def table(
    columns: Sequence[ListingColumn],
    rows: Iterable[Any],
    empty: str = "",
    optional: Iterable[str] = (),
    wide: bool = False,
) -> None:
    """Print a table, or the line `empty` if there are no rows.

    `optional`: headers of columns that a narrow terminal does not show, the first to be left out first; `wide`: ignore
    the width of the terminal.
    """
    shown = [column for column in columns if column.header]
    output.table(
        [column.title for column in shown],
        ([column.cell(row) for column in shown] for row in rows),
        right=[column.title for column in shown if column.right],
        empty=empty,
        optional=[column.title for header in optional for column in shown if column.header == header],
        wide=wide,
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
