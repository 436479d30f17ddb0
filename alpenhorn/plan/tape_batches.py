"""Rules for batches: which copies are put on tape together, and when; and why a copy is not on tape yet.

A batch is begun when it is full, or when its oldest file has waited long enough.  A file that a failed batch did not
put on tape waits for its next attempt, and is then collected again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from alpenhorn import formats
from alpenhorn.model.tape_batches import BatchLimits, CollectedFile
from alpenhorn.plan.backoff import LONGEST, MOST_AHEAD
from alpenhorn.reasons import Code, Reason


class Batches(NamedTuple):
    """`due`: batches to begin now; `later`: the other files, each with the reason."""

    due: list[tuple[CollectedFile, ...]]
    later: list[tuple[CollectedFile, Reason]]


def choose_batches(
    files: Sequence[CollectedFile], limits: BatchLimits, under_way: int, now: float
) -> Batches:
    """Divide `files` into batches, in the order in which they have waited, and choose those to begin now.

    `under_way`: the number of batches that have been begun; `now`: POSIX seconds.
    """
    found = Batches([], [])
    free = limits.at_once - under_way
    ready = []
    for file in files:
        if waits_after_failure(file, now):
            found.later.append((file, Code.TAPE_BATCH_WAITS_AFTER_FAILURE(why=file.error)))
        else:
            ready.append(file)
    for batch, full in _filled(ready, limits):
        if not full and not any(_waited(file, limits, now) for file in batch):
            why = _why_collecting(batch, limits)
        elif len(found.due) >= free:
            why = Code.TAPE_BATCHES_UNDER_WAY(batches=formats.count(limits.at_once, "batch", "batches"))
        else:
            found.due.append(batch)
            continue
        found.later.extend((file, why) for file in batch)
    return found


def waits_after_failure(file: CollectedFile, now: float) -> bool:
    """Return whether the next attempt is not due yet; one further ahead than any delay was set by a wrong clock."""
    return now < file.next < now + LONGEST + MOST_AHEAD


def _filled(
    files: Sequence[CollectedFile], limits: BatchLimits
) -> Iterator[tuple[tuple[CollectedFile, ...], bool]]:
    """Yield batches, and whether each is full.  A file larger than a batch is a batch of its own."""
    batch: list[CollectedFile] = []
    size_b = 0
    for file in files:
        if batch and size_b + file.size_b > limits.size_b:
            yield tuple(batch), True
            batch, size_b = [], 0
        batch.append(file)
        size_b += file.size_b
        if len(batch) >= limits.files or size_b >= limits.size_b:
            yield tuple(batch), True
            batch, size_b = [], 0
    if batch:
        yield tuple(batch), False


def _waited(file: CollectedFile, limits: BatchLimits, now: float) -> bool:
    """Return whether a file has waited long enough; a time in the future was set by a wrong clock."""
    return not now - limits.wait < file.since <= now + MOST_AHEAD


def _why_collecting(batch: Sequence[CollectedFile], limits: BatchLimits) -> Reason:
    return Code.COLLECTED_FOR_TAPE(
        files=len(batch),
        most=limits.files,
        size=formats.size(sum(file.size_b for file in batch)),
        most_size=formats.size(limits.size_b),
        wait=formats.age(limits.wait),
    )
