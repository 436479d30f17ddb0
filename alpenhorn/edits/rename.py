"""Hosts, groups and nodes renamed."""

from __future__ import annotations

import datetime

import peewee as pw

from alpenhorn.edits.rows import refuse_taken
from alpenhorn.errors import NotFound, Refused
from alpenhorn.index.connection import Index
from alpenhorn.scan.names import KINDS, NamedRow


def rename(index: Index, kind: str, row: NamedRow, name: str, now: datetime.datetime) -> None:
    """`kind`: host, group or node.  Of a node the name that it had is kept, by which its storage is marked.

    Raises Refused when another row has the new name, or this one was renamed meanwhile, NotFound when it is gone.
    """
    table, _ = KINDS[kind]
    lock = index.dialect.for_update

    def work() -> None:
        found = index.execute(f"SELECT name FROM {table} WHERE id = ?{lock}", (row.id,)).fetchone()
        if found is None:
            raise NotFound(f"the {kind} {row.name!r} was removed meanwhile; nothing was changed")
        if found[0] not in (row.name, name):
            raise Refused(
                f"the {kind} {row.name!r} was renamed to {found[0]!r} meanwhile; nothing was changed"
            )
        # The second time this is run, when the answer to the first commit was lost, it has the name already.
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
