"""What the index knows of a node, by directory, to be compared with the disk; and which nodes wait for that."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from alpenhorn.index.bulk import in_chunks
from alpenhorn.index.connection import Index
from alpenhorn.model.reconcile import KnownCopy

ACQUISITIONS = """
    SELECT a.id, a.name, g.copies, g.good FROM (
        SELECT f.acq_id AS acq_id, COUNT(*) AS copies, SUM(CASE WHEN c.has_file = 'Y' THEN 1 ELSE 0 END) AS good
        FROM archivefilecopy c JOIN archivefile f ON f.id = c.file_id WHERE c.node_id = ? GROUP BY f.acq_id
    ) g JOIN archiveacq a ON a.id = g.acq_id ORDER BY a.id
"""
# By the files of the acquisitions: left to choose, the engines would go through all copies of the node each time.  A
# verification that is dated to the future says nothing of when the file was read.
COPIES = """
    SELECT f.acq_id, f.name, f.size_b, c.id, c.has_file, COALESCE(v.verified, c.last_update)
    FROM archivefile f {join} archivefilecopy c ON c.file_id = f.id AND c.node_id = ?
    LEFT JOIN sync_verification v ON v.node_id = c.node_id AND v.file_id = c.file_id AND v.verified <= ?
    WHERE f.acq_id {acq}
"""


class Acquisition(NamedTuple):
    """`copies`: of its files, copies in any state that the index has on the node; `good`: those with has_file Y."""

    id: int
    name: str
    copies: int
    good: int


class Distrusted(NamedTuple):
    """A node that waits for a reconciliation; `host` None: it is on none."""

    node: str
    host: str | None
    active: bool


def acquisitions(index: Index, node_id: int) -> list[Acquisition]:
    """Those of which a node has, or had, any copy, by id."""
    return index.facts(Acquisition, ACQUISITIONS, (node_id,), good=int)


def copies(index: Index, node_id: int, acq_ids: Sequence[int], now: datetime.datetime) -> list[KnownCopy]:
    """The copies of a node, one acquisition after the other."""
    rows: list[KnownCopy] = []
    for marks, some in in_chunks(acq_ids):
        sql = COPIES.format(join=index.dialect.lookup_join, acq=f"IN ({marks}) ORDER BY f.acq_id")
        rows += index.execute(sql, (node_id, now, *some)).fetchall()
    return rows


def in_pages(
    index: Index, node_id: int, acq_id: int, now: datetime.datetime, limit: int
) -> Iterator[list[KnownCopy]]:
    """The copies of an acquisition in the order of the bytes of their names, a page at a time, each read when it is
    asked for."""
    name, value = index.dialect.in_bytes("f.name"), index.dialect.in_bytes("?")
    sql = COPIES.format(
        join=index.dialect.lookup_join, acq=f"= ? AND {name} > {value} ORDER BY {name} LIMIT ?"
    )
    after = ""
    while rows := index.execute(sql, (node_id, now, acq_id, after, limit)).fetchall():
        yield list(rows)  # one of the drivers gives a tuple
        after = rows[-1][1]
        if len(rows) < limit:
            return


def below(index: Index, node_id: int, acq_id: int, directory: str, now: datetime.datetime) -> list[KnownCopy]:
    """The copies of an acquisition's files whose names begin with a directory."""
    prefix = f"{directory}/"
    name, value = index.dialect.in_bytes("f.name"), index.dialect.in_bytes("?")
    condition = f"= ? AND {name} > {value} AND {name} < {value}"
    sql = COPIES.format(join=index.dialect.lookup_join, acq=condition)
    # "0" is what follows on "/".
    rows: list[KnownCopy] = index.execute(sql, (node_id, now, acq_id, prefix, f"{directory}0")).fetchall()
    return [row for row in rows if row[1].startswith(prefix)]


def distrusted(index: Index) -> list[Distrusted]:
    """The nodes whose copies do not count until `alpenhorn reconcile` was run on their hosts, by name."""
    return index.facts(
        Distrusted,
        "SELECT n.name AS node__name, h.name AS host__name, n.active"
        " FROM sync_medium m JOIN storagenode n ON n.id = m.node_id"
        " LEFT JOIN storagehost h ON h.id = n.host_id WHERE m.distrust = 'reconcile' ORDER BY n.name",
        active=bool,
    )


def restored(index: Index) -> str:
    """Why nothing may be deleted on this index; "" when that is not so."""
    return index.value("SELECT value FROM sync_index WHERE name = 'restored'") or ""
