"""What the status screen shows: every node, what waits for it, its last run, and what needs attention.

A handful of queries, each served by an index; copies are only counted in the states that are wrong, and
summed on nodes where that tells how full they are.  Whether wrong ones can be mended is asked where there are any.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from alpenhorn.index.bulk import chunks, marks
from alpenhorn.index.connection import Index
from alpenhorn.listings import backups, storage
from alpenhorn.listings.backups import Backups
from alpenhorn.listings.runs import COLUMNS, RunRow, run_rows
from alpenhorn.listings.states import CONDITIONS
from alpenhorn.listings.stats import fullness
from alpenhorn.model.conditions import Condition
from alpenhorn.model.nodes import GIB
from alpenhorn.scan import conditions, inodes, media

BAD = (CONDITIONS["corrupt"], CONDITIONS["missing"])
RUNS = 1000  # the runs looked at to find each node's last one


class NodeStatus(NamedTuple):
    """`full` is a fraction, None when unknown.  `incoming` are the requests into the node's group,
    `outgoing` those with the node as their source, as (files, bytes).  `mendable`: how many of the corrupt and
    missing copies could be requested from a good one, and are not yet.  `free_inodes`: None unless they are few."""

    node: storage.NodeRow
    full: float | None
    incoming: tuple[int, int]
    outgoing: tuple[int, int]
    imports: int
    corrupt: int
    missing: int
    suspect: int
    mendable: int
    last_run: RunRow | None
    free_inodes: int | None = None


class Lost(NamedTuple):
    """Files with a corrupt or missing copy of which no copy is good, nor suspect, anywhere; `example` is the
    path of one."""

    files: int
    example: str


class Unverifiable(NamedTuple):
    """Files that requests want and of which the index has no length or MD5 sum: the path of one, and its source."""

    files: int
    example: str
    node: str


class _Example(NamedTuple):
    """A file; `node`: the source of its request."""

    acq: str
    name: str
    node: str = ""


class Failing(NamedTuple):
    """Pending requests of which attempts have failed."""

    blame: str
    requests: int
    example: int


class Status(NamedTuple):
    """`runs`: the last ones, of all hosts, newest first; `hosts`: their names, as the index has them.  `restored`: why
    nothing is deleted on this index, "" when it is; `media`: of nodes that were not as believed; `conditions`: what
    lasts, with the hosts whose runs met it."""

    nodes: list[NodeStatus]
    lost: Lost | None
    unverifiable: Unverifiable | None
    failing: list[Failing]
    runs: list[RunRow]
    hosts: set[str]
    restored: str
    media: list[media.MediumState]
    backups: Backups
    conditions: list[tuple[str, Condition]]


WRONG = """
    SELECT c.node_id, c.has_file, COUNT(*) FROM archivefilecopy c
    WHERE c.node_id IN ({marks}) AND c.has_file IN ('X', 'M') AND c.wants_file IN ('Y', 'M')
    GROUP BY c.node_id, c.has_file
    UNION ALL
    SELECT c.node_id, c.has_file, COUNT(*) FROM archivefilecopy c
    WHERE c.node_id IN ({marks}) AND c.has_file = 'N' AND c.wants_file = 'Y'
    GROUP BY c.node_id, c.has_file
"""
# A pull puts a good copy into a group that has none, from a node that is active onto one that is.
MENDABLE = """
    SELECT c.node_id, COUNT(*) FROM archivefilecopy c JOIN storagenode n ON n.id = c.node_id
    WHERE c.node_id IN ({marks}) AND {state} AND n.active = 1
      AND EXISTS (SELECT 1 FROM archivefilecopy d JOIN storagenode m ON m.id = d.node_id
                  WHERE d.file_id = c.file_id AND d.has_file = 'Y' AND m.active = 1)
      AND NOT EXISTS (SELECT 1 FROM archivefilecopy d JOIN storagenode m ON m.id = d.node_id
                      WHERE d.file_id = c.file_id AND d.has_file = 'Y' AND m.group_id = n.group_id)
      AND NOT EXISTS (SELECT 1 FROM archivefilecopyrequest q WHERE q.file_id = c.file_id
                      AND q.group_to_id = n.group_id AND +q.completed = 0 AND +q.cancelled = 0)
    GROUP BY c.node_id
"""
LOST = """
    SELECT c.file_id FROM archivefilecopy c WHERE c.node_id IN ({marks}) AND {state}
      AND NOT EXISTS (SELECT 1 FROM archivefilecopy d WHERE d.file_id = c.file_id AND d.has_file IN ('Y', 'M'))
"""
PATH = "SELECT a.name AS acq__name, f.name FROM archivefile f JOIN archiveacq a ON a.id = f.acq_id WHERE f.id = ?"
GOOD = """
    SELECT c.node_id, SUM(f.size_b) FROM archivefilecopy c JOIN archivefile f ON f.id = c.file_id
    WHERE c.node_id IN ({marks}) AND c.has_file = 'Y' GROUP BY c.node_id
"""
FAILING = """
    SELECT t.blame, COUNT(*) AS requests, MIN(r.id) AS example__id FROM sync_attempt t
    JOIN archivefilecopyrequest r ON r.id = t.subject_id
    WHERE t.kind = 'pull' AND r.completed = 0 AND r.cancelled = 0 GROUP BY t.blame ORDER BY t.blame
