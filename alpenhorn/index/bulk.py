"""Statements about many rows at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

CHUNK = 500  # well below the least number of parameters that any SQLite takes (999)


def in_chunks(ids: Sequence[int]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Cut `ids` up for `IN (…)`: for each piece the marks to stand there, and the ids themselves."""
    for start in range(0, len(ids), CHUNK):
        some = tuple(ids[start : start + CHUNK])
        yield ", ".join("?" * len(some)), some
