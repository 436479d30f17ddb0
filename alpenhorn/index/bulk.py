"""Statements about many rows at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from alpenhorn.index.connection import Index

Item = TypeVar("Item")

CHUNK = 500  # values in one IN list; below every database's limit on parameters (SQLite's least: 999)


def chunks(values: Sequence[Item], length: int = CHUNK) -> Iterator[Sequence[Item]]:
    for start in range(0, len(values), length):
        yield values[start : start + length]


def marks(values: Sequence[object]) -> str:
    """`?, ?, ?` for an IN list.  An empty list becomes NULL, which nothing is in."""
    return ", ".join("?" * len(values)) or "NULL"


def in_chunks(ids: Sequence[int]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Cut `ids` up for `IN (…)`: for each piece the marks to stand there, and the ids themselves."""
    for some in chunks(ids):
        yield marks(some), tuple(some)


def update(
    index: Index,
    table: str,
    settings: Mapping[str, Any],
    state: str,
    row: str,
    selected: Sequence[tuple[str, tuple[Any, ...]]],
) -> int:
    """Set columns of the rows that some queries find, in one transaction, and return how many it was.

    `selected`: each the SQL text of a query from FROM on, in which `row` (as `c.id`) is the id of what is to be
    changed, and its values.  `state`: a condition on the row, there called `u`, asked again of each when it is had,
    so that what another program made of it meanwhile stays.
    """

    def work() -> int:
        statements = (
            index.dialect.update_selected(table, settings, state, row, sql, values)
            for sql, values in selected
        )
        return sum(int(index.execute(sql, values).rowcount) for sql, values in statements)

    return index.retry(work)


class Interrupter:
    """Lets another thread end the statement that this one is executing, which then raises some error.

    A statement about millions of rows is one call into a library, and no signal is acted upon before that is over.
    """

    def __init__(self, index: Index) -> None:
        self._index = index
        self._connection = index.db.connection()
        self._session = 0 if index.dialect.in_a_file else self._connection.thread_id()

    def __call__(self) -> None:
        """Does nothing where there is no statement, or it cannot be ended: then it goes on to its end."""
        with suppress(Exception):
            if self._index.dialect.in_a_file:
                self._connection.interrupt()
            # Not one that was lost meanwhile: after a restart of the server its number may be somebody else's.
            elif self._connection.open:
                self._kill()

    def _kill(self) -> None:
        try:
            # Through another connection: each thread has its own.
            self._index.execute(f"KILL QUERY {self._session}")
        finally:
            self._index.disconnect()
