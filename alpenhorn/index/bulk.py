"""Statements about many rows at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

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
