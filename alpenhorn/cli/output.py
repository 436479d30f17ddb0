"""Output: tables that fit the terminal, JSON, sizes, times, and escaped names.

Names come from an index that other programs write to, so control characters are escaped
(`alpenhorn.outside.harmless`).  Output to a pipe or a file is neither folded nor coloured.
"""

from __future__ import annotations

import json
import math
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice, zip_longest
from typing import Any

import click

from alpenhorn import formats
from alpenhorn.cli.app import App
from alpenhorn.formats import clock as clock
from alpenhorn.formats import count as count
from alpenhorn.formats import part as part
from alpenhorn.formats import percent as percent
from alpenhorn.formats import size as size
from alpenhorn.outside import harmless as harmless

PIECE = 500  # lines per write
PAGE = 5000  # rows that share their column widths; limits the memory for a long list
NARROWEST = 8  # minimum width of a folded column, in characters
NARROW = 20  # the same while there are columns that can be left out

SEPARATORS = " /_-.,;"  # where a text is folded
INDENT = "  "  # before the rest of a folded text

LEFT = "left"
RIGHT = "right"


def yes_no(value: object) -> str:
    return "yes" if value else "no"


def _in_local_time() -> bool:
    ctx = click.get_current_context(silent=True)
    app = ctx.find_object(App) if ctx is not None else None
    return app is not None and app.local_time


def _shown(moment: datetime | None) -> datetime | None:
    return formats.in_local_time(moment) if moment is not None and _in_local_time() else moment


def time(moment: datetime | None) -> str:
    """Format naive UTC as `2026-11-22 11:20:03`, in local time if that is wanted, for places that name the zone."""
    return formats.time(_shown(moment))


def zoned(moment: datetime | None) -> str:
    """Format naive UTC with the zone, as `2026-11-22 11:20:03 UTC`, or `2026-11-22 12:20:03 CET` in local time."""
    return formats.zoned(_shown(moment))


def zone() -> str:
    """Return the word for the zone of times, for the header of a column."""
    return "local" if _in_local_time() else "UTC"


def line(text: str) -> None:
    """Print a line, with names escaped."""
    click.echo(harmless(text))


def note(text: str) -> None:
    """Print a note on standard error, unless -q was given."""
    ctx = click.get_current_context(silent=True)
    app = ctx.find_object(App) if ctx is not None else None
    if app is None or app.verbosity >= 0:
        warning(text)


def warning(text: str) -> None:
    """Print a note about something that failed or was left out, also with -q."""
    click.echo(f"note: {harmless(text)}", err=True)


def lines(texts: Iterable[str]) -> None:
    """Print lines, with names escaped."""
    remaining = iter(texts)
    # In pieces, because every click.echo flushes.
    while piece := [harmless(text) for text in islice(remaining, PIECE)]:
        click.echo("\n".join(piece))


def fields(pairs: Iterable[tuple[str, object]]) -> None:
    """Print properties, one per line, with right-aligned names."""
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
    optional: Iterable[str] = (),
    wide: bool = False,
) -> None:
    """Print a table, or the line `empty` if there are no rows.

    Columns whose headers are in `right` are right-aligned.  Column widths are computed for each page of rows.  On a
    terminal that is too narrow for the columns, texts are folded, and the columns in `optional` are left out one after
    the other; if it is still too narrow, each row is printed as a block of lines.  `wide`: print the table as through a
    pipe, where none of this is done.
    """
    import tabulate  # 40 ms, and most commands print no table

    tabulate.MIN_PADDING = 0  # no column wider than its content
    room = math.inf if wide or not sys.stdout.isatty() else shutil.get_terminal_size().columns
    aligned = set(right)
    dropped = list(optional)
    align = [RIGHT if header in aligned else LEFT for header in headers]
    remaining = iter(rows)
    page = _page(remaining)
    if not page and empty:
        line(empty)
    first = True
    while page:
        kept = list(range(len(headers)))
        widths = _fit(headers, page, align, room, NARROW if dropped else NARROWEST)
        for number, header in enumerate(dropped, 1):
            if widths:
                break
            kept.remove(headers.index(header))
            narrowest = NARROW if number < len(dropped) else NARROWEST
            widths = _fit(*_only(kept, headers, page, align), room, narrowest)
        if not first:
            click.echo()
        if widths:
            heads, kept_cells, sides = _only(kept, headers, page, align)
            cells = [line for row in kept_cells for line in _folded(row, widths)]
            click.echo(
                tabulate.tabulate(
                    cells, headers=heads, colalign=sides, disable_numparse=True, preserve_whitespace=True
                )
            )
        else:
            _blocks(headers, page)
        first = False
        page = _page(remaining)


def _only(
    kept: Sequence[int], headers: Sequence[str], rows: list[list[str]], align: Sequence[str]
) -> tuple[list[str], list[list[str]], list[str]]:
    """Return headers, rows and alignments of the columns with the numbers `kept`."""
    return (
        [headers[i] for i in kept],
        [[row[i] for i in kept] for row in rows],
        [align[i] for i in kept],
    )


