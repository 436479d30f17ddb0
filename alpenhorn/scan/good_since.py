"""The time since which a copy is known to be good, by which a file that its owner changed is recognised."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Sequence

from alpenhorn.index.bulk import in_chunks
from alpenhorn.index.connection import Index
from alpenhorn.index.times import moment, posix

# The time of a verification that allows a pull to replace a copy that its owner changed; the changed file is kept under
# another name.  Older than any real one.
TO_REPLACE = datetime.datetime(1970, 1, 1, 0, 0, 1)

# By the primary key: while MariaDB takes the table for a small one, it reads all rows of the node for each file.
TIMES = """
    SELECT f.id, f.registered, v.verified FROM archivefile f
    LEFT JOIN sync_verification v{by_primary_key} ON v.node_id = ? AND v.file_id = f.id WHERE f.id IN ({marks})
"""


def good_since(
    index: Index, node_id: int, file_ids: Sequence[int], now: datetime.datetime | None = None
) -> dict[int, float]:
    """Return by file id when the copy on a node was last read and found good, or its file was registered.

    In POSIX seconds.  No date in the future is believed.  If no time is known it is 0, so that every file with other
    contents counts as changed, and none is replaced without a decision.  `now`: the time of the
    index's server, if known.
    """
    found: dict[int, float] = {}
    if not file_ids:
        return found
    latest = index.now() if now is None else now

    @functools.cache  # many files were registered or verified in the same second
    def seconds(value: object) -> float:
        at = moment(value)
        return 0.0 if at is None or at > latest else posix(at)

    for marks, some in in_chunks(sorted(set(file_ids))):
        sql = TIMES.format(marks=marks, by_primary_key=index.dialect.by_primary_key)
        for file_id, *times in index.execute(sql, (node_id, *some)).fetchall():
            found[file_id] = max(map(seconds, times))
    return found
