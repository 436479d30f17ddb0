"""Counts of the files with too few copies, as runs remember them in `sync_index`.

A file should have what its policies ask for or, if none applies to it, `sync.archive_copy_count` good archive copies.
Hosts with different numbers keep counts of their own.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

from alpenhorn.index.connection import Index
from alpenhorn.index.times import moment
from alpenhorn.model.nodes import NodeFact

if TYPE_CHECKING:
    from alpenhorn.model.policies import Policy

# Files are not late while runs may still be copying them: these seconds after they were registered, and after the least
# age of their policies.
GRACE = 86_400
EVERY = datetime.timedelta(days=1)
# By a run that did some work, if there were such files: the work may have been what they lacked.
AGAIN = datetime.timedelta(hours=1)
VALUE = "SELECT value, at FROM sync_index WHERE name = ?"


class FewCopies(NamedTuple):
    """A complete count, or the sums of one that is under way.

    `at`: when it was completed, or continued; None if that is unknown.  `policies` and `nodes`: digests of all that it
    depends on beside the files.  `place`: the last file of a count that is under way; `began`: when it began, and
    `until`: until when a run may still be busy with it, both in POSIX seconds.
    """

    files: int
    bytes: int
    policies: int
    nodes: int
    at: datetime.datetime | None = None
    place: int = 0
    began: float = 0.0
    until: float = 0.0

    def made_from(self, policies: int, nodes: int) -> bool:
        return (self.policies, self.nodes) == (policies, nodes)


def row_name(required: int) -> str:
    return f"few copies {required}"


def part_name(required: int) -> str:
    """Return the name of the row of a count that is under way."""
    return f"few copies {required} part"


def load(index: Index, name: str) -> FewCopies | None:
    """Return the count in a row; None if there is none, or if the row is invalid."""
    row = index.execute(VALUE, (name,)).fetchone()
    if row is None:
        return None
    try:
        values: Any = json.loads(row[0])
        found = FewCopies(**values)._replace(at=moment(row[1]))
    except (ValueError, TypeError, RecursionError):
        return None
    numbers = (found.files, found.bytes, found.policies, found.nodes, found.place)
    valid = all(type(one) is int and one >= 0 for one in numbers)
    return found if valid and {type(found.began), type(found.until)} <= {int, float} else None


def policies_digest(policies: Iterable[Policy]) -> int:
    """Return a number that changes with what policies ask for.  0: there are no policies."""
    asked = [
        (one.name, one.copies, one.sites, one.min_age, one.acqs, sorted(one.groups), one.required)
        for one in sorted(policies, key=lambda one: one.id)
    ]
    return crc32(repr(asked).encode()) if asked else 0


def nodes_digest(nodes: Iterable[NodeFact]) -> int:
    """Return a number that changes with the nodes on which copies count."""
    keeping = [
        (one.id, one.group_id, one.site, one.medium)
        for one in sorted(nodes, key=lambda one: one.id)
        if one.keeps
    ]
    return crc32(repr(keeping).encode())


def is_due(last: FewCopies | None, policies: int, nodes: int, now: datetime.datetime, worked: bool) -> bool:
    """Return whether the files must be counted.  `worked`: the run did some work."""
    if last is None or last.at is None or not last.made_from(policies, nodes):
        return True
    age = now - last.at
    # A time in the future is that of a wrong clock.
    return not datetime.timedelta() <= age < (AGAIN if worked and last.files else EVERY)
