"""What raw rows need before they can be shown: SQLite hands out times as text, MariaDB sums as decimals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from alpenhorn.index.connection import Index


def moment(value: datetime | str | None) -> datetime | None:
    """A datetime column, naive UTC."""
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def whole(value: object) -> int | None:
    """A SUM of integers; None where there was nothing to add."""
    return None if value is None else int(str(value))


def stream(index: Index, sql: str, values: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
    """The rows of a query that may have millions of them, as they come."""
    # Not `yield from`: that would close the cursor when a reader stops early, after the index was closed.
    for row in index.execute(sql, tuple(values)):  # noqa: UP028
        yield row
