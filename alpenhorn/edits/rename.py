"""Renaming of hosts, groups and nodes."""

from __future__ import annotations

import datetime

import peewee as pw

from alpenhorn.edits.rows import refuse_taken
from alpenhorn.errors import NotFound, Refused
from alpenhorn.index.connection import Index
from alpenhorn.scan.names import KINDS, NamedRow


def rename(index: Index, kind: str, row: NamedRow, name: str, now: datetime.datetime) -> None:
    """Rename a row.  `kind`: host, group or node.  A node's former name is kept, since the marker has it.

    Raises Refused if another row has the new name, or this one was renamed in the meantime; NotFound if it was removed.
    """
    table, _ = KINDS[kind]
    lock = index.dialect.for_update

    def work() -> None:
        found = index.execute(f"SELECT name FROM {table} WHERE id = ?{lock}", (row.id,)).fetchone()
        if found is None:
            raise NotFound(f"{kind} {row.name!r}: was removed in the meantime; nothing was changed")
        if found[0] not in (row.name, name):
            raise Refused(
                f"{kind} {row.name!r}: was renamed to {found[0]!r} in the meantime; nothing was changed"
            )
        # It already has the name if this is a retry after the answer to the commit was lost.
        index.execute(f"UPDATE {table} SET name = ? WHERE id = ?", (name, row.id))
        if kind == "node":
            columns = ("node_id", "name", "renamed")
            sql = index.upsert("sync_former_name", columns, columns[:2], columns[2:])
            index.execute(sql, (row.id, row.name, now))

    refuse_taken(index, table, name, but=row.id)
    try:
        index.retry(work)
    except pw.IntegrityError:
        refuse_taken(index, table, name, but=row.id)
        raise
