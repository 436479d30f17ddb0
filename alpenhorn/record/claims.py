"""Claims: at most one run, on any host, pulls a file into a group or deletes it from a node at a time.

A claim is a lease.  Its end is measured by the database server's clock, so hosts' clocks may differ.  A claim for a
pull is unique for a file and a group, so that two hosts cannot serve two requests for the same file at once.
Claims for deletions are made in `alpenhorn.record.deletions`; all claims are renewed and removed here.

Each take-over of an expired lease increases the fence of the claim.  A run records results only if it still holds the
claim with its own fence (`held_claims`): while it was suspended, another run may have done the work.

A claim for a pull names the source, whose copy is not deleted as long as the lease lasts.  A pending request protects
the requested source even before; another source is only pulled from if its copy is still good when it is claimed.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence

from alpenhorn.index.bulk import in_chunks
from alpenhorn.index.connection import Index
from alpenhorn.plan.pulls import PullDecision
from alpenhorn.record.run import Run

LEASE = datetime.timedelta(minutes=15)
COLUMNS = (
    "kind",
    "file_id",
    "target_id",
    "node_id",
    "reserved_b",
    "host",
    "run_id",
    "expires",
    "fence",
    "source_id",
)
# The indexes by which claims are found; see Dialect.by_index.
OF_FILE = "sync_claim_kind_file_id_target_id"
OF_RUN = "sync_claim_run_id"
OF_NODE = "sync_claim_node_id"


def claim(index: Index, run: Run, wanted: Sequence[PullDecision]) -> list[PullDecision]:
    """Claim pulls whose requests are still pending and that no other run has claimed.

    Expired leases are taken over, with the next fence.  A pull from another source than the requested one is granted
    only if the copy there is still good.  Returns the granted pulls, each with its fence, in their order.
    """

    def work() -> list[PullDecision]:
        now = index.now()
        expires = str(now + LEASE)
        rows = [
            (
                "pull",
                *_key(want),
                want.node_id,
                want.reserved_b,
                run.host,
                run.id,
                expires,
                1,
                _source_id(want),
            )
            for want in wanted
        ]
        index.executemany(index.insert_ignore("sync_claim", COLUMNS), rows)
        own = _own_claims(index, run, wanted)
        taken_over = False
        for want in wanted:
            if _key(want) not in own:
                taken = index.execute(
                    "UPDATE sync_claim SET host = ?, run_id = ?, node_id = ?, reserved_b = ?, expires = ?,"
                    " source_id = ?, fence = fence + 1"
                    " WHERE kind = 'pull' AND file_id = ? AND target_id = ? AND expires <= ?",
                    (
                        run.host,
                        run.id,
                        want.node_id,
                        want.reserved_b,
                        expires,
                        _source_id(want),
                        *_key(want),
                        now,
                    ),
                )
                if taken.rowcount:
                    taken_over = True
        if taken_over:
            own = _own_claims(index, run, wanted)
        # Only now, since the INSERT may have waited for the transaction that completed the request.
        pending = still_pending(index, [want.fact.request_id for want in wanted])
        useful = own.keys() - _already_present(index, wanted) - _source_gone(index, wanted)
        granted = [
            want._replace(fence=own[_key(want)])
            for want in wanted
            if want.fact.request_id in pending and _key(want) in useful
        ]
        surplus = set(map(_key, wanted)) & own.keys() - set(map(_key, granted))
        for group_id in {group_id for _, group_id in surplus}:
            release(index, run, group_id, [file_id for file_id, group in surplus if group == group_id])
        return granted

    return index.retry(work)


def held_claims(index: Index, run: Run, kind: str, target_id: int, fences: Mapping[int, int]) -> set[int]:
    """Return the files whose claims this run still holds with its fences.

    The claims are locked until the transaction ends, so that none is taken over before the results are recorded.
    `kind`: "pull" or "delete"; `target_id`: the group or the node; `fences`: file id to fence.
    """
    found = _fences(index, run, kind, target_id, sorted(fences), index.dialect.for_update)
    return {file_id for file_id, fence in found.items() if fence == fences[file_id]}


def _fences(
    index: Index, run: Run, kind: str, target_id: int, file_ids: Sequence[int], lock: str = ""
) -> dict[int, int]:
    """Return the fences of this run's claims by file id; the parameters are those of `held_claims`."""
    by = index.dialect.by_index(OF_FILE)
    found: dict[int, int] = {}
    for marks, some in in_chunks(file_ids):
        # The + keeps SQLite from going through all claims of the run.
        rows = index.execute(
            f"SELECT file_id, fence FROM sync_claim{by}"
            f" WHERE kind = ? AND target_id = ? AND +run_id = ? AND file_id IN ({marks}){lock}",
            (kind, target_id, run.id, *some),
        )
        found.update(rows.fetchall())
    return found


def still_pending(index: Index, request_ids: Sequence[int]) -> set[int]:
    """Return the requests that are neither completed nor cancelled."""
    pending: set[int] = set()
    for marks, some in in_chunks(request_ids):
        sql = (
            f"SELECT id FROM archivefilecopyrequest WHERE completed = 0 AND cancelled = 0 AND id IN ({marks})"
        )
        pending.update(index.values(sql, some))
    return pending


