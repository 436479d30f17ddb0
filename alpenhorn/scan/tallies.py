"""Numbers and lengths of copies by node and state, without reading every copy of the archive.

Files are divided by their ids into parts of PART files.  Runs count the copies of a part and store the sums
(`alpenhorn.coordinator.tallies`).  Parts without sums, and parts with a copy that was changed since, are counted when
somebody asks.  A change is known by `last_update`, which every program sets by the clock of its host: a clock that is
less than MARGIN slow, and a transaction that takes less, are allowed for.  A change without it, by hand, is seen when
the part is counted again, which is once a day.

With each number of files goes their `ids`, the sum of a pseudo-random number of 31 bits for each file: sets of files
with the same number and the same `ids` are the same set, except for one in about 10^11 pairs.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from alpenhorn.index.bulk import chunks, marks
from alpenhorn.index.connection import Index
from alpenhorn.index.facts import whole
from alpenhorn.index.times import moment

PART = 16_384
EVERY = datetime.timedelta(minutes=15)  # between two looks for changed parts
MARGIN = datetime.timedelta(hours=2)
NAME = "tallies"  # in sync_index: when changed parts were last looked for
PRESENT = ("Y", "M", "X")  # states of copies that are, or may be, on the node

UNFINISHED = "parts are left"  # the value of its row if the last run that counted could not finish

LOOKED = "SELECT at, value FROM sync_index WHERE name = ?"
CHANGED = f"SELECT DISTINCT c.file_id - c.file_id % {PART} FROM archivefilecopy c WHERE c.last_update >= ?"
LAST = "SELECT MAX(id) FROM archivefile"
# The `ids` of a part, or of copies, are NULL if an earlier version counted them.
COUNTED = "SELECT part, counted FROM sync_tally_part WHERE ids IS NOT NULL"
# Parts and sums are read by one statement, since a run may be storing others.
STORED = """
    SELECT p.part, t.node_id, t.has_file, t.wants_file, t.files, t.bytes, t.ids,
        p.files AS part_files__files, p.ids AS part_ids__ids
    FROM sync_tally_part p LEFT JOIN sync_tally t ON t.part = p.part AND {which}
    WHERE p.ids IS NOT NULL
"""
# At most 2^42, 2^62 and 2^45 (the sum) before each remainder by a prime, so that nothing overflows.
_NUMBER = f"(f.id % {PART} + 1)"
_MIXED = f"({_NUMBER} * {_NUMBER} * {_NUMBER} % 2147483629)"
IDS = f"SUM({_MIXED} * {_MIXED} % 2147483587)"
COUNT = f"""
    SELECT c.node_id, c.has_file, c.wants_file, COUNT(*) AS files__count, SUM(f.size_b) AS bytes__sum, {IDS} AS ids__sum
    FROM archivefilecopy c JOIN archivefile f ON f.id = c.file_id
    WHERE {{which}} GROUP BY c.node_id, c.has_file, c.wants_file
