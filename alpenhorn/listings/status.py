"""The status screen: every node with its pending work and last run, and what needs attention.

A few queries, each served by an index.  Only copies in bad states and released ones are counted; lengths are summed by
runs, and only those of nodes whose fullness depends on them are read; and repairs are looked for only where there are
bad copies.  Files with too few
good copies were counted by a run, since that reads every copy of the archive.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from alpenhorn.index.bulk import chunks, marks
from alpenhorn.index.connection import Index
from alpenhorn.index.times import EPOCH, moment
from alpenhorn.listings import absences, backups, host_runs, kept_releases, retirements, stats, storage
from alpenhorn.listings.absences import Absence
from alpenhorn.listings.backups import Backups
from alpenhorn.listings.host_runs import HostRuns
from alpenhorn.listings.kept_releases import Kept
from alpenhorn.listings.retirements import RetirementStatus
from alpenhorn.listings.runs import COLUMNS, REAL, RunRow, run_rows
from alpenhorn.listings.states import CONDITIONS, changed
from alpenhorn.model.conditions import Condition
from alpenhorn.model.deletions import Evidence
from alpenhorn.model.nodes import GIB
from alpenhorn.model.policies import DEFAULT
from alpenhorn.model.tape_batches import CollectTotal
from alpenhorn.scan import conditions, few_copies, inodes, media, tape_batches
from alpenhorn.scan.policies import load as load_policies
from alpenhorn.scan.pulls import every_pending

BAD = (CONDITIONS["corrupt"], CONDITIONS["missing"])
RUNS = 1000  # number of runs to search for each node's last one


class NodeStatus(NamedTuple):
    """A node.

    `full`: used fraction, None if unknown.  `incoming`: requests into the node's group; `outgoing`: requests with the
    node as source, both as (files, bytes).  `mendable`: number of corrupt and missing copies that could be requested
    from a good copy and are not yet.  `free_inodes`: None unless they are few.  `kept`: released copies that runs do
    not delete.  `away`: if the node may be absent, and is.  `verified`: of nodes with auto_verify, when the good copy
    that was not read for the longest time was last read; None if unknown.  `changed`: number of copies that their
    owners changed, which are not among the corrupt ones; `example`: the path of one.  `trashed`: number of files in its
    trash.  `to_tape`: its copies that are not on tape yet, None if there are none.
    """

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
    kept: Kept | None = None
    away: Absence | None = None
    verified: datetime | None = None
    changed: int = 0
    example: str = ""
    trashed: int = 0
    to_tape: CollectTotal | None = None


class Lost(NamedTuple):
    """Files with corrupt or missing copies, and no good or suspect copy anywhere; `example`: the path of one."""

    files: int
    example: str


class _Changed(NamedTuple):
    """Copies on a node that their owners changed, and the id of the first file."""

    node_id: int
    copies: int
    first: int


class Unverifiable(NamedTuple):
    """Requested files without a recorded length or MD5 sum; with the path and source of one."""

    files: int
    example: str
    node: str


class _Example(NamedTuple):
    """A requested file.  `node`: the source."""

    acq: str
    name: str
    node: str = ""


class Failing(NamedTuple):
    """Pending requests with failed attempts."""

    blame: str
    requests: int
    example: int


class CountedFew(NamedTuple):
    """Files with too few copies.  `at`: when they were counted.

    `required`: the number of good archive copies of files to which no policy applies.  `with_default`: there is a
    policy for these.
    """

    files: int
    bytes: int
    at: datetime
    required: int
    with_default: bool


class Status(NamedTuple):
    """The status.

    `runs`: the last runs of all hosts, newest first; `hosts`, `groups`: names of all hosts and groups.  `restored`: why
    deletions are suspended on this index, "" if they are not; `media`: of nodes that were found changed; `conditions`:
    lasting problems, with the hosts whose runs have them.  `host_runs`: of the hosts with active nodes; `pending`: the
    pending requests by source and group.  `retirements`: of retired nodes.  `few`: the files with too few copies; None
    if no run has counted them since the policies were changed.
    """

    nodes: list[NodeStatus]
    lost: Lost | None
    unverifiable: Unverifiable | None
    failing: list[Failing]
    runs: list[RunRow]
    hosts: set[str]
    groups: set[str]
    restored: str
    media: list[media.MediumState]
    backups: Backups
    conditions: list[tuple[str, Condition]]
    host_runs: list[HostRuns]
    pending: list[storage.PendingTransfersRow]
    retirements: list[RetirementStatus]
    few: CountedFew | None

    @property
    def now(self) -> datetime:
        """The time of the index's server, naive UTC."""
        return self.backups.now


