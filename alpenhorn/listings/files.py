"""Files and copies, selected by place and state, in the order of their paths."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from alpenhorn.index.bulk import at_most, marks
from alpenhorn.index.connection import Index
from alpenhorn.index.times import moment
from alpenhorn.listings.requests import RequestState, request_state
from alpenhorn.listings.states import HEALTHY, changed, condition, group_word, word


class FileFilter(NamedTuple):
    """A filter: ids of rows, and states (keys of `states.CONDITIONS`).

    `nodes`, `groups`: places where the file has a copy in one of `states`; `absent_…`: places without a healthy copy.
    One matching place is enough; with `every`, all must match.  `sync_from` and `sync_to`: a node that has the file,
    and a group that lacks it.
    """

    acqs: tuple[int, ...] = ()
    nodes: tuple[int, ...] = ()
    groups: tuple[int, ...] = ()
    absent_nodes: tuple[int, ...] = ()
    absent_groups: tuple[int, ...] = ()
    states: tuple[str, ...] = ()
    every: bool = False
    sync_from: int | None = None
    sync_to: int | None = None


class FileRow(NamedTuple):
    """A file.  `state` and `space_b` (bytes used on the medium): only in a listing of one node or group."""

    acq: str
    name: str
    size_b: int | None
    md5sum: str | None
    registered: datetime | None
    state: str | None = None
    space_b: int | None = None

    @property
    def path(self) -> str:
        return f"{self.acq}/{self.name}"


class _FileColumns(NamedTuple):
    """A row.  For a node: `has_file`, `wants_file` and `space_b` of its copy; for a group: `best_rank` of copies."""

    acq: str
    name: str
    size_b: int | None
    md5sum: str | None
    registered: datetime | None
    has_file: str | None = None
    wants_file: str | None = None
    space_b: int | None = None
    best_rank: int | None = None
    changed: int | None = None


class CopyRow(NamedTuple):
    acq: str
    name: str
    node: str
    group: str
    has_file: str
    wants_file: str
    ready: bool
    size_b: int | None
    space_b: int | None
    last_update: datetime | None
    changed: bool

    @property
    def path(self) -> str:
        return f"{self.acq}/{self.name}"

    @property
    def state(self) -> str:
        return word(self.has_file, self.wants_file, self.changed)


class FileRequestRow(NamedTuple):
    """A request for one file."""

    id: int
    node: str | None
    group: str | None
    completed: bool
    cancelled: bool
    timestamp: datetime | None
    started: datetime | None
    ended: datetime | None

    @property
    def state(self) -> RequestState:
        return request_state(self.completed, self.cancelled)


FILES = """
    SELECT a.name AS acq__name, f.name, f.size_b, f.md5sum, f.registered{details}
    FROM archivefile f JOIN archiveacq a ON a.id = f.acq_id{join}
    WHERE {where} ORDER BY a.name, f.name
"""
COPIES = """
    SELECT a.name AS acq__name, f.name, n.name AS node__name, g.name AS group__name, c.has_file, c.wants_file, c.ready,
           f.size_b, c.size_b AS space_b__size_b, c.last_update, {changed} AS changed
    FROM archivefilecopy c JOIN archivefile f ON f.id = c.file_id JOIN archiveacq a ON a.id = f.acq_id
    JOIN storagenode n ON n.id = c.node_id JOIN storagegroup g ON g.id = n.group_id
    WHERE {where} ORDER BY a.name, f.name, n.name
"""
IN_GROUPS = "c.node_id IN (SELECT id FROM storagenode WHERE group_id IN ({}))"
WITH_COPY = "f.id IN (SELECT c.file_id FROM archivefilecopy c WHERE {})"
WITHOUT_COPY = "NOT EXISTS (SELECT 1 FROM archivefilecopy c WHERE c.file_id = f.id AND {})"
GROUP_RANK = """,
    (SELECT MIN(INSTR('YMXN', c.has_file)) FROM archivefilecopy c
     WHERE c.file_id = f.id AND c.node_id IN (SELECT id FROM storagenode WHERE group_id = ?)) AS best_rank"""
TRANSFERS = """
    SELECT r.id, n.name AS node__name, g.name AS group__name, r.completed, r.cancelled, r.timestamp,
           r.transfer_started AS started__transfer_started, r.transfer_completed AS ended__transfer_completed
    FROM archivefilecopyrequest r LEFT JOIN storagenode n ON n.id = r.node_from_id
    LEFT JOIN storagegroup g ON g.id = r.group_to_id WHERE r.file_id = ? ORDER BY r.id
