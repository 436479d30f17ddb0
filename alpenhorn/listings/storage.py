"""Hosts, groups and nodes for listings and descriptions.  The tables are small and read completely."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from alpenhorn.index.connection import Index
from alpenhorn.index.facts import whole
from alpenhorn.index.times import moment
from alpenhorn.reasons import Reason, recorded
from alpenhorn.scan.pulls import PENDING, every_pending
from alpenhorn.scan.topology import SITE


class HostRow(NamedTuple):
    """A host.  `site`: where it is; by default its name."""

    id: int
    name: str
    username: str | None
    address: str | None
    notes: str | None
    nodes: int
    site: str


class GroupRow(NamedTuple):
    id: int
    name: str
    io_class: str | None
    io_config: str | None
    notes: str | None
    nodes: int


class NodeRow(NamedTuple):
    """A node.

    The `_gb` columns are in GiB.  `absent_ok`: number of days for which it may be absent, None for none.  `top_acq`:
    the acquisition into which files at the top of its root are moved, None for none.  `site`: its own site, or that of
    its host; None without both.  `retired`: nothing is copied to it, and its copies do not count.
    """

    id: int
    name: str
    group: str
    host: str | None
    root: str | None
    active: bool
    archive: bool
    io_class: str | None
    io_config: str | None
    auto_import: bool
    auto_verify: int
    max_total_gb: float | None
    min_avail_gb: float
    avail_gb: float | None
    avail_gb_last_checked: datetime | None
    notes: str | None
    username: str | None
    address: str | None
    absent_ok: int | None
    top_acq: str | None
    site: str | None
    retired: bool = False


class ActionRow(NamedTuple):
    """A rule from a node to a group, with its actions."""

    node: str
    group: str
    autosync: bool
    autoclean: bool


class ImportRow(NamedTuple):
    """A pending import request."""

    id: int
    path: str
    recurse: bool
    register: bool
    timestamp: datetime | None
    error: Reason | None


class _ImportColumns(NamedTuple):
    id: int
    path: str
    recurse: bool
    register: bool
    timestamp: datetime | None
    error: str | None
    code: str | None


class PendingTransfersRow(NamedTuple):
    """Pending requests from one node to one group.  `bytes`: total length of files whose length is known."""

    node: str
    group: str
    files: int
    bytes: int


HOSTS = """
    SELECT h.id, h.name, h.username, h.address, h.notes,
           (SELECT COUNT(*) FROM storagenode n WHERE n.host_id = h.id) AS nodes__count,
           {site} AS site
    FROM storagehost h {own} {where} ORDER BY h.name
"""
GROUPS = """
    SELECT g.id, g.name, g.io_class, g.io_config, g.notes,
           (SELECT COUNT(*) FROM storagenode n WHERE n.group_id = g.id) AS nodes__count
    FROM storagegroup g {where} ORDER BY g.name
"""
NODES = """
    SELECT n.id, n.name, g.name AS group__name, h.name AS host__name, n.root, n.active, n.archive, n.io_class,
           n.io_config, n.auto_import, n.auto_verify, n.max_total_gb, n.min_avail_gb, n.avail_gb,
           n.avail_gb_last_checked, n.notes, h.username, h.address, {absent_ok} AS absent_ok,
           {top_acq} AS top_acq, {site} AS site, {retired} AS retired
    FROM storagenode n LEFT JOIN storagegroup g ON g.id = n.group_id LEFT JOIN storagehost h ON h.id = n.host_id
    {own} {where} ORDER BY n.name
"""
OWN = """
    LEFT JOIN sync_node s ON s.node_id = n.id LEFT JOIN sync_host t ON t.host_id = n.host_id
    LEFT JOIN sync_retirement r ON r.node_id = n.id AND r.cancelled <> 1
"""
ACTIONS = """
    SELECT n.name AS node__name, g.name AS group__name, t.autosync, t.autoclean
    FROM storagetransferaction t JOIN storagenode n ON n.id = t.node_from_id
    JOIN storagegroup g ON g.id = t.group_to_id
    WHERE (t.autosync = 1 OR t.autoclean = 1) {and_where} ORDER BY n.name, g.name
"""
IMPORTS = """
    SELECT i.id, i.path, i.recurse, i.register, i.timestamp, t.error, t.code
    FROM archivefileimportrequest i LEFT JOIN sync_attempt t ON t.kind = 'import' AND t.subject_id = i.id
    WHERE i.node_id = ? AND i.completed = 0 ORDER BY i.id
