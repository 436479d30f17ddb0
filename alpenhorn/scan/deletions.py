"""Copies that may be deleted, as facts in pages; and the current facts about given copies."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from alpenhorn.index.bulk import in_chunks
from alpenhorn.index.connection import Index
from alpenhorn.index.times import known_moment
from alpenhorn.model.deletions import DeletionFact, Evidence
from alpenhorn.model.nodes import may_have_tape
from alpenhorn.model.tape_batches import CollectState
from alpenhorn.model.tasks import AttemptFact
from alpenhorn.scan import tape_batches
from alpenhorn.scan.attempts import ATTEMPT, AttemptRow, attempt_fact
from alpenhorn.scan.good_since import good_since
from alpenhorn.scan.keepers import Good, KeeperCopy, KeeperNodes
from alpenhorn.scan.pins import pinned
from alpenhorn.scan.policies import load as load_policies
from alpenhorn.scan.same_path import sharing

COPIES = """
    SELECT c.id AS copy_id__id, c.file_id, c.node_id, a.name AS acq__name, f.name, f.size_b,
           c.size_b AS space_b__size_b, c.has_file, c.wants_file, f.md5sum
    FROM archivefilecopy c
    LEFT JOIN archivefile f ON f.id = c.file_id
    LEFT JOIN archiveacq a ON a.id = f.acq_id
    WHERE c.node_id = ? AND c.has_file = ? AND c.wants_file = ? AND c.id > ? ORDER BY c.id LIMIT ?
"""
RELEASED = """
    SELECT has_file, COUNT(*) FROM archivefilecopy
    WHERE node_id = ? AND has_file IN ('Y', 'M', 'X') AND wants_file = 'N' GROUP BY has_file
"""
COUNT = "SELECT COUNT(*) FROM archivefilecopy WHERE node_id = ? AND has_file = ? AND wants_file = ?"
PRESENT = "SELECT COUNT(*) FROM archivefilecopy WHERE node_id = ? AND has_file IN ('Y', 'M', 'X')"
# Sorted by file, so that all runs lock rows in the same order and cannot deadlock.
EVERY_COPY = """
    SELECT file_id, node_id, has_file, wants_file, size_b AS space_b__size_b FROM archivefilecopy
    WHERE file_id IN ({marks}) ORDER BY file_id, node_id{lock}
"""
# By the index: MariaDB would read the claims of all hosts for each batch.
CLAIMS = """
    SELECT kind, file_id, target_id AS node_id__target_id, host, run_id, expires, fence, source_id FROM sync_claim{by}
    WHERE kind IN ('delete', 'pull') AND file_id IN ({marks})
"""
# The nodes whose good copies release the one on this node, by autoclean.
CLEANERS = """
    SELECT n.id FROM storagetransferaction t JOIN storagenode n ON n.group_id = t.group_to_id
    WHERE t.node_from_id = ? AND t.autoclean = 1 AND t.group_to_id <> ?
"""
# The + prevents SQLite from scanning all pending requests of the node or group for each file.
REQUESTS = """
    SELECT file_id, id, node_from_id FROM archivefilecopyrequest
    WHERE file_id IN ({marks}) AND +completed = 0 AND +cancelled = 0 AND (+node_from_id = ? OR +group_to_id = ?)
"""
ATTEMPTS = f"""
    SELECT t.subject_id, {ATTEMPT} FROM sync_attempt t WHERE t.kind = 'delete' AND t.subject_id IN ({{marks}})
