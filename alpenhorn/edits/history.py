"""Removal of what is old from the log of events and the runs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime

from alpenhorn.index.bulk import in_chunks
from alpenhorn.index.connection import Index
from alpenhorn.listings import history
from alpenhorn.listings.history import Old
from alpenhorn.scan.media import PRUNED

PIECE = 2000  # rows in one transaction


def prune(index: Index, before: datetime) -> Old:
    """Remove the events from before that time (naive UTC), and the runs that ended before it; return how many.

    Never a run that is not ended, which may still be going, nor the last of each host.  In many short
    transactions, with a pause after each as long as it took, so that a run beside it is not held up: on SQLite
    it could not write meanwhile.  Whatever was removed stays so when it is cut short.
    """
    events = runs = 0
    while ids := history.old_events(index, before, PIECE):
        events += _remove(index, "sync_event", ids)
    ids = history.old_runs(index, before)
    if ids:
        # Before any is removed: a disk may still bear a note of it, and a run that the index does not know would mean
        # that the index was restored.
        index.retry(lambda: _note_pruned(index, max(ids)))
    for start in range(0, len(ids), PIECE):
        runs += _remove(index, "sync_run", ids[start : start + PIECE])
    return Old(events, runs)


def _note_pruned(index: Index, highest: int) -> None:
    columns = ("name", "value", "at")
    before = index.value("SELECT value FROM sync_index WHERE name = ?", (PRUNED,))
    value = max(highest, int(before or 0))
    index.execute(
        index.upsert("sync_index", columns, ("name",), columns[1:]),
        (PRUNED, str(value), index.now().replace(microsecond=0)),
    )


def _remove(index: Index, table: str, ids: Sequence[int]) -> int:
    def work() -> None:
        for marks, some in in_chunks(ids):
            index.execute(f"DELETE FROM {table} WHERE id IN ({marks})", some)

    started = time.monotonic()
    index.retry(work)
    time.sleep(time.monotonic() - started)
    return len(ids)