"""
TRANSFERS = """
    SELECT n.name AS node__name, g.name AS group__name, p.files, p.bytes AS bytes__sum FROM (
        SELECT r.node_from_id, r.group_to_id, COUNT(*) AS files, SUM(f.size_b) AS bytes
        FROM archivefilecopyrequest r LEFT JOIN archivefile f ON f.id = r.file_id
        WHERE {where} GROUP BY r.node_from_id, r.group_to_id
    ) p LEFT JOIN storagenode n ON n.id = p.node_from_id LEFT JOIN storagegroup g ON g.id = p.group_to_id
    ORDER BY n.name, g.name
"""


def hosts(index: Index, host_id: int | None = None, *, own_tables: bool = True) -> list[HostRow]:
    """Return all hosts, or one.  `own_tables`: as in `nodes`."""
    where, values = _only("h.id", host_id)
    sql = HOSTS.format(
        where=where,
        site="COALESCE(t.site, h.name)" if own_tables else "h.name",
        own="LEFT JOIN sync_host t ON t.host_id = h.id" if own_tables else "",
    )
    return index.facts(HostRow, sql, values)


def groups(index: Index, group_id: int | None = None) -> list[GroupRow]:
    """Return all groups, or one."""
    where, values = _only("g.id", group_id)
    return index.facts(GroupRow, GROUPS.format(where=where), values)


def nodes(
    index: Index,
    *,
    node_id: int | None = None,
    group_id: int | None = None,
    host_id: int | None = None,
    active: bool | None = None,
    own_tables: bool = True,
) -> list[NodeRow]:
    """Return the nodes that match all arguments.

    `own_tables`: whether the index has alpenhorn's own tables; one that only the daemon has used does not.
    """
    given = {"n.id": node_id, "n.group_id": group_id, "n.host_id": host_id, "n.active": active}
    terms = {column: value for column, value in given.items() if value is not None}
    where = f"WHERE {' AND '.join(f'{column} = ?' for column in terms)}" if terms else ""
    return index.facts(
        NodeRow,
        NODES.format(
            where=where,
            absent_ok="s.absent_ok" if own_tables else "NULL",
            top_acq="s.top_acq" if own_tables else "NULL",
            site=SITE if own_tables else "h.name",
            retired="r.id IS NOT NULL" if own_tables else "0",
            own=OWN if own_tables else "",
        ),
        tuple(terms.values()),
        group=_or_gone,
        active=bool,
        archive=bool,
        auto_import=bool,
        retired=bool,
        avail_gb_last_checked=moment,
    )


def _or_gone(name: str | None) -> str:
    return name or "(gone)"


def actions(index: Index, *, node_id: int | None = None, group_id: int | None = None) -> list[ActionRow]:
    """Return the rules from a node, or to a group."""
    column, value = ("t.node_from_id", node_id) if node_id is not None else ("t.group_to_id", group_id)
    sql = ACTIONS.format(and_where=f"AND {column} = ?")
    return index.facts(ActionRow, sql, (value,), autosync=bool, autoclean=bool)


def pending_imports(index: Index, node_id: int) -> list[ImportRow]:
    rows = index.facts(_ImportColumns, IMPORTS, (node_id,), recurse=bool, register=bool, timestamp=moment)
    return [
        ImportRow(
            row.id,
            row.path,
            row.recurse,
            row.register,
            row.timestamp,
            None if row.error is None else recorded(row.error, row.code),
        )
        for row in rows
    ]


def pending_transfers(
    index: Index, *, node_id: int | None = None, group_id: int | None = None
) -> list[PendingTransfersRow]:
    """Return numbers and sizes of pending requests: from a node, to a group, or all."""
    given = {"r.node_from_id": node_id, "r.group_to_id": group_id}
    terms = {column: value for column, value in given.items() if value is not None}
    where = " AND ".join((PENDING, *(f"{column} = ?" for column in terms))) if terms else every_pending(index)
    # LEFT JOIN, so that requests for a removed node or group are shown, too.
    return index.facts(
        PendingTransfersRow,
        TRANSFERS.format(where=where),
        tuple(terms.values()),
        node=_or_gone,
        group=_or_gone,
        bytes=whole,
    )


def _only(column: str, value: int | None) -> tuple[str, tuple[int, ...]]:
    return ("", ()) if value is None else (f"WHERE {column} = ?", (value,))