"""
UNVERIFIABLE = """
    SELECT COUNT(DISTINCT r.file_id), MIN(r.id) FROM archivefilecopyrequest r JOIN archivefile f ON f.id = r.file_id
    WHERE r.completed = 0 AND r.cancelled = 0 AND (f.size_b IS NULL OR f.md5sum IS NULL OR f.md5sum = '')
"""
REQUESTED = """
    SELECT a.name AS acq__name, f.name, n.name AS node__name
    FROM archivefilecopyrequest r JOIN archivefile f ON f.id = r.file_id
    JOIN archiveacq a ON a.id = f.acq_id JOIN storagenode n ON n.id = r.node_from_id WHERE r.id = ?
"""
LAST_RUNS = f"""
    SELECT {COLUMNS} FROM sync_run
    ORDER BY id DESC LIMIT {RUNS}
"""
IMPORTS = "SELECT node_id, COUNT(*) FROM archivefileimportrequest WHERE completed = 0 GROUP BY node_id"


def status(index: Index) -> Status:
    rows = storage.nodes(index)
    ids = [node.id for node in rows]
    wrong = _wrong(index, ids)
    bad = sorted({node_id for node_id, has in wrong if has in ("X", "N")})
    mendable = _mendable(index, bad)
    good = _good_bytes(index, [node.id for node in rows if node.max_total_gb or node.avail_gb is not None])
    imports: dict[int, int] = dict(index.execute(IMPORTS).fetchall())
    outgoing: dict[str, tuple[int, int]] = {}
    incoming: dict[str, tuple[int, int]] = {}
    for transfer in storage.pending_transfers(index):
        for sums, name in ((outgoing, transfer.node), (incoming, transfer.group)):
            files, bytes_ = sums.get(name, (0, 0))
            sums[name] = (files + transfer.files, bytes_ + transfer.bytes)
    runs = run_rows(index, LAST_RUNS)
    few = inodes.load(index, {row.id: row.avail_gb_last_checked for row in rows})
    nodes = [
        NodeStatus(
            node=node,
            full=fullness(node, good.get(node.id)),
            incoming=incoming.get(node.group, (0, 0)),
            outgoing=outgoing.get(node.name, (0, 0)),
            imports=imports.get(node.id, 0),
            corrupt=wrong.get((node.id, "X"), 0),
            missing=wrong.get((node.id, "N"), 0),
            suspect=wrong.get((node.id, "M"), 0),
            mendable=mendable.get(node.id, 0),
            last_run=next((run for run in runs if f" {node.name} " in f" {run.nodes} "), None),
            free_inodes=few.get(node.id),
        )
        for node in rows
    ]
    failing = index.facts(Failing, FAILING)
    known = {host.name for host in storage.hosts(index)}
    return Status(
        nodes,
        _lost(index, bad),
        _unverifiable(index),
        failing,
        runs,
        known,
        media.restored(index),
        media.states(index),
        backups.load(index),
        conditions.of_all(index),
    )


def no_room(node: storage.NodeRow, full: float | None) -> bool:
    """Whether a node takes no more files: at its max_total_gb, or not above its min_avail_gb."""
    if node.max_total_gb and full is not None and full >= 1:
        return True
    return node.avail_gb is not None and node.avail_gb * GIB <= max(node.min_avail_gb * GIB, 0)


def _wrong(index: Index, ids: Sequence[int]) -> dict[tuple[int, str], int]:
    found = {}
    for some in chunks(ids):
        for node_id, has, copies in index.execute(WRONG.format(marks=marks(some)), (*some, *some)):
            found[node_id, has] = copies
    return found


def _mendable(index: Index, ids: Sequence[int]) -> dict[int, int]:
    found: dict[int, int] = {}
    for some in chunks(ids):
        for state in BAD:
            sql = MENDABLE.format(marks=marks(some), state=state)
            for node_id, copies in index.execute(sql, tuple(some)):
                found[node_id] = found.get(node_id, 0) + copies
    return found


def _lost(index: Index, ids: Sequence[int]) -> Lost | None:
    files, first = 0, None
    for some in chunks(ids):
        union = " UNION ".join(LOST.format(marks=marks(some), state=state) for state in BAD)
        sql = f"SELECT COUNT(*), MIN(file_id) FROM ({union}) l"
        count, least = index.execute(sql, tuple(some) * len(BAD)).fetchone()
        files += count
        first = least if first is None else first
    if first is None:
        return None
    file = index.fact(_Example, PATH, (first,))
    return Lost(files, f"file {first}" if file is None else f"{file.acq}/{file.name}")


def _unverifiable(index: Index) -> Unverifiable | None:
    files, first = index.execute(UNVERIFIABLE).fetchone()
    file = index.fact(_Example, REQUESTED, (first,)) if files else None
    return None if file is None else Unverifiable(files, f"{file.acq}/{file.name}", file.node)


def _good_bytes(index: Index, ids: Sequence[int]) -> dict[int, int]:
    found = dict.fromkeys(ids, 0)
    for some in chunks(ids):
        for node_id, bytes_ in index.execute(GOOD.format(marks=marks(some)), tuple(some)):
            found[node_id] = int(bytes_ or 0)
    return found