def _page(rows: Iterator[Sequence[object]]) -> list[list[str]]:
    return [["-" if cell is None else harmless(str(cell)) for cell in row] for row in islice(rows, PAGE)]


def _blocks(headers: Sequence[str], rows: list[list[str]]) -> None:
    for number, row in enumerate(rows):
        if number:
            click.echo()
        fields(zip(headers, row, strict=True))


def columns(text: str) -> int:
    """Return the width of `text` on a terminal: two columns for a wide character, none for a combining one."""
    if text.isascii():
        return len(text)
    from wcwidth import wcswidth  # 15 ms, and most texts are ASCII

    return wcswidth(text)


def cut(text: str, width: int, mark: str = "…") -> str:
    """Shorten `text` at its end to at most `width` columns of a terminal; `mark` replaces what was cut off."""
    if columns(text) <= width:
        return text
    room = max(0, width - columns(mark))
    kept = text[:room]
    while columns(kept) > room:
        kept = kept[:-1]
    return (kept + mark)[: max(0, width)]


def middle_cut(text: str, width: int, mark: str = "…") -> str:
    """Shorten `text` in the middle to at most `width` columns of a terminal; `mark` replaces what was cut out.

    Twice as much is kept of the end as of the beginning, since the names in an acquisition differ at the end.
    """
    if columns(text) <= width:
        return text
    if width <= columns(mark):
        return mark[: max(0, width)]
    head, tail = text[: len(text) // 3], text[len(text) // 3 :]
    while columns(head) + columns(mark) + columns(tail) > width:
        if 2 * columns(head) > columns(tail):
            head = head[:-1]
        else:
            tail = tail[1:]
    return head + mark + tail


def fold(text: str, width: int) -> list[str]:
    """Return the lines of a text in a column of a terminal that is `width` wide, all but the first indented.

    A line ends behind a space or another separator of names, if there is one in its second half.
    """
    lines = []
    while columns(text) > width:
        line = text[:width]
        while columns(line) > width:
            line = line[:-1]
        while columns(line + text[len(line)]) <= width:  # a combining character belongs to the one before it
            line += text[len(line)]
        end = max(line.rfind(mark) for mark in SEPARATORS) + 1
        line = line[: end if 2 * end > len(line) else None]
        lines.append(line)
        text = INDENT + text[len(line) :]
    return [*lines, text]


def _folded(row: Sequence[str], widths: Sequence[int]) -> Iterator[list[str]]:
    """Yield the lines of a row of a table."""
    for parts in zip_longest(*map(fold, row, widths), fillvalue=""):
        yield list(parts)


def _fit(
    headers: Sequence[str],
    rows: list[list[str]],
    align: Sequence[str],
    room: float,
    narrowest: int = NARROWEST,
) -> list[int]:
    """Return the widths of the columns, the widest text columns made narrower until a row fits into `room`.

    No column is made narrower than `narrowest`.  Numbers are never folded.  Return an empty list if the columns do
    not fit.
    """
    widths = [max(columns(header), *(columns(row[i]) for row in rows)) for i, header in enumerate(headers)]
    if math.isinf(room):
        return widths
    room -= 2 * (len(widths) - 1)
    text = [i for i, side in enumerate(align) if side == LEFT]
    while sum(widths) > room and text:
        widest = max(text, key=lambda i: widths[i])
        floor = max(narrowest, columns(headers[widest]))
        others = max((widths[i] for i in text if i != widest), default=0)
        target = max(floor, min(others, widths[widest] - 1), widths[widest] - int(sum(widths) - room))
        if target >= widths[widest]:
            text.remove(widest)
        else:
            widths[widest] = target
    return widths if sum(widths) <= room else []


def as_json(value: object, indent: int | None = None) -> str:
    """Return a JSON value in printable ASCII."""
    # The only control character that json.dumps does not escape.
    return json.dumps(value, indent=indent, default=_encode).replace("\x7f", "\\u007f")


def document(value: object) -> None:
    """Print one JSON document; times become ISO 8601 in UTC with a Z."""
    click.echo(as_json(value, indent=2))


def documents(values: Iterable[object]) -> None:
    """Print a JSON array, one element per line, without holding it in memory."""
    remaining = iter(values)
    separator = "[\n "
    while piece := [as_json(value) for value in islice(remaining, PIECE)]:
        click.echo(separator + ",\n ".join(piece), nl=False)
        separator = ",\n "
    click.echo("[]" if separator == "[\n " else "\n]")


def json_lines(values: Iterable[object]) -> None:
    """Print one JSON value per line, each at once, since a program may wait for it while the next one is computed."""
    for value in values:
        click.echo(as_json(value))


def csv_field(value: object) -> str:
    """Return a value as a CSV field: text with control characters escaped, other values as in JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return harmless(str(value))
    return as_json(value).strip('"') if isinstance(value, datetime) else as_json(value)


def _encode(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds") + "Z"
    raise TypeError(f"{type(value).__name__} has no JSON form")
