"""Markdown formatted for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions
from rich.markdown import Markdown, MarkdownElement, TableElement
from rich.table import Table
from rich.text import Text

WIDEST = 100  # columns; longer lines are hard to read
KEPT = 32  # columns; a first column up to this width is not wrapped


class WholeTable(TableElement):
    """A table that wraps cells instead of cutting them off."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Table]:
        for table in super().__rich_console__(console, options):
            assert isinstance(table, Table)
            for column in table.columns:
                column.overflow = "fold"
            cells = [cell for cell in table.columns[0].cells if isinstance(cell, Text)]
            table.columns[0].no_wrap = all(cell_len(cell.plain) <= KEPT for cell in cells)
            yield table


class ManualPage(Markdown):
    elements: ClassVar[dict[str, type[MarkdownElement]]] = {**Markdown.elements, "table_open": WholeTable}


def formatted(text: str) -> str:
    """Return Markdown formatted for the terminal that standard output is."""
    console = Console()
    console.width = min(console.width, WIDEST)
    with console.capture() as capture:
        console.print(ManualPage(text, code_theme="bw", hyperlinks=False))
    return capture.get()
