"""Checks of the rows of an SQLite index, in which any column can hold a value of any type, and text that is not UTF-8.

Every row that is read passes these checks.  A value of the wrong type is replaced by None, or by a safe substitute.
Such a row is a `Mended`, which has the reason, and is listed in `RowChecks.odd`, so that the user can correct it.
Without the checks, a text in a column of lengths would end a run with a TypeError.
"""

from __future__ import annotations

import math
import re
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from alpenhorn.outside import UNREADABLE
from alpenhorn.reasons import Code, Reason

MOST_NAMED = 100  # maximum number of rows that are listed
MOST_KEPT = 500  # maximum number of statements whose columns are cached
UNPLACED = "a row"  # a row that was read without its id
MOST_SHOWN = 40  # maximum number of characters of a value in messages


def _names(names: str) -> frozenset[str]:
    return frozenset(names.split())


# Columns with the same name have the same type in all tables; a test compares these sets with the models.
INTEGERS = _names(
    "id version host_id group_id active auto_import auto_verify absent_ok archive acq_id size_b file_id node_id ready"
    " group_to_id node_from_id completed cancelled recurse register autosync autoclean exit_status done failed bytes"
    " pid target_id reserved_b run_id fence subject_id count tries compared event_id files generation"
    " next_generation separate looked lost copies sites min_age priority policy_id required place begun_at part"
    " releases declared_lost stuck nowhere source_id request_id ids needs_tape"
)
FLOATS = _names("max_total_gb min_avail_gb avail_gb")
TEXTS = _names(
    "component name username address notes io_class io_config root comment md5sum sha256 has_file wants_file path host"
    " nodes counts ending kind blame error code reason purpose state manifest what why value medium word next_word"
    " distrust changed_why subject top_acq site pattern made_from batch status tape_class"
)
DATES = _names(
    "avail_gb_last_checked registered last_update timestamp transfer_started transfer_completed started ended expires"
    " last next verified pinned until renamed asked at seen wrong changed began reported news_at swept"
    " compared_at deleted trashed counted since"
)

# Substitutes in columns that are sorted, added up or shown everywhere.  A copy with an unknown state is suspect and not
# released; an unreadable name matches no path and no other row.
STAND_INS: dict[str, Any] = {
    "has_file": "M",
    "wants_file": "Y",
    **dict.fromkeys(("name", "path"), UNREADABLE),
    **dict.fromkeys(_names("blame error what why kind state purpose value nodes"), ""),
    **dict.fromkeys(
        _names(
            "count fence tries reserved_b event_id files done failed bytes looked lost compared stuck nowhere"
        ),
        0,
    ),
    "generation": 0,
}

_NAMED = {
    **dict.fromkeys(INTEGERS, "an integer"),
    **dict.fromkeys(FLOATS, "a finite number"),
    **dict.fromkeys(TEXTS, "text in UTF-8"),
    **dict.fromkeys(DATES, "a date"),
}
_FITTING: dict[str, tuple[type, ...]] = {
    "an integer": (int,),
    "a finite number": (int, float),
    "text in UTF-8": (str,),
    "a date": (str, int, float),
}
# An expression whose values are those of its first column.
_FIRST = re.compile(r"(?:COALESCE|MIN|MAX)\((?:\w+\.)?(\w+)")
_SUM, _SUM_AS = "TOTAL(", "__sum"
_LARGEST = 2**63 - 1


class Mended(tuple[Any, ...]):
    """A row in which values were replaced; `fault`: the reason for the first of them, which names the row."""

    fault: Reason


class RowChecks(NamedTuple):
    """What the checks of a database's rows need.

    `explain`: converts an error of the driver to one for the user, or None; `odd`: the rows with wrong values.
    """

    explain: Callable[[Exception], Exception | None]
    odd: dict[Reason, None]


class Connection(sqlite3.Connection):
    """A connection that checks rows."""

    checks: RowChecks

    def cursor(self, factory: Any = None) -> Any:
        return checked(self, self.checks) if factory is None else super().cursor(factory)


def checked(connection: sqlite3.Connection, checks: RowChecks) -> Cursor:
    """Return a cursor that checks rows, which are tuples even if the connection has another `row_factory`."""
    cursor = sqlite3.Connection.cursor(connection, Cursor)
    cursor.checks = checks
    cursor.row_factory = None
    return cursor


def _named(cursor: Cursor, column: str, value: object, row: Sequence[Any]) -> Reason:
    """Find the table and row that `value` came from, and add them to the odd ones; `row`: the values read with it."""
    odd = cursor.checks.odd
    more = len(odd) < MOST_NAMED
    ids = [cell for cell in row if type(cell) is int]
    place = _place(cursor.connection, column, value, ids) if more else UNPLACED
    reason = Code.ODD_VALUE(place=place, column=column, value=_shown(value), kind=_NAMED[column])
    if more and (place != UNPLACED or not any(str(one).endswith(reason[len(place) :]) for one in odd)):
        odd[reason] = None
    return reason


