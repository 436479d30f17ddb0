"""Claims: a file is pulled into a group, or deleted from a node, by one run at a time, whichever hosts look at
the index.

A claim is a lease judged by the database server's clock, so that hosts' clocks may differ.  That of a pull is
unique for a file and a group, so that two requests for one file cannot be served by two hosts at once either.
Those of deletions are made in `alpenhorn.record.deletions`; all are renewed and removed here.

Each take-over of a lease that ran out raises the fence of its claim.  A run records what came of its work only where
it still holds the claim under the fence that it was given (`held`): one that stood still beyond its lease may find
that another has done the work meanwhile.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from alpenhorn.index.bulk import in_chunks
from alpenhorn.index.connection import Index
from alpenhorn.record.run import Run

LEASE = datetime.timedelta(minutes=15)
COLUMNS = ("kind", "file_id", "target_id", "node_id", "reserved_b", "host", "run_id", "expires", "fence")


class WantedClaim(NamedTuple):
    """A pull that a run would like to make."""

    request_id: int
    file_id: int
    group_id: int
    node_id: int
    reserved_b: int


def claim(index: Index, run: Run, wanted: Sequence[WantedClaim]) -> dict[int, int]:
    """Claim what is still pending and not claimed by another run; returns the fence of each request that is granted,
    by request id.

    A lease that has run out is taken over, under the next fence.
    """

    def work() -> dict[int, int]:
        now = index.now()
        expires = str(now + LEASE)
        rows = [
            (
                "pull",
                want.file_id,
                want.group_id,
                want.node_id,
                want.reserved_b,
                run.host,
                run.id,
                expires,
                1,
            )
            for want in wanted
        ]
        index.executemany(index.insert_ignore("sync_claim", COLUMNS), rows)
        ours = _ours(index, run)
        taken_over = False
        for want in wanted:
            if (want.file_id, want.group_id) not in ours:
                taken = index.execute(
                    "UPDATE sync_claim SET host = ?, run_id = ?, node_id = ?, reserved_b = ?, expires = ?,"
                    " fence = fence + 1 WHERE kind = 'pull' AND file_id = ? AND target_id = ? AND expires <= ?",
                    (
                        run.host,
                        run.id,
                        want.node_id,
                        want.reserved_b,
                        expires,
                        want.file_id,
                        want.group_id,
                        now,
                    ),
                )
                if taken.rowcount:
                    taken_over = True
        if taken_over:
            ours = _ours(index, run)
        # Asked only now: the claim may have had to wait for the transaction that completed the request.
        pending = still_pending(index, [want.request_id for want in wanted])
        there = _there_by_now(index, wanted)
        mine = ours.keys() - there
        granted = {
            want.request_id: want
            for want in wanted
            if want.request_id in pending and (want.file_id, want.group_id) in mine
        }
        needed = {(want.file_id, want.group_id) for want in granted.values()}
        surplus = {(want.file_id, want.group_id) for want in wanted} & ours.keys() - needed
        for group_id in {group_id for _, group_id in surplus}:
            release(index, run, group_id, [file_id for file_id, group in surplus if group == group_id])
        return {request_id: ours[want.file_id, want.group_id] for request_id, want in granted.items()}

    return index.retry(work)


def held(index: Index, run: Run, kind: str, target_id: int, fences: Mapping[int, int]) -> set[int]:
    """The files whose claims this run still holds under the fences that it was given; they stay locked until the
    transaction ends, so that none is taken over before what came of the work is recorded.

    `kind`: "pull" or "delete"; `target_id`: the group, or the node; `fences`: file id to fence.
    """
    lock = index.dialect.for_update
    found: set[int] = set()
    for marks, some in in_chunks(sorted(fences)):
        # The + keeps SQLite from going through all claims of the run.
        rows = index.execute(
            "SELECT file_id, fence FROM sync_claim"
            f" WHERE kind = ? AND target_id = ? AND +run_id = ? AND file_id IN ({marks}){lock}",
            (kind, target_id, run.id, *some),
        )
        found.update(file_id for file_id, fence in rows if fence == fences[file_id])
    return found


def still_pending(index: Index, request_ids: Sequence[int]) -> set[int]:
    """Those of the requests that nobody has settled."""
    pending: set[int] = set()
    for marks, some in in_chunks(request_ids):
        sql = (
            f"SELECT id FROM archivefilecopyrequest WHERE completed = 0 AND cancelled = 0 AND id IN ({marks})"
        )
        pending.update(index.values(sql, some))
    return pending


def _there_by_now(index: Index, wanted: Sequence[WantedClaim]) -> set[tuple[int, int]]:
    """(file id, group id) of what another request has brought since the plan was made."""
    found: set[tuple[int, int]] = set()
    for group_id in {want.group_id for want in wanted}:
        for marks, some in in_chunks([want.file_id for want in wanted if want.group_id == group_id]):
            file_ids = index.values(
                "SELECT c.file_id FROM archivefilecopy c JOIN storagenode n ON n.id = c.node_id"
                f" WHERE n.group_id = ? AND c.has_file = 'Y' AND c.file_id IN ({marks})",
                (group_id, *some),
            )
            found.update((file_id, group_id) for file_id in file_ids)
    return found


def _ours(index: Index, run: Run) -> dict[tuple[int, int], int]:
    """(file id, group id) to the fence."""
    rows = index.execute(
        "SELECT file_id, target_id, fence FROM sync_claim WHERE kind = 'pull' AND run_id = ?", (run.id,)
    )
    return {(file_id, group_id): fence for file_id, group_id, fence in rows}


def renew(index: Index, run: Run) -> int:
    """Extend all leases that a run still holds; called well before they run out.

    What another run took over is that run's, and stays as it is.  Returns how many had run out before they were
    extended, of which others may have been taken over: 0 unless the run stood still, or its index was away.
    """

    def work() -> int:
        now = index.now()
        (late,) = index.execute(
            "SELECT COUNT(*) FROM sync_claim WHERE run_id = ? AND expires <= ?", (run.id, now)
        ).fetchone()
        index.execute("UPDATE sync_claim SET expires = ? WHERE run_id = ?", (now + LEASE, run.id))
        return int(late)

    return index.retry(work)


def release(index: Index, run: Run, target_id: int, file_ids: Sequence[int], kind: str = "pull") -> None:
    """Give back claims of files on their way into a group, or off a node; part of the transaction that records
    what came of it."""
    for marks, some in in_chunks(file_ids):
        # The + keeps SQLite from going through all claims of the run.
        index.execute(
            f"DELETE FROM sync_claim WHERE kind = ? AND target_id = ? AND +run_id = ? AND file_id IN ({marks})",
            (kind, target_id, run.id, *some),
        )


def drop_dead(index: Index, run: Run, node_ids: Iterable[int]) -> int:
    """Remove the claims that killed runs left on nodes whose run lock we hold; returns how many.

    Only a run that holds a node's lock makes claims for it, so whoever made these is dead.
    """

    def work() -> int:
        dropped = 0
        for node_id in node_ids:
            dropped += index.execute(
                "DELETE FROM sync_claim WHERE node_id = ? AND run_id <> ?", (node_id, run.id)
            ).rowcount
        return dropped

    return index.retry(work)