"""


class DeletionReading(NamedTuple):
    """The current rows about some copies of a node.

    `archive`: whether the node is an archive node; `host` and `root`: its location; `facts`: about copies that still
    have a row, empty if the node is no longer active; `own`: ids of files whose deletion from the node the reading run
    has claimed; `fences`: fences of all claims on the node, by file id, including expired ones.
    """

    archive: bool
    facts: list[DeletionFact]
    own: set[int]
    fences: dict[int, int]
    host: str | None = None
    root: str | None = None


class EvidenceRow(NamedTuple):
    """A copy.  `space_b`: space that it uses on the medium."""

    file_id: int
    node_id: int
    has_file: str
    wants_file: str
    space_b: int | None


class _Claim(NamedTuple):
    """A claim.  `node_id`: the node to delete from, or the group to pull into; `source_id`: the node to pull from."""

    kind: str
    file_id: int
    node_id: int
    host: str
    run_id: int
    expires: Any
    fence: int
    source_id: int | None


def released(index: Index, node_id: int) -> dict[str, int]:
    """Return the number of released copies on a node that may be present, by has_file."""
    return dict(index.execute(RELEASED, (node_id,)).fetchall())


def count(index: Index, node_id: int, has: str, wants: str) -> int:
    return int(index.value(COUNT, (node_id, has, wants)))


def present(index: Index, node_id: int) -> int:
    """Return the number of copies that are, or may be, on a node."""
    return int(index.value(PRESENT, (node_id,)))


def pages(index: Index, node_id: int, has: str, wants: str, limit: int) -> Iterator[list[DeletionFact]]:
    """Yield pages of the copies on a node in a state, in the order of ids; each page is read on demand.

    Only the fields that never change are set; `read` gets the others.
    """
    after = 0
    while copies := index.facts(DeletionFact, COPIES, (node_id, has, wants, after, limit)):
        after = copies[-1].copy_id
        shared = sharing(index, node_id, [(copy.file_id, copy.acq, copy.name) for copy in copies])
        if shared:
            copies = [copy._replace(same_path=shared.get(copy.file_id, "")) for copy in copies]
        yield copies


def read(
    index: Index,
    node_id: int,
    copies: Sequence[DeletionFact],
    run_id: int,
    evidence: Evidence,
    lock: bool = False,
) -> DeletionReading:
    """Read everything that decides about `copies`, except for their names and lengths.

    `run_id`: the run whose own claims on the node do not count.
    `lock`: first lock all copies of their files until the transaction ends, so that the rows cannot change.
    """
    reading = DeletionReading(False, [], set(), {})
    file_ids = sorted({copy.file_id for copy in copies})
    # First, since rows that are read before the lock is granted may be outdated.
    rows = every_copy(index, file_ids, lock)
    keepers = KeeperNodes(index, node_id, evidence)
    if not keepers.active:
        return reading
    every_claim = _every_claim(index, file_ids)
    claims = [claim for claim in every_claim if claim.kind == "delete"]
    claimed = {(claim.file_id, claim.node_id) for claim in claims}
    # Autoclean never applies to archive nodes, whatever rules there are.
    cleaners = set()
    if not keepers.archive:
        cleaners = set(index.values(CLEANERS, (node_id, keepers.group_id)))
    by_rule = {
        row.file_id
        for row in rows
        if row.node_id in cleaners and row.has_file == "Y" and row.wants_file != "N"
    }
    batches, collecting = tape_states(index, node_id, keepers, rows)
    own, twice, good = by_state(rows, node_id, keepers.names.keys(), claimed, collecting)
    strange = _merely_found(index, node_id, own)
    since = good_since(index, node_id, file_ids, keepers.now)
    requests = _requests(index, file_ids, node_id, keepers.group_id)
    pins = pinned(index, node_id, file_ids, keepers.now)
    attempts = _attempts(index, [copy.copy_id for copy in copies])
    # After the lock as well, so that a policy that was created in the meantime applies.
    policies = load_policies(index) if keepers.policies else None
    on_it = [claim for claim in claims if claim.node_id == node_id]
    claimed_by = _claimed_by(on_it, run_id, keepers.now, reading)
    pulled_by = _pulled_from(every_claim, node_id, keepers.now)
    for copy in copies:
        if copy.file_id not in own:
            continue
        _, _, has, wants, space_b = own[copy.file_id]
        if copy.file_id in twice:  # two rows for one copy: the right one is unknown, so the copy is kept
            has, wants = copy.has_file, copy.wants_file
        counted = keepers.counted(good.get(copy.file_id, ()))
        matching = policies.of(copy.acq) if policies is not None and copy.acq is not None else ()
        reading.facts.append(
            DeletionFact(
                *copy[:6],
                space_b,
                has,
                wants,
                tuple(name for _, name in counted.others),
                tuple(name for _, name in counted.released),
                *requests.get(copy.file_id, (0, 0)),
                pins.get(copy.file_id, ""),
                claimed_by.get(copy.file_id, ""),
                copy.same_path,
                attempts.get(copy.copy_id),
                copy.file_id in by_rule,
                tuple(f"{keepers.names[id]}: {why}" for id, why in counted.uncounted),
                tuple(id for id, _ in counted.others),
                tuple(id for id, _ in counted.released),
                copy.file_id in twice,
                keepers.restored,
                copy.file_id in strange,
                copy.fault,
                since.get(copy.file_id, 0.0),
                matching,
                keepers.places if matching else {},
                pulled_by.get(copy.file_id, ""),
                batches.get(copy.file_id, ""),
                copy.md5sum,
            )
        )
    return reading._replace(archive=keepers.archive, host=keepers.host, root=keepers.root)


def tape_states(
    index: Index, node_id: int, keepers: KeeperNodes, rows: Sequence[EvidenceRow]
) -> tuple[dict[int, str], set[tuple[int, int]]]:
    """Return by file id the batches that put copies of the node on tape now; and (file id, node id) of the copies on
    other nodes that count only once they are on tape, and are not.
    """
    file_ids = sorted({row.file_id for row in rows})
    own = {node_id} if may_have_tape(keepers.io_class) else set()
    states = tape_batches.states(index, own | keepers.needs_tape, file_ids)
    batches = {
        one.file_id: one.batch for one in states if one.node_id == node_id and one.state == CollectState.ASKED
    }
    on_tape = {(one.file_id, one.node_id) for one in states if one.on_tape}
    copies = {(row.file_id, row.node_id) for row in rows if row.node_id in keepers.needs_tape}
    return batches, copies - on_tape


def by_state(
    rows: Sequence[EvidenceRow],
    node_id: int,
    archives: Collection[int],
    claimed: Collection[tuple[int, int]],
    collecting: Collection[tuple[int, int]],
) -> tuple[dict[int, EvidenceRow], set[int], dict[int, Good]]:
    """Return by file id the node's own copy, and good copies on other archive nodes; and files whose own copy has more
    than one row.  `claimed`, `collecting`: (file id, node id) of copies being deleted, or not on tape yet.

    The unique index may be missing.  A copy with two rows counts once, and only if both are good; it counts as released
    if either is.
    """
    own: dict[int, EvidenceRow] = {}
    twice: set[int] = set()
    found: dict[int, dict[int, bool]] = {}
    bad: set[tuple[int, int]] = set()
    for row in rows:
        file_id, at, has, wants, _ = row
        if at == node_id:
            if file_id in own:
                twice.add(file_id)
            own[file_id] = row
        elif at not in archives:
            continue
        elif has == "Y" and (file_id, at) not in claimed:
            there = found.setdefault(file_id, {})
            there[at] = wants == "N" or there.get(at, False)
        else:
            bad.add((file_id, at))
    return (
        own,
        twice,
        {
            file_id: tuple(
                KeeperCopy(at, leaving, (file_id, at) in collecting)
                for at, leaving in there.items()
                if (file_id, at) not in bad
            )
            for file_id, there in found.items()
        },
    )


def every_copy(index: Index, file_ids: Sequence[int], lock: bool = False) -> list[EvidenceRow]:
    """Return the rows of all copies of files; `lock`: until the transaction ends."""
    for_update = index.dialect.for_update if lock else ""
    rows: list[EvidenceRow] = []
    for marks, some in in_chunks(file_ids):
        rows += index.facts(EvidenceRow, EVERY_COPY.format(marks=marks, lock=for_update), some)
    return rows


def claims_on(index: Index, file_ids: Sequence[int]) -> list[_Claim]:
    """Return all claims on deletions of the files, including expired ones: the state of their copies is unknown until
    the next run on their node."""
    return [claim for claim in _every_claim(index, file_ids) if claim.kind == "delete"]


def _every_claim(index: Index, file_ids: Sequence[int]) -> list[_Claim]:
    claims: list[_Claim] = []
    by = index.dialect.by_index("sync_claim_kind_file_id_target_id")
    for marks, some in in_chunks(file_ids):
        claims += index.facts(_Claim, CLAIMS.format(marks=marks, by=by), some)
    return claims


def _pulled_from(claims: Sequence[_Claim], node_id: int, now: datetime.datetime) -> dict[int, str]:
    """Return the runs that pull files from a node now, on any host, by file id."""
    return {
        claim.file_id: f"{claim.host} (run {claim.run_id})"
        for claim in claims
        if claim.kind == "pull" and claim.source_id == node_id and known_moment(claim.expires) > now
    }


def _claimed_by(
    claims: Sequence[_Claim], run_id: int, now: datetime.datetime, reading: DeletionReading
) -> dict[int, str]:
    """Add the claims on the node itself to the reading; return the other claims, by file and run."""
    found = {}
    for claim in claims:
        reading.fences[claim.file_id] = claim.fence
        if claim.run_id == run_id:
            reading.own.add(claim.file_id)
        elif known_moment(claim.expires) > now:
            found[claim.file_id] = f"{claim.host} (run {claim.run_id})"
    return found


def _merely_found(index: Index, node_id: int, own: Mapping[int, EvidenceRow]) -> set[int]:
    """Return the files of corrupt copies that were never recorded as good on the node: unknown files at their paths."""
    corrupt = sorted(file_id for file_id, row in own.items() if row.has_file == "X")
    once_good: set[int] = set()
    for marks, some in in_chunks(corrupt):
        sql = f"SELECT file_id FROM sync_verification WHERE node_id = ? AND file_id IN ({marks})"
        once_good.update(index.values(sql, (node_id, *some)))
    return set(corrupt) - once_good


def _requests(
    index: Index, file_ids: Sequence[int], node_id: int, group_id: int
) -> dict[int, tuple[int, int]]:
    """Return by file id a pending request with the node as its source, and one into its group; 0: none."""
    found: dict[int, tuple[int, int]] = {}
    for marks, some in in_chunks(file_ids):
        rows = index.execute(REQUESTS.format(marks=marks), (*some, node_id, group_id))
        for file_id, request_id, node_from in rows:
            source_of, wanted_by = found.get(file_id, (0, 0))
            is_source = node_from == node_id
            found[file_id] = (request_id, wanted_by) if is_source else (source_of, request_id)
    return found


def _attempts(index: Index, copy_ids: Sequence[int]) -> dict[int, AttemptFact]:
    found = {}
    for marks, some in in_chunks(copy_ids):
        for row in index.facts(AttemptRow, ATTEMPTS.format(marks=marks), some):
            if attempt := attempt_fact(row):
                found[row.subject_id] = attempt
    return found