"""


def files(
    index: Index, chosen: FileFilter, *, node_id: int = 0, group_id: int = 0, limit: int | None = None
) -> Iterator[FileRow]:
    """Yield the files that match, or the first ones, with their state on the node or in the group."""
    details, join = "", ""
    values: list[Any] = []
    if node_id:
        details = f", d.has_file, d.wants_file, d.size_b AS space_b__size_b, {changed('d')} AS changed"
        join = " LEFT JOIN archivefilecopy d ON d.file_id = f.id AND d.node_id = ?"
        values.append(node_id)
    elif group_id:
        details = GROUP_RANK
        values.append(group_id)
    where, bounds = _where(chosen)
    sql = FILES.format(details=details, join=join, where=where) + at_most(limit)
    for row in index.stream(_FileColumns, sql, (*values, *bounds), registered=moment):
        state = None
        if node_id:
            state = word(row.has_file, row.wants_file, bool(row.changed))
        elif group_id:
            state = group_word(row.best_rank)
        yield FileRow(row.acq, row.name, row.size_b, row.md5sum, row.registered, state, row.space_b)


def _where(chosen: FileFilter) -> tuple[str, list[Any]]:
    """Return the condition on archivefile `f`, and its values."""
    terms: list[str] = []
    values: list[Any] = []
    if chosen.acqs:
        terms.append(f"f.acq_id IN ({marks(chosen.acqs)})")
        values += chosen.acqs
    if chosen.sync_from is not None:
        terms.append(WITH_COPY.format("c.node_id = ? AND c.has_file = 'Y'"))
        terms.append(WITHOUT_COPY.format(f"c.has_file = 'Y' AND {IN_GROUPS.format('?')}"))
        values += [chosen.sync_from, chosen.sync_to]
    places, bounds = _places(chosen)
    if places:
        terms.append(f"({(' AND ' if chosen.every else ' OR ').join(places)})")
        values += bounds
    elif chosen.states:
        terms.append(WITH_COPY.format(condition(chosen.states)))
    return " AND ".join(terms) or "1 = 1", values


def _places(chosen: FileFilter) -> tuple[list[str], list[Any]]:
    state = condition(chosen.states)
    places: list[str] = []
    values: list[Any] = []
    if chosen.every:
        for node_id in chosen.nodes:
            places.append(WITH_COPY.format(f"c.node_id = ? AND {state}"))
            values.append(node_id)
        for group_id in chosen.groups:
            places.append(WITH_COPY.format(f"{IN_GROUPS.format('?')} AND {state}"))
            values.append(group_id)
    elif chosen.nodes or chosen.groups:
        # One subquery for all places, which the database can evaluate first, unlike a chain of ORs.
        place = f"(c.node_id IN ({marks(chosen.nodes)}) OR {IN_GROUPS.format(marks(chosen.groups))})"
        places.append(WITH_COPY.format(f"{place} AND {state}"))
        values += [*chosen.nodes, *chosen.groups]
    for node_id in chosen.absent_nodes:
        places.append(WITHOUT_COPY.format(f"c.node_id = ? AND {HEALTHY}"))
        values.append(node_id)
    for group_id in chosen.absent_groups:
        places.append(WITHOUT_COPY.format(f"{HEALTHY} AND {IN_GROUPS.format('?')}"))
        values.append(group_id)
    return places, values


def copies(index: Index, chosen: FileFilter, *, limit: int | None = None) -> Iterator[CopyRow]:
    """Yield the copies of `acqs` on `nodes` and in `groups` in one of `states`, or the first ones.

    An empty list matches all.
    """
    terms, values = [condition(chosen.states)], []
    if chosen.states and "healthy" not in chosen.states:
        # The index on states begins with the node: without the nodes, all copies of the archive would be read.
        terms.append(f"c.node_id IN ({', '.join(map(str, index.values('SELECT id FROM storagenode')))})")
    if chosen.nodes or chosen.groups:
        terms.append(f"(c.node_id IN ({marks(chosen.nodes)}) OR {IN_GROUPS.format(marks(chosen.groups))})")
        values += [*chosen.nodes, *chosen.groups]
    if chosen.acqs:
        terms.append(f"f.acq_id IN ({marks(chosen.acqs)})")
        values += chosen.acqs
    sql = COPIES.format(changed=changed("c"), where=" AND ".join(terms)) + at_most(limit)
    yield from index.stream(CopyRow, sql, values, ready=bool, last_update=moment, changed=bool)


def copies_of(index: Index, file_id: int) -> list[CopyRow]:
    """Return all copies of a file, in any state."""
    sql = COPIES.format(changed=changed("c"), where="c.file_id = ?")
    return index.facts(CopyRow, sql, (file_id,), ready=bool, last_update=moment, changed=bool)


def copy_of(index: Index, file_id: int, node_id: int) -> CopyRow | None:
    sql = COPIES.format(changed=changed("c"), where="c.file_id = ? AND c.node_id = ?")
    return index.fact(CopyRow, sql, (file_id, node_id), ready=bool, last_update=moment, changed=bool)


def details(index: Index, file_id: int) -> FileRow:
    """Return a file's own row."""
    sql = FILES.format(details="", join="", where="f.id = ?")
    (row,) = index.facts(FileRow, sql, (file_id,), registered=moment)
    return row


def group_states(index: Index, file_id: int) -> list[tuple[str, str]]:
    """Return (group, state) for the groups that have, or had, a copy."""
    rows = index.execute(
        "SELECT g.name, MIN(INSTR('YMXN', c.has_file)) FROM archivefilecopy c"
        " JOIN storagenode n ON n.id = c.node_id JOIN storagegroup g ON g.id = n.group_id"
        " WHERE c.file_id = ? GROUP BY g.name ORDER BY g.name",
        (file_id,),
    )
    return [(name, group_word(rank)) for name, rank in rows]


def transfers_of(index: Index, file_id: int) -> list[FileRequestRow]:
    """Return all requests for a file, oldest first."""
    return index.facts(
        FileRequestRow,
        TRANSFERS,
        (file_id,),
        completed=bool,
        cancelled=bool,
        timestamp=moment,
        started=moment,
        ended=moment,
    )
