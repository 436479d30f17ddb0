"""A run's own row, and what every record of it carries."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from alpenhorn.index.bulk import in_chunks
from alpenhorn.index.connection import Index
from alpenhorn.model.nodes import GIB
from alpenhorn.reasons import Code, Why, code_of, storable

FEW = 20  # rows


class Run(NamedTuple):
    """The run on whose behalf something is recorded.  `clock` gives naive UTC; it is this host's."""

    id: int
    host: str
    clock: Callable[[], datetime.datetime]

    def now(self) -> str:
        """As the index stores it, made once for a batch: two drivers take long to write a datetime.

        Whole seconds: MariaDB's DATETIME holds no more, and the two engines should agree.
        """
        return self.clock().strftime("%Y-%m-%d %H:%M:%S")


def begin(
    index: Index,
    host: str,
    nodes: Sequence[str],
    clock: Callable[[], datetime.datetime],
    pid: int | None = None,
) -> Run:
    """Write the run's row before any work is done, since its claims name it."""

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
    """Close the run's row, give its claims back and write down the nodes' free space.

    `counts`: for each kind of work {"done", "failed", "bytes"}; `free_b`: node id to free bytes; `ending`: why it did
    not come to its end.
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
        index.execute("DELETE FROM sync_claim WHERE run_id = ?", (run.id,))
        write_free_space(index, run.now(), free_b)

    index.retry(work)


def worse(index: Index, run_id: int, exit_status: int, ending: str) -> None:
    """A run that came to its end could not tell what it had to."""
    index.retry(
        lambda: index.execute(
            "UPDATE sync_run SET exit_status = ?, ending = COALESCE(ending, ?) WHERE id = ?",
            (exit_status, ending, run_id),
        )
    )


def not_ended(index: Index, run_ids: Sequence[int]) -> None:
    """Runs whose rows hold no end, and whose locks are free, will not end any more."""

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
    """Add to the log of what happened to copies; `rows`: (file id, node id, why)."""
    now = run.now()
    rows = [(file_id, node_id, storable(why) if why else why) for file_id, node_id, why in rows]
    if len(rows) > FEW and len({(node_id, why, code_of(why)) for _, node_id, why in rows}) == 1:
        # One text for many files, which the database knows, takes half as long.
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
    index.executemany(
        "INSERT INTO sync_event (at, run_id, file_id, node_id, what, why, code) VALUES (?, ?, ?, ?, ?, ?, ?)",
        values,
    )
