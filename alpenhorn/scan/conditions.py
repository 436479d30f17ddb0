"""What lasts, as it was last met by the runs of each host."""

from __future__ import annotations

from typing import Any, NamedTuple

from alpenhorn.index.connection import Index
from alpenhorn.index.times import posix
from alpenhorn.model.conditions import Condition

SELECT = "SELECT host, code, subject, why, began, seen, reported FROM sync_condition"


class _ConditionRow(NamedTuple):
    host: str
    code: str
    subject: str
    why: str
    began: float
    seen: float
    reported: float | None

    @property
    def fact(self) -> Condition:
        return Condition(self.code, self.subject, self.why, self.began, self.seen, self.reported)


def of_host(index: Index, host: str) -> list[Condition]:
    return [row.fact for row in _rows(index, f"{SELECT} WHERE host = ? ORDER BY id", (host,))]


def of_all(index: Index) -> list[tuple[str, Condition]]:
    """With the hosts whose runs met them."""
    return [(row.host, row.fact) for row in _rows(index, f"{SELECT} ORDER BY host, id", ())]


def _rows(index: Index, sql: str, values: tuple[str, ...]) -> list[_ConditionRow]:
    return index.facts(_ConditionRow, sql, values, began=posix, seen=posix, reported=_posix_or_none)


def _posix_or_none(stored: Any) -> float | None:
    return None if stored is None else posix(stored)
