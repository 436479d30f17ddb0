"""Removal of old events and runs from the history."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime

from alpenhorn.index.bulk import in_chunks
from alpenhorn.index.connection import Index
from alpenhorn.listings import history
from alpenhorn.listings.history import Old
from alpenhorn.record.index_values import remember
from alpenhorn.scan.media import PRUNED

PIECE = 2000  # rows in one transaction


def prune(index: Index, before: datetime, progress: Callable[[int], None] = lambda removed: None) -> Old:
    """Remove events before a time (naive UTC), and runs that ended before it; return their numbers.

    `progress` is called before each transaction with the number of rows removed so far.

    Runs without an end, which may be in progress, and the last run of each host are kept.  The removal is done in many
    short transactions, each followed by a pause of the same length, since on SQLite a run cannot write during a
    transaction.  An interrupted removal keeps what it has done.
    """
    events = runs = 0
    while ids := history.old_events(index, before, PIECE):
        progress(events)
        events += _remove(index, "sync_event", ids)
    ids = history.old_runs(index, before)
    if ids:
        # Before the removal: a disk may still refer to a run, and a run missing from the index would otherwise mean
        # that the index was restored from a backup.
        index.retry(lambda: _note_pruned(index, max(ids)))
    for start in range(0, len(ids), PIECE):
        progress(events + runs)
        runs += _remove(index, "sync_run", ids[start : start + PIECE])
    return Old(events, runs)


def _note_pruned(index: Index, highest: int) -> None:
    before = index.value("SELECT value FROM sync_index WHERE name = ?", (PRUNED,))
    value = max(highest, int(before or 0))
    remember(index, PRUNED, str(value), index.now().replace(microsecond=0))


def _remove(index: Index, table: str, ids: Sequence[int]) -> int:
    def work() -> None:
        for marks, some in in_chunks(ids):
            index.execute(f"DELETE FROM {table} WHERE id IN ({marks})", some)

    started = time.monotonic()
    index.retry(work)
    time.sleep(time.monotonic() - started)
    return len(ids)
