"""Numbers of an archive for monitoring: copies by state, and pending requests.

All are read from indexes of the tables alone, without a look at files.  Only `copies` reads an entry for each copy.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from alpenhorn.index.connection import Index
from alpenhorn.index.times import moment
from alpenhorn.listings.states import word


class Pending(NamedTuple):
    """The pending requests into a group.  `oldest`: time of the first; None if there is none, or it has no time."""

    group: str
    requests: int
    oldest: datetime | None


COPIES = """
    SELECT node_id, has_file, wants_file, COUNT(*) FROM archivefilecopy GROUP BY node_id, has_file, wants_file
"""
# Subqueries, because for a join SQLite reads all requests ever made.  The oldest request has the lowest id.
_PENDING = "FROM archivefilecopyrequest r WHERE r.group_to_id = g.id AND r.completed = 0 AND r.cancelled = 0"
PENDING = f"""
    SELECT g.name AS group__name, (SELECT COUNT(*) {_PENDING}) AS requests__count,
           (SELECT q.timestamp FROM archivefilecopyrequest q WHERE q.id = (SELECT MIN(r.id) {_PENDING}))
           AS oldest__timestamp
    FROM storagegroup g ORDER BY g.name
"""


def copies(index: Index) -> dict[int, dict[str, int]]:
    """Return the numbers of copies by node id and state, in the words of `alpenhorn.listings.states`."""
    found: dict[int, dict[str, int]] = {}
    for node_id, has, wants, number in index.execute(COPIES):
        states = found.setdefault(node_id, {})
        state = word(has, wants)
        states[state] = states.get(state, 0) + number
    return found


def pending(index: Index) -> list[Pending]:
    """Return the pending requests into every group."""
    return index.facts(Pending, PENDING, oldest=moment)
