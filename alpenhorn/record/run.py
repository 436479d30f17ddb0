"""Records the row of a run, and events in the history."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from alpenhorn.index.bulk import in_chunks
from alpenhorn.index.connection import Index
from alpenhorn.index.times import naive
from alpenhorn.model.events import FAILED, NO_FILE, NO_NODE
from alpenhorn.model.nodes import GIB
from alpenhorn.reasons import Code, Reason, Why, code_of, storable

if TYPE_CHECKING:
    import random

FEW = 20  # rows
MOST_FAILURES = 100  # texts; those of some failures name a file
FORMAT = "%Y-%m-%d %H:%M:%S"
EVENT = "INSERT INTO sync_event (at, run_id, file_id, node_id, what, why, code) VALUES (?, ?, ?, ?, ?, ?, ?)"


class Run(NamedTuple):
    """The run that records something.  `clock`: returns this host's time as naive UTC."""

    id: int
    host: str
    clock: Callable[[], datetime.datetime]

    def now(self) -> str:
        """Return the time as text for the index: converting datetimes is slow in both drivers.

        In whole seconds, since MariaDB's DATETIME has no fractions, and both engines should store the same.
        """
        return self.clock().strftime(FORMAT)

    def chance(self, kind: str, subject_id: int) -> random.Random:
        """Return random numbers for the delay of a subject, which differ between runs, subjects and times."""
        import random  # 2 ms, and few runs have a failure

        return random.Random(f"{self.host} {self.id} {self.now()} {kind} {subject_id}")

    @staticmethod
    def at(seconds: float) -> str:
        """Return POSIX seconds as text for the index."""
        return naive(seconds).strftime(FORMAT)


def begin(
    index: Index,
    host: str,
    nodes: Sequence[str],
    clock: Callable[[], datetime.datetime],
    pid: int | None = None,
) -> Run:
    """Create the run's row, before any work, since its claims refer to it."""

    def work() -> int:
        cursor = index.execute(
            "INSERT INTO sync_run (host, nodes, started, done, failed, bytes, pid) VALUES (?, ?, ?, 0, 0, 0, ?)",
            (host, " ".join(nodes), clock().replace(microsecond=0), pid),
        )
        return int(cursor.lastrowid)

    return Run(index.retry(work), host, clock)


def end(
    index: Index,
    run: Run,
    exit_status: int,
    counts: Mapping[str, Mapping[str, int]],
    free_b: Mapping[int, int | None],
    ending: str | None = None,
) -> None:
    """Complete the run's row, delete its claims, and record the nodes' free space.

    `counts`: for each kind of work {"done", "failed", "bytes"}; `free_b`: node id to free bytes; `ending`: why it
    ended early.
    """

    def work() -> None:
        index.execute(
            "UPDATE sync_run SET ended = ?, exit_status = ?, done = ?, failed = ?, bytes = ?, counts = ?, ending = ?"
            " WHERE id = ?",
            (
                run.now(),
                exit_status,
                *(sum(count.get(key, 0) for count in counts.values()) for key in ("done", "failed", "bytes")),
                json.dumps(counts),
                ending,
                run.id,
            ),
        )
        delete = index.dialect.delete_by("sync_claim_run_id", "sync_claim")
        index.execute(f"{delete} WHERE run_id = ?", (run.id,))
        write_free_space(index, run.now(), free_b)

    index.retry(work)


def failures(index: Index, run: Run, texts: Sequence[Reason]) -> None:
    """Add events for what a run reports as failed; of more than MOST_FAILURES texts only the number is recorded."""
    said = list(texts[:MOST_FAILURES])
    if len(texts) > len(said):
        said.append(Code.MORE_FAILURES(number=len(texts) - len(said)))
    if said:
        index.retry(lambda: events(index, run, FAILED, [(NO_FILE, NO_NODE, why) for why in said]))


def replace_status(index: Index, run_id: int, exit_status: int, ending: str) -> None:
    """Replace the exit status of a completed run that could not report its results."""
    index.retry(
        lambda: index.execute(
            "UPDATE sync_run SET exit_status = ?, ending = COALESCE(ending, ?) WHERE id = ?",
            (exit_status, ending, run_id),
        )
    )


def not_ended(index: Index, run_ids: Sequence[int]) -> None:
    """Record that runs were killed: their rows have no end, and their locks are free."""

    def work() -> None:
        for marks, some in in_chunks(run_ids):
            index.execute(
                f"UPDATE sync_run SET ending = ? WHERE ended IS NULL AND id IN ({marks})",
                (Code.RUN_NOT_ENDED(), *some),
            )

    index.retry(work)


def write_free_space(index: Index, now: str, free_b: Mapping[int, int | None]) -> None:
    for node_id, free in free_b.items():
        if free is not None:
            index.execute(
                "UPDATE storagenode SET avail_gb = ?, avail_gb_last_checked = ? WHERE id = ?",
                (free / GIB, now, node_id),
            )


def events(index: Index, run: Run, what: str, rows: Sequence[tuple[int, int, Why]]) -> None:
    """Add events to the history of copies; `rows`: (file id, node id, reason)."""
    now = run.now()
    rows = [(file_id, node_id, storable(why) if why else why) for file_id, node_id, why in rows]
    if len(rows) > FEW and len({(node_id, why, code_of(why)) for _, node_id, why in rows}) == 1:
        # INSERT … SELECT takes half the time if all rows have the same text.
        for marks, some in in_chunks([file_id for file_id, _, _ in rows]):
            index.execute(
                "INSERT INTO sync_event (at, run_id, file_id, node_id, what, why, code)"
                f" SELECT ?, ?, id, ?, ?, ?, ? FROM archivefile WHERE id IN ({marks}) ORDER BY id",
                (now, run.id, rows[0][1], what, rows[0][2], str(code_of(rows[0][2])), *some),
            )
        return
    values: list[tuple[Any, ...]] = [
        (now, run.id, file_id, node_id, what, why, str(code_of(why))) for file_id, node_id, why in rows
    ]
    index.executemany(EVENT, values)