WRONG = """
    SELECT c.node_id, c.has_file, COUNT(*) FROM archivefilecopy c
    WHERE c.node_id IN ({marks}) AND c.has_file IN ('X', 'M') AND c.wants_file IN ('Y', 'M')
    GROUP BY c.node_id, c.has_file
    UNION ALL
    SELECT c.node_id, c.has_file, COUNT(*) FROM archivefilecopy c
    WHERE c.node_id IN ({marks}) AND c.has_file = 'N' AND c.wants_file = 'Y'
    GROUP BY c.node_id, c.has_file
"""
# A pull can replace a copy if its group has no good copy, and both its node and a node with a good copy are active.
MENDABLE = """
    SELECT c.node_id, COUNT(*) FROM archivefilecopy c JOIN storagenode n ON n.id = c.node_id
    WHERE c.node_id IN ({marks}) AND {state} AND n.active = 1 AND NOT COALESCE({changed}, 0)
      AND EXISTS (SELECT 1 FROM archivefilecopy d JOIN storagenode m ON m.id = d.node_id
                  WHERE d.file_id = c.file_id AND d.has_file = 'Y' AND m.active = 1)
      AND NOT EXISTS (SELECT 1 FROM archivefilecopy d JOIN storagenode m ON m.id = d.node_id
                      WHERE d.file_id = c.file_id AND d.has_file = 'Y' AND m.group_id = n.group_id)
      AND NOT EXISTS (SELECT 1 FROM archivefilecopyrequest q WHERE q.file_id = c.file_id
                      AND q.group_to_id = n.group_id AND +q.completed = 0 AND +q.cancelled = 0)
    GROUP BY c.node_id
"""
CHANGED = f"""
    SELECT c.node_id, COUNT(*) AS copies, MIN(c.file_id) AS first__file_id FROM archivefilecopy c
    WHERE c.node_id IN ({{marks}}) AND {CONDITIONS["changed"]} GROUP BY c.node_id
"""
LOST = """
    SELECT c.file_id FROM archivefilecopy c WHERE c.node_id IN ({marks}) AND {state}
      AND NOT EXISTS (SELECT 1 FROM archivefilecopy d WHERE d.file_id = c.file_id AND d.has_file IN ('Y', 'M'))
"""
PATH = "SELECT a.name AS acq__name, f.name FROM archivefile f JOIN archiveacq a ON a.id = f.acq_id WHERE f.id = ?"
FAILING = """
    SELECT t.blame, COUNT(*) AS requests, MIN(r.id) AS example__id FROM sync_attempt t
    JOIN archivefilecopyrequest r ON r.id = t.subject_id
    WHERE t.kind = 'pull' AND r.completed = 0 AND r.cancelled = 0 GROUP BY t.blame ORDER BY t.blame
"""
UNVERIFIABLE = """
    SELECT COUNT(DISTINCT r.file_id), MIN(r.id) FROM archivefilecopyrequest r JOIN archivefile f ON f.id = r.file_id
    WHERE {pending} AND (f.size_b IS NULL OR f.md5sum IS NULL OR f.md5sum = '')
"""
REQUESTED = """
    SELECT a.name AS acq__name, f.name, n.name AS node__name
    FROM archivefilecopyrequest r JOIN archivefile f ON f.id = r.file_id
    JOIN archiveacq a ON a.id = f.acq_id JOIN storagenode n ON n.id = r.node_from_id WHERE r.id = ?
"""
LAST_RUNS = f"""
    SELECT {COLUMNS} FROM sync_run
    WHERE {REAL} ORDER BY id DESC LIMIT {RUNS}
"""
# The first copies in the order of verification; some of them may no longer be good.
OLDEST = """
    SELECT v.verified FROM (
        SELECT node_id, file_id, verified FROM sync_verification
        WHERE node_id = ? AND verified > ? ORDER BY verified, file_id LIMIT 100
    ) v
    JOIN archivefilecopy c ON c.node_id = v.node_id AND c.file_id = v.file_id
    WHERE c.has_file = 'Y' AND c.wants_file IN ('Y', 'M') ORDER BY v.verified LIMIT 1
"""
IMPORTS = "SELECT node_id, COUNT(*) FROM archivefileimportrequest WHERE completed = 0 GROUP BY node_id"
TRASHED = "SELECT node_id, COUNT(*) FROM sync_trash GROUP BY node_id"