def _place(connection: sqlite3.Connection, column: str, value: object, ids: Iterable[int]) -> str:
    tables = _raw(
        connection,
        "SELECT m.name FROM sqlite_master m, pragma_table_info(m.name) p"
        " WHERE m.type = 'table' AND p.name = ? ORDER BY m.name",
        (column,),
    )
    same, given = f"{column} = ?", value
    if isinstance(value, str | bytes):
        same, given = f"CAST({column} AS BLOB) = ?", value if isinstance(value, bytes) else value.encode()
    for id in dict.fromkeys(ids):
        for (table,) in tables:
            if _raw(connection, f'SELECT 1 FROM "{table}" WHERE rowid = ? AND {same}', (id, given)):
                return f"row {id} of {table}"
    return UNPLACED


def _raw(connection: sqlite3.Connection, sql: str, values: tuple[Any, ...]) -> list[Any]:
    try:
        return sqlite3.Connection.cursor(connection, sqlite3.Cursor).execute(sql, values).fetchall()
    except sqlite3.Error:  # a table without row ids
        return []


def _shown(value: object) -> str:
    kind = {str: "the text ", bytes: "the bytes ", float: "the number "}.get(type(value), "")
    shown = repr(value)
    return kind + (shown if len(shown) <= MOST_SHOWN else f"{shown[:MOST_SHOWN]}…")


def text(stored: bytes) -> str | bytes:
    """Decode a value of the type text; return bytes, which are valid in no column, if it is not UTF-8."""
    try:
        return stored.decode()
    except UnicodeDecodeError:
        return stored


class _RowCheck:
    """The check of the rows of one statement.  `known`: combinations of types that need no further check."""

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = [_column(name) for name in columns]
        self.sums = [name.startswith(_SUM) or name.endswith(_SUM_AS) for name in columns]
        self.known: set[tuple[type, ...]] = set()
        self._numbers = [place for place, name in enumerate(self.columns) if name in FLOATS]
        self._if_finite: set[tuple[type, ...]] = set()

    def mend(self, cursor: Cursor, row: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the row with wrong values replaced."""
        signature = tuple(map(type, row))
        if signature in self._if_finite and self._finite(row):
            return row
        cells: list[Any] = []
        faults: list[Reason] = []
        for column, is_sum, cell in zip(self.columns, self.sums, row, strict=True):
            if cell is None:
                cells.append(None)
            elif is_sum:
                cells.append(_whole(cell))
            elif column not in _NAMED or _fits(column, cell):
                cells.append(cell)
            elif column in INTEGERS and type(cell) is float and cell.is_integer():
                cells.append(int(cell))
            else:
                faults.append(_named(cursor, column, cell, row))
                cells.append(STAND_INS.get(column))
        if faults:
            mended = Mended(cells)
            mended.fault = faults[0]
            return mended
        same = tuple(cells)
        if signature == tuple(map(type, same)):
            # The type alone does not show whether a number is finite.
            (self._if_finite if self._numbers else self.known).add(signature)
        return same

    def _finite(self, row: tuple[Any, ...]) -> bool:
        return all(row[place] is None or math.isfinite(row[place]) for place in self._numbers)


def _fits(column: str, cell: object) -> bool:
    return type(cell) in _FITTING[_NAMED[column]] and not (column in FLOATS and not math.isfinite(cell))  # type: ignore[arg-type]


def _column(name: str) -> str:
    """Return the column that values come from: the part after `__`, see `alpenhorn.index.facts`."""
    first = _FIRST.match(name)
    return first[1] if first else name.rpartition("__")[2]


def _whole(total: float) -> int:
    """Convert a sum to an integer; limit sums that are out of range."""
    if math.isnan(total):
        return 0
    return int(max(-_LARGEST, min(total, _LARGEST)))


_checks: dict[str, _RowCheck] = {}


class Cursor(sqlite3.Cursor):
    """A cursor that checks rows and explains errors: a damaged page often shows only while rows are fetched."""

    checks: RowChecks
    _check: _RowCheck | None = None

    def execute(self, sql: str, parameters: Any = ()) -> Cursor:
        self._check = None
        super().execute(sql, parameters)
        if self.description is not None:
            check = _checks.get(sql)
            # The columns of `SELECT *` change when one is added to the table.
            if check is None or len(check.columns) != len(self.description):
                if len(_checks) >= MOST_KEPT:
                    _checks.clear()
                check = _checks[sql] = _RowCheck([column[0] for column in self.description])
            self._check = check
        return self

    def _checked(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        check = self._check
        if check is None or tuple(map(type, row)) in check.known:
            return row
        return check.mend(self, row)

    def __next__(self) -> Any:
        try:
            row = super().__next__()
        except sqlite3.Error as error:
            raise self._explained(error) from error
        return self._checked(row)

    def fetchone(self) -> Any:
        try:
            row = super().fetchone()
        except sqlite3.Error as error:
            raise self._explained(error) from error
        return None if row is None else self._checked(row)

    def fetchmany(self, size: int | None = None) -> list[Any]:
        try:
            rows = super().fetchmany(self.arraysize if size is None else size)
        except sqlite3.Error as error:
            raise self._explained(error) from error
        return [self._checked(row) for row in rows]

    def fetchall(self) -> list[Any]:
        try:
            rows = super().fetchall()
        except sqlite3.Error as error:
            raise self._explained(error) from error
        check = self._check
        if check is None:
            return rows
        known, mend = check.known, check.mend
        return [row if tuple(map(type, row)) in known else mend(self, row) for row in rows]

    def _explained(self, error: sqlite3.Error) -> Exception:
        return self.checks.explain(error) or error
