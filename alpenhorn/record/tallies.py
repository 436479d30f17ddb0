"""Records the sums of copies by part; see `alpenhorn.scan.tallies`."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from alpenhorn.index.bulk import in_chunks
from alpenhorn.index.connection import Index
from alpenhorn.record.index_values import COLUMNS
from alpenhorn.record.run import FORMAT
from alpenhorn.scan.tallies import (
    NAME,
    PART,
    UNFINISHED,
    LastLook,
    PartTally,
    changed_since,
    is_due,
    last_look,
)

SUMS = ("part", "node_id", "has_file", "wants_file", "files", "bytes", "ids")
LARGEST = 2**63 - 1


def look_for_changes(index: Index) -> datetime.datetime | None:
    """Discard the sums of changed parts; return the time of this look, which is the index's.

    If another run did so a short time ago, nothing is discarded: return the time of that look if it has left parts,
    which this run is to count, or else None.
    """

    def work() -> datetime.datetime | None:
        before = _locked(index)
        now = index.now().replace(microsecond=0)
        if is_due(before.at, now):
            discard(index, changed_since(index, before.at))
            _store(index, now)
            return now
        if before.unfinished:
            # Otherwise the runs of several hosts would count the same parts.
            _store(index, before.at)
            return before.at
        return None

    return index.retry(work)


def leave(index: Index, look: datetime.datetime) -> None:
    """Leave the other parts to the next run, unless there was another look since."""

    def work() -> None:
        if _locked(index).at == look:
            _store(index, look, UNFINISHED)

    index.retry(work)


def keep(index: Index, look: datetime.datetime, part: int, sums: PartTally) -> bool:
    """Keep the sums of a part, counted after `look`; return false, and keep nothing, if there was another look since.

    That one may have found a change that is not in these sums.
    """

    def work() -> bool:
        if _locked(index).at != look:
            return False
        index.execute("DELETE FROM sync_tally WHERE part = ?", (part,))
        index.executemany(
            f"INSERT INTO sync_tally ({', '.join(SUMS)}) VALUES ({', '.join('?' * len(SUMS))})",
            [(part, *one._replace(bytes=min(one.bytes, LARGEST))) for one in sums.copies],
        )
        columns = ("part", "counted", "files", "ids")
        upsert = index.upsert("sync_tally_part", columns, columns[:1], columns[1:])
        index.execute(upsert, (part, look.strftime(FORMAT), sums.files, sums.ids))
        return True

    return index.retry(work)


def discard(index: Index, parts: Sequence[int]) -> None:
    """Discard the sums of parts; call it inside a transaction."""
    for marks, some in in_chunks(parts):
        index.execute(f"DELETE FROM sync_tally_part WHERE part IN ({marks})", some)


def forget_files(index: Index, file_ids: Sequence[int]) -> None:
    """Discard the sums with files whose rows are deleted or whose length changes; call it inside a transaction."""
    discard(index, sorted({file_id - file_id % PART for file_id in file_ids}))


def _store(index: Index, look: datetime.datetime | None, value: str = "") -> None:
    at = None if look is None else look.strftime(FORMAT)
    index.execute("UPDATE sync_index SET at = ?, value = ? WHERE name = ?", (at, value, NAME))


def _locked(index: Index) -> LastLook:
    """Lock the row of the last look, and return it."""
    # The first statement, since rows that are read before a lock is granted may be outdated.
    never = index.insert_ignore("sync_index", COLUMNS)
    index.execute(never, (NAME, "", None))
    return last_look(index, index.dialect.for_update)
