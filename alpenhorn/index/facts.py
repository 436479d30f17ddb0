"""Rows become facts by the names of their columns.

The columns of a statement are compared with the fields of a NamedTuple once; after that a row costs what it costs to
make a tuple.  A column is named as the field, or `AS field__column` where the field has another name than the column
that its values come from: the door for hostile values (`alpenhorn.index.rows`) knows values by the column.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from operator import itemgetter
from typing import Any, TypeVar

Fact = TypeVar("Fact")
Convert = Callable[[Any], Any]


def whole(total: object) -> int:
    """Return a SUM of integers; 0 where there was nothing to add."""
    return 0 if total is None else int(str(total))


FAULT = "fault"  # the field that says why a row cannot be relied on


def field_of(column: str) -> str:
    """Return the field that a column of a result is meant for."""
    return column.partition("__")[0]


def every(cursor: Any, fact: type[Fact], convert: dict[str, Convert]) -> list[Fact]:
    """Return the rows of a result as facts."""
    make = _maker_for(cursor, fact, convert)
    return [make(row) for row in cursor.fetchall()]


def first(cursor: Any, fact: type[Fact], convert: dict[str, Convert]) -> Fact | None:
    """Return the first row of a result as a fact; None when there is none."""
    row = cursor.fetchone()
    return None if row is None else _maker_for(cursor, fact, convert)(row)


def stream(cursor: Any, fact: type[Fact], convert: dict[str, Convert]) -> Iterator[Fact]:
    """Yield the rows of a result, of which there may be millions, as they come."""
    make = _maker_for(cursor, fact, convert)
    for row in cursor:
        yield make(row)


def _maker_for(cursor: Any, fact: type[Fact], convert: dict[str, Convert]) -> Callable[[Any], Fact]:
    columns = tuple([column[0] for column in cursor.description])
    made: Callable[[Any], Fact] = maker(fact, columns, tuple(convert.items()))  # type: ignore[arg-type]
    return made


@functools.lru_cache(maxsize=512)
def maker(
    fact: Any, columns: tuple[str, ...], convert: tuple[tuple[str, Convert], ...] = ()
) -> Callable[[Any], Any]:
    """Return what makes a fact of a row with these columns.

    Fields without a column have their default.  `convert`: fields whose values are changed, and how.
    Raises TypeError when a column has no field, a field neither column nor default, or two columns have one field.
    """
    fields: tuple[str, ...] = fact._fields
    given = [field_of(column) for column in columns]
    defaults: dict[str, Any] = fact._field_defaults
    wrong = [
        *(f"no field for the column {name}" for name in given if name not in fields),
        *(f"no column for the field {name}" for name in fields if name not in given and name not in defaults),
        *(f"two columns for the field {name}" for name in sorted({n for n in given if given.count(n) > 1})),
        *(f"no field {name} to convert" for name, _ in convert if name not in given),
    ]
    if wrong:
        raise TypeError(f"{fact.__name__}: {'; '.join(wrong)}")
    rest = [name for name in fields if name not in given]
    added = tuple(defaults[name] for name in rest)
    order = [(*given, *rest).index(name) for name in fields]
    pick = None if order == list(range(len(fields))) or len(order) < 2 else itemgetter(*order)
    made = _plain(fact, pick, added, [(fields.index(name), how) for name, how in convert])
    if FAULT not in rest:
        return made

    def with_fault(row: Any) -> Any:
        return made(row) if type(row) is tuple else made(row)._replace(fault=row.fault)

    return with_fault


def _plain(
    fact: Any,
    pick: Callable[[Any], Any] | None,
    added: tuple[Any, ...],
    converted: list[tuple[int, Convert]],
) -> Callable[[Any], Any]:
    # Not the class itself, which takes its arguments one by one, nor its `_make`, which counts them.
    new = functools.partial(tuple.__new__, fact)
    if converted:

        def changed(row: Any) -> Any:
            cells = list(row + added if pick is None else pick(row + added))
            for place, how in converted:
                cells[place] = how(cells[place])
            return new(cells)

        return changed
    if pick is not None:
        return lambda row: new(pick(row + added))
    if added:
        return lambda row: new(row + added)
    return new
