"""Claims: a file is pulled into a group, or deleted from a node, by one run at a time, whichever hosts look at
the index.

A claim is a lease judged by the database server's clock, so that hosts' clocks may differ.  That of a pull is
unique for a file and a group, so that two requests for one file cannot be served by two hosts at once either.
Those of deletions are made in `alpenhorn.record.deletions`; all are renewed and removed here.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from alpenhorn.index.bulk import in_chunks
from alpenhorn.index.connection import Index
from alpenhorn.record.run import Run

LEASE = datetime.timedelta(minutes=15)
COLUMNS = ("kind", "file_id", "target_id", "node_id", "reserved_b", "host", "run_id", "expires", "fence")


class Wanted(NamedTuple):
    """A pull that a run would like to make."""

    request_id: int
    file_id: int
    group_id: int
    node_id: int
    reserved_b: int


def claim(index: Index, run: Run, wanted: Sequence[Wanted]) -> set[int]:
    """Claim what is still pending and nobody else's; returns the ids of the requests that are granted.

    A lease that has run out is taken over, under the next fencing number.
    """

    def work() -> set[int]:
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
                    ours.add((want.file_id, want.group_id))
        # Asked only now: the claim may have had to wait for the transaction that completed the request.
        pending = still_pending(index, [want.request_id for want in wanted])
        there = _there_by_now(index, wanted)
        mine = ours - there
        granted = {
            want.request_id: want
            for want in wanted
            if want.request_id in pending and (want.file_id, want.group_id) in mine
        }
        needed = {(want.file_id, want.group_id) for want in granted.values()}
        surplus = {(want.file_id, want.group_id) for want in wanted} & ours - needed
        for group_id in {group_id for _, group_id in surplus}:
            release(index, run, group_id, [file_id for file_id, group in surplus if group == group_id])
        return set(granted)

    return index.retry(work)


def still_pending(index: Index, request_ids: Sequence[int]) -> set[int]:
    """Those of the requests that nobody has settled."""
    pending: set[int] = set()
    for marks, some in in_chunks(request_ids):
        rows = index.execute(
            f"SELECT id FROM archivefilecopyrequest WHERE completed = 0 AND cancelled = 0 AND id IN ({marks})",
            some,
        )
        pending.update(row[0] for row in rows)
    return pending


def _there_by_now(index: Index, wanted: Sequence[Wanted]) -> set[tuple[int, int]]:
    """(file id, group id) of what another request has brought since the plan was made."""
    found: set[tuple[int, int]] = set()
    for group_id in {want.group_id for want in wanted}:
        for marks, some in in_chunks([want.file_id for want in wanted if want.group_id == group_id]):
            rows = index.execute(
                "SELECT c.file_id FROM archivefilecopy c JOIN storagenode n ON n.id = c.node_id"
                f" WHERE n.group_id = ? AND c.has_file = 'Y' AND c.file_id IN ({marks})",
                (group_id, *some),
            )
            found.update((row[0], group_id) for row in rows)
    return found


def _ours(index: Index, run: Run) -> set[tuple[int, int]]:
    rows = index.execute(
        "SELECT file_id, target_id FROM sync_claim WHERE kind = 'pull' AND run_id = ?", (run.id,)
    )
    return set(rows.fetchall())


def renew(index: Index, run: Run) -> None:
    """Extend all leases of a run; called well before they run out."""
    index.retry(
        lambda: index.execute(
            "UPDATE sync_claim SET expires = ? WHERE run_id = ?", (index.now() + LEASE, run.id)
        )
    )


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