"""
COUNT_FILES = f"SELECT COUNT(*), {IDS} FROM archivefile f WHERE f.id >= ? AND f.id < ?"
RANGE = "c.file_id >= ? AND c.file_id < ?"


class StateTally(NamedTuple):
    """Copies on a node in one state.  `bytes`: total length of the files whose length is known; `ids`: see above."""

    node_id: int
    has_file: str
    wants_file: str
    files: int
    bytes: int
    ids: int


class PartTally(NamedTuple):
    """A part of the archive: number and `ids` of its files, and the copies of these by node and state."""

    files: int
    ids: int
    copies: list[StateTally]


class LastLook(NamedTuple):
    """The last look for changed parts.

    `at`: None: never, so that no sums can be used; `unfinished`: parts were left, which the next run counts.
    """

    at: datetime.datetime | None
    unfinished: bool

    def is_followed(self, now: datetime.datetime) -> bool:
        """Return whether a run counts parts now."""
        return self.unfinished or is_due(self.at, now)


class _Stored(NamedTuple):
    part: int
    node_id: int | None
    has_file: str | None
    wants_file: str | None
    files: int | None
    bytes: int | None
    ids: int | None
    part_files: int
    part_ids: int


def of_nodes(index: Index, node_ids: Sequence[int]) -> list[StateTally]:
    """Return the copies on nodes; there may be several tallies of one state."""
    found: list[StateTally] = []
    for some in chunks(node_ids):
        found += _of_some(index, some)
    return found


def stored_bytes(index: Index, node_id: int) -> int:
    """Return the total length of files that are, or may be, on a node."""
    return sum(one.bytes for one in of_nodes(index, [node_id]) if one.has_file in PRESENT)


def unchanged(index: Index, which: str, values: Sequence[int]) -> dict[int, PartTally]:
    """Return the parts whose sums are up to date, by their first possible file id.

    `which`: the condition for the sums of copies `t` to return.
    """
    # In this order: a part that is changed or counted in the meantime is complete in one of them.
    changed = set(changed_since(index, last_look(index).at))
    stored = _by_part(index.facts(_Stored, STORED.format(which=which), values))
    return {part: tally for part, tally in stored.items() if part not in changed}


def _by_part(rows: Iterable[_Stored]) -> dict[int, PartTally]:
    """Return the parts of which all sums have `ids`."""
    found: dict[int, PartTally] = {}
    partial: set[int] = set()
    for row in rows:
        part = found.setdefault(row.part, PartTally(row.part_files, row.part_ids, []))
        if row.node_id is None:
            continue  # no copy of the part is on the nodes that were asked for
        if row.ids is None:
            partial.add(row.part)
            continue
        part.copies.append(
            StateTally(
                *(row.node_id, row.has_file or "", row.wants_file or ""),
                *(row.files or 0, row.bytes or 0, row.ids),
            )
        )
    return {part: tally for part, tally in found.items() if part not in partial}


def _of_some(index: Index, node_ids: Sequence[int]) -> Iterator[StateTally]:
    counted = unchanged(index, f"t.node_id IN ({marks(node_ids)})", node_ids)
    for part in counted.values():
        yield from part.copies
    if not counted:
        yield from _count(index, f"c.node_id IN ({marks(node_ids)})", tuple(node_ids))
        return
    # Otherwise SQLite reads all copies on these nodes for each range.
    which = f"{RANGE} AND {index.dialect.unindexed('c.node_id')} IN ({marks(node_ids)})"
    for first, end in stretches(part for part in all_parts(index) if part not in counted):
        yield from _count(index, which, (first, end, *node_ids))


def last_look(index: Index, lock: str = "") -> LastLook:
    """Return the last look; `lock`: a clause that locks its row."""
    at, value = index.execute(LOOKED + lock, (NAME,)).fetchone() or (None, None)
    return LastLook(moment(at), value == UNFINISHED)


def is_due(last: datetime.datetime | None, now: datetime.datetime) -> bool:
    """Return whether changed parts are looked for.  `last`: when they last were."""
    # A time in the future is that of a wrong clock.
    return last is None or not datetime.timedelta() <= now - last < EVERY


def changed_since(index: Index, since: datetime.datetime | None) -> list[int]:
    """Return the parts with a copy that may have been changed since that time; None: all parts."""
    return all_parts(index) if since is None else index.values(CHANGED, (since - MARGIN,))


def all_parts(index: Index) -> list[int]:
    last = index.value(LAST)
    return [] if last is None else list(range(0, last + 1, PART))


def to_count(index: Index, look: datetime.datetime, before: datetime.datetime) -> list[int]:
    """Return the parts without sums, and then those counted before a time, longest ago first.

    Parts that have just been changed are left out, since their sums would not be used.
    """
    counted = dict(index.execute(COUNTED).fetchall())
    changing = set(changed_since(index, look))
    parts = [part for part in all_parts(index) if part not in changing]
    old = sorted(
        (at, part) for part in parts if (at := moment(counted.get(part))) is not None and at < before
    )
    return [part for part in parts if part not in counted] + [part for _, part in old]


def count_part(index: Index, part: int) -> PartTally:
    files, ids = index.execute(COUNT_FILES, (part, part + PART)).fetchone()
    return PartTally(files, whole(ids), sorted(_count(index, RANGE, (part, part + PART))))


def wrong_parts(index: Index) -> list[int]:
    """Count all parts with sums; return those whose sums are wrong although no copy was changed since."""
    kept = _by_part(index.facts(_Stored, STORED.format(which="1 = 1")))
    differ = {
        part
        for part, tally in kept.items()
        if tally._replace(copies=sorted(tally.copies)) != count_part(index, part)
    }
    # A change since the sums were read is no fault.
    return sorted(differ.difference(changed_since(index, last_look(index).at) if differ else ()))


def _count(index: Index, which: str, values: Sequence[int]) -> list[StateTally]:
    return index.facts(StateTally, COUNT.format(which=which), values, bytes=whole, ids=whole)


def stretches(parts: Iterable[int]) -> list[tuple[int, int]]:
    """Return the ranges of file ids, without their ends, of adjacent parts."""
    found: list[tuple[int, int]] = []
    for part in sorted(parts):
        first = found.pop()[0] if found and found[-1][1] == part else part
        found.append((first, part + PART))
    return found
