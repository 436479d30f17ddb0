"""Records counts of the files with too few copies; see `alpenhorn.scan.few_copies`."""

from __future__ import annotations

import json

from alpenhorn.index.connection import Index
from alpenhorn.index.times import posix
from alpenhorn.record.index_values import COLUMNS, remember
from alpenhorn.record.run import FORMAT
from alpenhorn.scan.few_copies import FewCopies, load, part_name, row_name

# Seconds for which a run has a count for itself; it counts for less, unless a page takes that long.
LEASE = 600.0
# Seconds after which a count that is not complete begins anew.
OUTDATED = 7 * 86_400.0


def take(index: Index, required: int, policies: int, nodes: int) -> FewCopies | None:
    """Reserve the count for this run; return the sums from which it goes on, None if another run is counting."""

    def work() -> FewCopies | None:
        # A lock on one server, and a conflict between those of a Galera cluster.  It is the first statement, since rows
        # that are read before a lock is granted may be outdated.
        sql = index.upsert("sync_index", COLUMNS, COLUMNS[:1], COLUMNS[2:])
        index.execute(sql, (part_name(required), "{}", _shown(index)))
        found = load(index, part_name(required))
        now = posix(index.now())
        # A longer lease is that of a wrong clock.
        if found is not None and 0 < found.until - now <= LEASE:
            return None
        if found is None or not found.made_from(policies, nodes) or not 0 <= now - found.began < OUTDATED:
            found = FewCopies(0, 0, policies, nodes, began=now)
        _write(index, part_name(required), found._replace(until=now + LEASE))
        return found

    return index.retry(work)


def interrupt(index: Index, required: int, sums: FewCopies) -> None:
    """Keep the sums of a count that is not complete, for the next run."""
    index.retry(lambda: _write(index, part_name(required), sums._replace(until=0.0)))


def complete(index: Index, required: int, sums: FewCopies) -> None:
    """Keep the sums of a complete count."""

    def work() -> None:
        _write(index, row_name(required), sums._replace(place=0, until=0.0))
        index.execute("DELETE FROM sync_index WHERE name = ?", (part_name(required),))

    index.retry(work)


def _write(index: Index, name: str, count: FewCopies) -> None:
    values = count._asdict()
    del values["at"]
    remember(index, name, json.dumps(values), _shown(index))


def _shown(index: Index) -> str:
    return index.now().strftime(FORMAT)
