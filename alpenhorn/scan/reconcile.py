"""Copies of a node by directory, for the comparison with its disk; and the nodes that need a comparison."""

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
# The join starts with the files of the acquisitions: otherwise the engines would scan all copies of the node each time.
# Verifications dated in the future are ignored, as their times are wrong.
COPIES = """
    SELECT f.acq_id, f.name, f.size_b, c.id, c.has_file, COALESCE(v.verified, c.last_update)
    FROM archivefile f {join} archivefilecopy c ON c.file_id = f.id AND c.node_id = ?
    LEFT JOIN sync_verification v ON v.node_id = c.node_id AND v.file_id = c.file_id AND v.verified <= ?
    WHERE f.acq_id {acq}
"""


class Acquisition(NamedTuple):
    """An acquisition.  `copies`: number of copies on the node in any state; `good`: of those with has_file Y."""

    id: int
    name: str
    copies: int
    good: int


class Distrusted(NamedTuple):
    """A node that needs `alpenhorn reconcile`; `host` None: it has no host."""

    node: str
    host: str | None
    active: bool


def acquisitions(index: Index, node_id: int) -> list[Acquisition]:
    """Return the acquisitions of which a node has, or had, copies, in the order of ids."""
    return index.facts(Acquisition, ACQUISITIONS, (node_id,), good=int)


def copies(index: Index, node_id: int, acq_ids: Sequence[int], now: datetime.datetime) -> list[KnownCopy]:
    """Return the copies of a node, by acquisition."""
    rows: list[KnownCopy] = []
    for marks, some in in_chunks(acq_ids):
        sql = COPIES.format(join=index.dialect.lookup_join, acq=f"IN ({marks}) ORDER BY f.acq_id")
        rows += index.execute(sql, (node_id, now, *some)).fetchall()
    return rows


def in_pages(
    index: Index, node_id: int, acq_id: int, now: datetime.datetime, limit: int
) -> Iterator[list[KnownCopy]]:
    """Yield pages of the copies of an acquisition, sorted by the bytes of their names; each page is read on demand."""
    name, value = index.dialect.in_bytes("f.name"), index.dialect.in_bytes("?")
    sql = COPIES.format(
        join=index.dialect.lookup_join, acq=f"= ? AND {name} > {value} ORDER BY {name} LIMIT ?"
    )
    after = ""
    while rows := index.execute(sql, (node_id, now, acq_id, after, limit)).fetchall():
        yield list(rows)  # mysqlclient returns a tuple
        after = rows[-1][1]
        if len(rows) < limit:
            return


def below(index: Index, node_id: int, acq_id: int, directory: str, now: datetime.datetime) -> list[KnownCopy]:
    """Return the copies of an acquisition's files below a directory."""
    prefix = f"{directory}/"
    name, value = index.dialect.in_bytes("f.name"), index.dialect.in_bytes("?")
    condition = f"= ? AND {name} > {value} AND {name} < {value}"
    sql = COPIES.format(join=index.dialect.lookup_join, acq=condition)
    # "0" is the character after "/".
    rows: list[KnownCopy] = index.execute(sql, (node_id, now, acq_id, prefix, f"{directory}0")).fetchall()
    return [row for row in rows if row[1].startswith(prefix)]


def distrusted(index: Index) -> list[Distrusted]:
    """Return the nodes whose copies do not count until `alpenhorn reconcile` was run on their hosts, by name."""
    return index.facts(
        Distrusted,
        "SELECT n.name AS node__name, h.name AS host__name, n.active"
        " FROM sync_medium m JOIN storagenode n ON n.id = m.node_id"
        " LEFT JOIN storagehost h ON h.id = n.host_id WHERE m.distrust = 'reconcile' ORDER BY n.name",
        active=bool,
    )
