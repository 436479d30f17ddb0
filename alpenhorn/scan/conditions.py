"""What lasts, as it was last met by the runs of each host."""

from __future__ import annotations

from alpenhorn.index.connection import Index
from alpenhorn.index.times import posix
from alpenhorn.model.conditions import Condition

COLUMNS = "code, subject, why, began, seen, reported"


def of_host(index: Index, host: str) -> list[Condition]:
    rows = index.execute(f"SELECT {COLUMNS} FROM sync_condition WHERE host = ? ORDER BY id", (host,))
    return [_condition(row) for row in rows.fetchall()]


def of_all(index: Index) -> list[tuple[str, Condition]]:
    """With the hosts whose runs met them."""
    rows = index.execute(f"SELECT host, {COLUMNS} FROM sync_condition ORDER BY host, id")
    return [(row[0], _condition(row[1:])) for row in rows.fetchall()]


def _condition(row: tuple[str, str, str, str, str, str | None]) -> Condition:
    code, subject, why, began, seen, reported = row
    return Condition(
        code, subject, why, posix(began), posix(seen), None if reported is None else posix(reported)
    )
