"""Output: tables that fit the terminal, JSON, sizes, times, and escaped names.

Names come from an index that others write to; whatever could move a terminal's cursor or break a line is
shown escaped (`alpenhorn.outside.harmless`).  Through a pipe nothing is cut and nothing coloured.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

import click

from alpenhorn.outside import harmless as harmless

PIECE = 500  # lines written at a time
PAGE = 5000  # rows that share their column widths; bounds the memory of a long list
NARROWEST = 8  # no column is cut below so many characters
UNITS = ("B", "kiB", "MiB", "GiB", "TiB", "PiB", "EiB")

LEFT = "left"
RIGHT = "right"


def size(bytes_: int | float | None) -> str:
    """Bytes in binary units: `10.00 kiB`; `-` when unknown."""
    if bytes_ is None:
        return "-"
    if abs(bytes_) < 1024:
        return f"{int(bytes_)} B"
    value = float(bytes_)
    for unit in UNITS:
        # 1023.995 would be rounded to "1024.00".
        if abs(value) < 1023.995 or unit == UNITS[-1]:
            break
        value /= 1024
    return f"{value:.2f} {unit}"


def percent(part: float | None) -> str:
    """A fraction as `50.0 %`; `-` when unknown."""
    return "-" if part is None else f"{100 * part:.1f} %"


def time(moment: datetime | None) -> str:
    """Naive UTC as `2026-11-22 11:20:03`; `-` when there is none."""
    return "-" if moment is None else moment.isoformat(" ", "seconds")


def yes_no(value: object) -> str:
    return "yes" if value else "no"


def count(number: int, thing: str, plural: str = "") -> str:
    """`1 file`, `2 files`."""
    return f"{number} {thing if number == 1 else plural or thing + 's'}"


def line(text: str) -> None:
    """Print a line that may contain names."""
    click.echo(harmless(text))


def note(text: str) -> None:
    """Print a note on standard error."""
    click.echo(f"note: {harmless(text)}", err=True)


def lines(texts: Iterable[str]) -> None:
    """Print lines that may contain names."""
    remaining = iter(texts)
    # In pieces, since every click.echo ends with a flush.
    while piece := [harmless(text) for text in islice(remaining, PIECE)]:
        click.echo("\n".join(piece))


def fields(pairs: Iterable[tuple[str, object]]) -> None:
    """Print one thing's properties, a line each, names right aligned."""
    shown = [(harmless(name), "-" if value in (None, "") else harmless(str(value))) for name, value in pairs]
    widest = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        click.echo(f"{name:>{widest}}: {value}")


def heading(text: str) -> None:
    click.echo(f"\n{harmless(text)}\n")


def table(
    headers: Sequence[str],
    rows: Iterable[Sequence[object]],
    right: Iterable[str] = (),
    empty: str = "",
) -> None:
    """Print a table; the columns whose headers are in `right` are right aligned.

    With no rows at all `empty` is printed.  Rows are taken a page at a time; each page has its own widths.
    On a terminal that is too narrow for the columns each row is a block of lines.
    """
    # Imported here because most commands' start-up would pay for it and not use it.
    import tabulate

    tabulate.MIN_PADDING = 0  # no column wider than its content
    aligned = set(right)
    align = [RIGHT if header in aligned else LEFT for header in headers]
    remaining = iter(rows)
    page = _page(remaining)
    if not page and empty:
        line(empty)
    first = True
    while page:
        widths = _fit(headers, page, align)
        if not first:
            click.echo()
        if widths:
            cells = [[_cut(cell, width) for cell, width in zip(row, widths, strict=True)] for row in page]
            click.echo(tabulate.tabulate(cells, headers=headers, colalign=align, disable_numparse=True))
        else:
            _blocks(headers, page)
        first = False
        page = _page(remaining)


def _page(rows: Iterator[Sequence[object]]) -> list[list[str]]:
    return [["-" if cell is None else harmless(str(cell)) for cell in row] for row in islice(rows, PAGE)]


def _blocks(headers: Sequence[str], rows: list[list[str]]) -> None:
    for number, row in enumerate(rows):
        if number:
            click.echo()
        fields(zip(headers, row, strict=True))


def columns(text: str) -> int:
    """How many columns a terminal needs for `text`: two for a wide character, none for a combining one."""
    if text.isascii():
        return len(text)
    from wcwidth import wcswidth  # as tabulate does

    return wcswidth(text)


def _cut(cell: str, width: int) -> str:
    if columns(cell) <= width:
        return cell
    kept = cell[: width - 1]
    while columns(kept) >= width:
        kept = kept[:-1]
    return kept + "…"


def _fit(headers: Sequence[str], rows: list[list[str]], align: Sequence[str]) -> list[int]:
    """The widths of the columns, the widest text columns shortened until a row fits the terminal; never a
    number, never through a pipe.  Empty when that is not enough."""
    widths = [max(columns(header), *(columns(row[i]) for row in rows)) for i, header in enumerate(headers)]
    if not sys.stdout.isatty():
        return widths
    room = shutil.get_terminal_size().columns - 2 * (len(widths) - 1)
    text = [i for i, side in enumerate(align) if side == LEFT]
    while sum(widths) > room and text:
        widest = max(text, key=lambda i: widths[i])
        floor = max(NARROWEST, columns(headers[widest]))
        others = max((widths[i] for i in text if i != widest), default=0)
        target = max(floor, min(others, widths[widest] - 1), widths[widest] - (sum(widths) - room))
        if target >= widths[widest]:
            text.remove(widest)
        else:
            widths[widest] = target
    return widths if sum(widths) <= room else []


def as_json(value: object, indent: int | None = None) -> str:
    """One JSON value, all of it printable ASCII."""
    # The one control character that JSON in ASCII leaves as it is.
    return json.dumps(value, indent=indent, default=_encode).replace("\x7f", "\\u007f")


def document(value: object) -> None:
    """Print one JSON document; times become ISO 8601 in UTC with a Z."""
    click.echo(as_json(value, indent=2))


def documents(values: Iterable[object]) -> None:
    """Print one JSON array without holding it in memory, an element a line."""
    remaining = iter(values)
    separator = "[\n "
    while piece := [as_json(value) for value in islice(remaining, PIECE)]:
        click.echo(separator + ",\n ".join(piece), nl=False)
        separator = ",\n "
    click.echo("[]" if separator == "[\n " else "\n]")


def csv_field(value: object) -> str:
    """A value as a field of CSV: text without what could move a cursor or break the line, all else as in JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return harmless(str(value))
    return as_json(value).strip('"') if isinstance(value, datetime) else as_json(value)


def _encode(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds") + "Z"
    raise TypeError(f"{type(value).__name__} has no JSON form")