def status(index: Index, evidence: Evidence) -> Status:
    """Read the status.  `evidence`: what this host requires for the deletion of released copies."""
    rows = storage.nodes(index)
    ids = [node.id for node in rows]
    wrong = _wrong(index, ids)
    bad = sorted({node_id for node_id, has in wrong if has in ("X", "N")})
    retired = {node.id for node in rows if node.retired}
    mendable = _mendable(index, [node_id for node_id in bad if node_id not in retired])
    altered = _changed(index, sorted({node_id for node_id, has in wrong if has == "X"}))
    good = _good_bytes(index, [node.id for node in rows if node.max_total_gb or node.avail_gb is not None])
    imports: dict[int, int] = dict(index.execute(IMPORTS).fetchall())
    trashed: dict[int, int] = dict(index.execute(TRASHED).fetchall())
    to_tape = tape_batches.totals(index)
    outgoing: dict[str, tuple[int, int]] = {}
    incoming: dict[str, tuple[int, int]] = {}
    pending = storage.pending_transfers(index)
    for transfer in pending:
        for sums, name in ((outgoing, transfer.node), (incoming, transfer.group)):
            files, bytes_ = sums.get(name, (0, 0))
            sums[name] = (files + transfer.files, bytes_ + transfer.bytes)
    of_hosts = host_runs.load(index)
    # The last runs of a host may be older than those of all hosts.
    by_id = {run.id: run for run in run_rows(index, LAST_RUNS)}
    by_id.update((run.id, run) for one in of_hosts for run in one.runs)
    runs = sorted(by_id.values(), key=lambda run: -run.id)
    active = [node.id for node in rows if node.active]
    kept = kept_releases.load(index, active, evidence)
    away = absences.load(index)
    few = inodes.load(index, {row.id: row.avail_gb_last_checked for row in rows})
    nodes = [
        NodeStatus(
            node=node,
            full=stats.fullness(node, good.get(node.id)),
            incoming=incoming.get(node.group, (0, 0)),
            outgoing=outgoing.get(node.name, (0, 0)),
            imports=imports.get(node.id, 0),
            corrupt=wrong.get((node.id, "X"), 0) - (altered[node.id].copies if node.id in altered else 0),
            missing=wrong.get((node.id, "N"), 0),
            suspect=wrong.get((node.id, "M"), 0),
            mendable=mendable.get(node.id, 0),
            last_run=next((run for run in runs if f" {node.name} " in f" {run.nodes} "), None),
            free_inodes=few.get(node.id),
            kept=kept.get(node.id),
            away=away.get(node.id),
            changed=altered[node.id].copies if node.id in altered else 0,
            example=_path(index, altered[node.id].first) if node.id in altered else "",
            trashed=trashed.get(node.id, 0),
            to_tape=to_tape.get(node.id),
            verified=_oldest(index, node.id) if node.active and (node.auto_verify or 0) > 0 else None,
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
        {group.name for group in storage.groups(index)},
        media.restored(index),
        media.states(index),
        backups.load(index),
        conditions.of_all(index),
        of_hosts,
        pending,
        retirements.load(index, rows, outgoing),
        _few(index, evidence.minimum),
    )


def no_room(node: storage.NodeRow, full: float | None) -> bool:
    """Return whether a node takes no more files: it has reached its max_total_gb or min_avail_gb."""
    if node.max_total_gb and full is not None and full >= 1:
        return True
    return node.avail_gb is not None and node.avail_gb * GIB <= max(node.min_avail_gb * GIB, 0)


def _few(index: Index, required: int) -> CountedFew | None:
    found = few_copies.load(index, few_copies.row_name(required))
    policies = load_policies(index).every
    if found is None or found.at is None or found.policies != few_copies.policies_digest(policies):
        return None
    with_default = any(policy.name == DEFAULT and not policy.fault for policy in policies)
    return CountedFew(found.files, found.bytes, found.at, required, with_default)


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
            sql = MENDABLE.format(marks=marks(some), state=state, changed=changed("c"))
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
    return Lost(files, _path(index, first))


def _path(index: Index, file_id: int) -> str:
    file = index.fact(_Example, PATH, (file_id,))
    return f"file {file_id}" if file is None else f"{file.acq}/{file.name}"


def _changed(index: Index, ids: Sequence[int]) -> dict[int, _Changed]:
    found: dict[int, _Changed] = {}
    for some in chunks(ids):
        rows = index.facts(_Changed, CHANGED.format(marks=marks(some)), tuple(some))
        found.update((row.node_id, row) for row in rows)
    return found


def _unverifiable(index: Index) -> Unverifiable | None:
    files, first = index.execute(UNVERIFIABLE.format(pending=every_pending(index))).fetchone()
    file = index.fact(_Example, REQUESTED, (first,)) if files else None
    return None if file is None else Unverifiable(files, f"{file.acq}/{file.name}", file.node)


def _oldest(index: Index, node_id: int) -> datetime | None:
    return moment(index.value(OLDEST, (node_id, EPOCH)))


def _good_bytes(index: Index, ids: Sequence[int]) -> dict[int, int]:
    return {node_id: one.good.bytes for node_id, one in stats.of_nodes(index, ids).items()}
