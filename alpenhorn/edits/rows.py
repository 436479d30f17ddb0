"""One row inserted or changed by its columns' names; for the edits of hosts, groups and nodes.

To be called inside `Index.retry`.  Table and column names are ours, never a user's.
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
    """Raises Refused when a row has the name, other than that with the id `but`.  To be called before the work
    that creates or renames a row."""
    if (
        index.execute(f"SELECT id FROM {table} WHERE name = ? AND id <> ?", (name, but)).fetchone()
        is not None
    ):
        raise _taken(table, name)


def create(index: Index, table: str, values: Values) -> int:
    """Insert a row whose name no other has, and return its id.

    A row that is there with the same texts counts as made by us: the work is run again when the answer to
    its commit got lost.  Raises Refused when the name was taken meanwhile.
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
        f"there is a {kind} called {name!r} already; nothing was changed"
        f" (to change it: alpenhorn {kind} modify {name})"
    )


def change(index: Index, table: str, row_id: int, values: Values, edits: Mapping[str, TextEdit]) -> bool:
    """Set columns of a row, and return whether anything differed from before.

    `edits` are columns whose new value follows from the old one.  The row is read under a lock, so that
    what another program wrote meanwhile is neither missed nor undone; columns that are not named here are
    not touched.  Raises NotFound when the row is gone.
    """
    columns = [*values, *edits]
    if not columns:
        return False
    lock = index.dialect.for_update
    row = index.execute(f"SELECT {', '.join(columns)} FROM {table} WHERE id = ?{lock}", (row_id,)).fetchone()
    if row is None:
        raise NotFound(f"the {KIND_OF[table]} was removed meanwhile; nothing was changed")
    before = dict(zip(columns, row, strict=True))
    after = {**values, **{column: edit(before[column]) for column, edit in edits.items()}}
    changed = {column: value for column, value in after.items() if value != before[column]}
    if changed:
        settings = ", ".join(f"{column} = ?" for column in changed)
        index.execute(f"UPDATE {table} SET {settings} WHERE id = ?", (*changed.values(), row_id))
    return bool(changed)
