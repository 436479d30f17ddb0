"""What raw rows need before they can be shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from alpenhorn.index.connection import Index
from alpenhorn.reasons import Why


def whole(value: object) -> int | None:
    """A SUM of integers; None where there was nothing to add."""
    return None if value is None else int(str(value))


def fault(row: Sequence[Any]) -> Why:
    """Why a row cannot be relied on: it has a value of the wrong type, see `alpenhorn.index.rows`; "" when it can."""
    if type(row) is tuple:
        return ""
    found: Why = getattr(row, "fault", "")
    return found


def stream(index: Index, sql: str, values: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
    """The rows of a query that may have millions of them, as they come."""
    # Not `yield from`: that would close the cursor when a reader stops early, after the index was closed.
    for row in index.execute(sql, tuple(values)):  # noqa: UP028
        yield row
