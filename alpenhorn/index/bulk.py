"""Statements that read or change many rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from alpenhorn.index.connection import Index

Item = TypeVar("Item")

CHUNK = 500  # values in one IN list; below every database's limit on parameters (SQLite: at least 999)


def chunks(values: Sequence[Item], length: int = CHUNK) -> Iterator[Sequence[Item]]:
    """Cut a sequence into pieces of at most `length` items."""
    for start in range(0, len(values), length):
        yield values[start : start + length]


def marks(values: Sequence[object]) -> str:
    """Return `?, ?, ?` for an IN list; NULL for an empty list, so that no row matches."""
    return ", ".join("?" * len(values)) or "NULL"


def at_most(limit: int | None) -> str:
    """Return the LIMIT clause for the end of a SELECT, "" for no limit.

    A client of MariaDB receives all rows of a SELECT before the first one can be read.
    """
    return "" if limit is None else f" LIMIT {limit}"


def in_chunks(ids: Sequence[int]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Cut `ids` into pieces for `IN (…)`; yield the marks and the ids of each piece."""
    for piece in chunks(ids):
        yield marks(piece), tuple(piece)


def update(
    index: Index,
    table: str,
    settings: Mapping[str, Any],
    state: str,
    row: str,
    selected: Sequence[tuple[str, tuple[Any, ...]]],
) -> int:
    """Set columns of the rows that queries select, in one transaction; return the number of changed rows.

    `selected`: queries as (SQL text from FROM on, values); the expression `row` (such as `c.id`) is the id of the row
    to change.  `state`: a condition on the row, which is called `u`; it is tested again when the row is locked, so
    that changes by other programs in the meantime are kept.
    """

    def work() -> int:
        statements = (
            index.dialect.update_selected(table, settings, state, row, sql, values)
            for sql, values in selected
        )
        return sum(int(index.execute(sql, values).rowcount) for sql, values in statements)

    return index.retry(work)


class Interrupter:
    """End, from another thread, the statement that this thread is executing; that then raises an error.

    Without it, signals would have no effect until a statement about millions of rows has returned from the library.
    """

    def __init__(self, index: Index) -> None:
        self._index = index
        self._connection = index.db.connection()
        self._session = 0 if index.dialect.in_a_file else self._connection.thread_id()

    def __call__(self) -> None:
        """End the statement; do nothing if there is none or it cannot be ended."""
        with suppress(Exception):
            if self._index.dialect.in_a_file:
                self._connection.interrupt()
            # After a restart of the server, the number of a lost session may belong to another client.
            elif self._connection.open:
                self._kill()

    def _kill(self) -> None:
        try:
            # Each thread has its own connection, so this one is free.
            self._index.execute(f"KILL QUERY {self._session}")
        finally:
            self._index.disconnect()
