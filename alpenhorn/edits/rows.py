"""Insertion and changes of one row by names of columns, for hosts, groups and nodes.

Call these functions inside `Index.retry`.  Names of tables and columns never come from the user.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from alpenhorn.errors import NotFound, Refused
from alpenhorn.index.connection import Index
from alpenhorn.scan import names

Values = Mapping[str, Any]
TextEdit = Callable[[str | None], str | None]

KIND_OF = {table: kind for kind, (table, _) in names.KINDS.items()}


def refuse_taken(index: Index, table: str, name: str, but: int = 0) -> None:
    """Raise Refused if a row other than `but` (an id) has the name.  Call it before creating or renaming a row."""
    if (
        index.execute(f"SELECT id FROM {table} WHERE name = ? AND id <> ?", (name, but)).fetchone()
        is not None
    ):
        raise _taken(table, name)


def create(index: Index, table: str, values: Values) -> int:
    """Insert a row with a new name, and return its id.

    An existing row with the same texts counts as created by this call, which is retried if the answer to its commit is
    lost.  Raises Refused if another row has the name.
    """
    columns = list(values)
    cursor = index.execute(index.insert_ignore(table, columns), tuple(values.values()))
    texts = {column: value for column, value in values.items() if isinstance(value, str)}
    row_id, *there = index.execute(
        f"SELECT id, {', '.join(texts)} FROM {table} WHERE name = ?", (values["name"],)
    ).fetchone()
    if cursor.rowcount != 1 and there != list(texts.values()):
        raise _taken(table, values["name"])
    return int(row_id)


def _taken(table: str, name: str) -> Refused:
    kind = KIND_OF[table]
    return Refused(
        f"{kind} {name!r}: exists already; nothing was changed (to change it: alpenhorn {kind} modify {name})"
    )


def change(index: Index, table: str, row_id: int, values: Values, edits: Mapping[str, TextEdit]) -> bool:
    """Set columns of a row; return whether anything changed.

    `edits`: columns whose new value is computed from the old one.  The row is read under a lock, so that changes by
    other programs are neither missed nor undone; other columns are not written.  Raises NotFound if the row was
    removed.
    """
    columns = [*values, *edits]
    if not columns:
        return False
    lock = index.dialect.for_update
    row = index.execute(f"SELECT {', '.join(columns)} FROM {table} WHERE id = ?{lock}", (row_id,)).fetchone()
    if row is None:
        raise NotFound(f"the {KIND_OF[table]} was removed in the meantime; nothing was changed")
    before = dict(zip(columns, row, strict=True))
    after = {**values, **{column: edit(before[column]) for column, edit in edits.items()}}
    changed = {column: value for column, value in after.items() if value != before[column]}
    if changed:
        settings = ", ".join(f"{column} = ?" for column in changed)
        index.execute(f"UPDATE {table} SET {settings} WHERE id = ?", (*changed.values(), row_id))
    return bool(changed)
