"""Rules for the trash of nodes: which batches are due, and what may be deleted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from alpenhorn.model.deletions import DeletionFact
from alpenhorn.model.nodes import TrashBatch
from alpenhorn.model.trash import deleted_at
from alpenhorn.plan.deletions import spare_keepers


class Due(NamedTuple):
    """Names of batches, oldest first.  `expired`: to be deleted; `future`: their age cannot be known, and begins now;
    `kept`: all others.
    """

    expired: tuple[str, ...]
    future: tuple[str, ...]
    kept: tuple[str, ...]


def due(batches: Iterable[TrashBatch], keep: float | None, server_now: float, host_now: float) -> Due:
    """Divide batches by their age.  `keep`: seconds, 0 to keep nothing, None to keep all; the other times are POSIX
    seconds.

    The age is the lesser one of two: since the time in the name, by the server's clock, and since the last change of
    the directory, by that of this host.  So one wrong clock deletes nothing too early.  A date in the future says
    nothing.
    """
    expired, future, kept = [], [], []
    for batch in sorted(batches):
        deleted = deleted_at(batch.name)
        if deleted is None:
            continue
        ages = [age for age in (server_now - deleted, host_now - batch.modified) if age >= 0]
        if keep == 0:
            expired.append(batch.name)
        elif not ages:
            future.append(batch.name)
        elif keep is not None and min(ages) >= keep:
            expired.append(batch.name)
        else:
            kept.append(batch.name)
    return Due(tuple(expired), tuple(future), tuple(kept))


def may_go(fact: DeletionFact, archive: bool, minimum: int) -> bool:
    """Return whether a file in the trash may be deleted for good.

    Enough other good copies must be known, as for the deletion of a copy: some of those on which that relied may have
    been lost since.  `fact`: the deleted copy; `archive`, `minimum`: see `alpenhorn.plan.deletions.decide`.
    """
    return not fact.restored and spare_keepers(fact, archive, minimum) >= 0