def _key(want: PullDecision) -> tuple[int, int]:
    """Return the file id and group id for which a claim is unique."""
    return want.fact.file_id, want.fact.group_to_id


def _source_id(want: PullDecision) -> int | None:
    return None if want.source is None else want.source.id


def _source_gone(index: Index, wanted: Sequence[PullDecision]) -> set[tuple[int, int]]:
    """Return (file id, group id) of pulls from other sources whose copies are no longer good.

    The copies are locked until the claims are committed.  A deletion locks them before it reads the claims, so either
    it sees the claim, or the copy is found as it has left it.
    """
    others = {want.other.copy_id: want for want in wanted if want.other is not None}
    lock = index.dialect.for_update
    good: set[int] = set()
    for marks, some in in_chunks(sorted(others)):
        sql = f"SELECT id FROM archivefilecopy WHERE has_file = 'Y' AND id IN ({marks}) ORDER BY file_id, node_id{lock}"
        good.update(index.values(sql, some))
    if index.galera and good:
        lock_files(index, sorted({others[copy_id].fact.file_id for copy_id in good}))
    return {_key(want) for copy_id, want in others.items() if copy_id not in good}


def lock_files(index: Index, file_ids: Iterable[int]) -> None:
    """Write the common row of all claims on a file, on a Galera cluster.

    Locks are local to one server there: claims on two copies of a file, or on the deletion of a copy and a pull from
    it, change different rows, so both would succeed.  With a common row, the second fails with a deadlock at its
    commit, and is decided again after the first.
    """
    index.executemany(
        "INSERT INTO sync_file_claim (file_id, fence) VALUES (?, 1) ON DUPLICATE KEY UPDATE fence = fence + 1",
        [(file_id,) for file_id in file_ids],
    )


def _already_present(index: Index, wanted: Sequence[PullDecision]) -> set[tuple[int, int]]:
    """Return (file id, group id) of files that another request has copied since the plan was made."""
    found: set[tuple[int, int]] = set()
    for group_id, in_group in _by_group(wanted).items():
        for marks, some in in_chunks(in_group):
            file_ids = index.values(
                "SELECT c.file_id FROM archivefilecopy c JOIN storagenode n ON n.id = c.node_id"
                f" WHERE n.group_id = ? AND c.has_file = 'Y' AND c.file_id IN ({marks})"
                " AND n.id NOT IN (SELECT node_id FROM sync_retirement WHERE cancelled <> 1)",
                (group_id, *some),
            )
            found.update((file_id, group_id) for file_id in file_ids)
    return found


def _own_claims(index: Index, run: Run, wanted: Sequence[PullDecision]) -> dict[tuple[int, int], int]:
    """Return the fences of this run's claims on wanted pulls by (file id, group id)."""
    return {
        (file_id, group_id): fence
        for group_id, file_ids in _by_group(wanted).items()
        for file_id, fence in _fences(index, run, "pull", group_id, file_ids).items()
    }


def _by_group(wanted: Sequence[PullDecision]) -> dict[int, list[int]]:
    """Return the file ids by group id."""
    found: dict[int, list[int]] = {}
    for want in wanted:
        found.setdefault(want.fact.group_to_id, []).append(want.fact.file_id)
    return found


def renew(index: Index, run: Run) -> int:
    """Extend all leases that a run still holds; call it well before they expire.

    Claims that other runs have taken over are left alone.  Returns the number of leases that had expired: 0 unless the
    run was suspended or its index was lost.
    """

    def work() -> int:
        now = index.now()
        (late,) = index.execute(
            "SELECT COUNT(*) FROM sync_claim WHERE run_id = ? AND expires <= ?", (run.id, now)
        ).fetchone()
        by = index.dialect.by_index(OF_RUN)
        index.execute(f"UPDATE sync_claim{by} SET expires = ? WHERE run_id = ?", (now + LEASE, run.id))
        return int(late)

    return index.retry(work)


def release(index: Index, run: Run, target_id: int, file_ids: Sequence[int], kind: str = "pull") -> None:
    """Delete claims for files to be pulled into a group or deleted from a node; part of the recording transaction."""
    delete = index.dialect.delete_by(OF_FILE, "sync_claim")
    for marks, some in in_chunks(file_ids):
        # The + keeps SQLite from going through all claims of the run.
        index.execute(
            f"{delete} WHERE kind = ? AND target_id = ? AND +run_id = ? AND file_id IN ({marks})",
            (kind, target_id, run.id, *some),
        )


def drop_dead(index: Index, run: Run, node_ids: Iterable[int]) -> int:
    """Delete the claims that killed runs left on nodes whose run locks this run holds; return their number.

    Only the holder of a node's lock makes claims for it, so the runs that made these have ended.
    """

    delete = index.dialect.delete_by(OF_NODE, "sync_claim")

    def work() -> int:
        dropped = 0
        for node_id in node_ids:
            dropped += index.execute(
                f"{delete} WHERE node_id = ? AND run_id <> ?", (node_id, run.id)
            ).rowcount
        return dropped

    return index.retry(work)
