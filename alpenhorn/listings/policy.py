"""Files by their number of good archive copies, for the whole archive.

Copies count by the index alone: good and not released, on an active archive node that is not retired.  When that node
was last seen is not considered, as it is for deletions (`alpenhorn.scan.keepers`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from alpenhorn.index.connection import Index
from alpenhorn.index.facts import whole
from alpenhorn.listings.states import HEALTHY
from alpenhorn.listings.stats import FileTally
from alpenhorn.scan.names import acq_names
from alpenhorn.scan.policies import load as load_policies

ARCHIVES = """
    SELECT n.id FROM storagenode n WHERE n.active = 1 AND n.archive = 1
      AND NOT EXISTS (SELECT 1 FROM sync_retirement r WHERE r.node_id = n.id AND r.cancelled <> 1)
"""
# Each copy is read once, in the order of the unique index of file and node.  A file whose copies were all removed is
# not kept.
COPIES = f"""
    SELECT f.acq_id, p.copies, p.kept, COUNT(*) AS files__count, SUM(f.size_b) AS bytes__sum
    FROM (
        SELECT c.file_id, COUNT(CASE WHEN {HEALTHY} AND c.node_id IN ({ARCHIVES}) THEN 1 END) AS copies,
               MAX(CASE WHEN c.has_file = 'N' AND c.wants_file <> 'Y' THEN 0 ELSE 1 END) AS kept
        FROM archivefilecopy c GROUP BY c.file_id
    ) p JOIN archivefile f ON f.id = p.file_id GROUP BY f.acq_id, p.copies, p.kept
"""


class FilesByCopies(NamedTuple):
    """Files by the number of their good archive copies, and by acquisition those with fewer than `required`.

    `by_copies`: of the files that have or should have a copy anywhere; `given_up`: those whose copies were all removed,
    and those that never had one.  `below`: name of the acquisition, and its files below the number by their number of
    copies; those with the most files first, at most `MOST`.  `more`: number of further acquisitions.  `too_few`: all
    files below the number.  For acquisitions with policies, the number is the largest that any of these asks for.
    """

    required: int
    by_copies: Mapping[int, FileTally]
    given_up: int
    below: tuple[tuple[str, Mapping[int, FileTally]], ...]
    more: int
    too_few: FileTally


class _CopiesRow(NamedTuple):
    acq_id: int | None
    copies: int
    kept: int
    files: int
    bytes: int


MOST = 25  # acquisitions


def files_by_copies(index: Index, required: int) -> FilesByCopies:
    """Count the files, with one pass over all copies.  `required`: the number of good archive copies of each file."""
    by_copies: dict[int, FileTally] = {}
    below: dict[int, dict[int, FileTally]] = {}
    kept = 0
    too_few = FileTally()
    asked = _copies_asked(index)
    for row in index.facts(_CopiesRow, COPIES, bytes=whole):
        if not row.kept:
            continue
        kept += row.files
        tally = FileTally(row.files, row.bytes)
        by_copies[row.copies] = by_copies.get(row.copies, FileTally()).plus(tally)
        if row.copies >= asked.get(row.acq_id or 0, required):
            continue
        too_few = too_few.plus(tally)
        if row.acq_id is not None:
            below.setdefault(row.acq_id, {})[row.copies] = tally
    every = index.value("SELECT COUNT(*) FROM archivefile")
    worst = sorted(below, key=lambda acq_id: (-sum(one.files for one in below[acq_id].values()), acq_id))
    names = acq_names(index, worst[:MOST])
    return FilesByCopies(
        required,
        by_copies,
        max(0, every - kept),
        tuple((names.get(acq_id, f"acquisition {acq_id}"), below[acq_id]) for acq_id in worst[:MOST]),
        max(0, len(worst) - MOST),
        too_few,
    )


def _copies_asked(index: Index) -> dict[int, int]:
    """Return the largest number of copies that a policy asks for, by acquisition, where there is any policy."""
    policies = load_policies(index)
    if not policies:
        return {}
    found = {}
    for acq_id, name in index.execute("SELECT id, name FROM archiveacq").fetchall():
        if copies := [policy.copies for policy in policies.of(name) if not policy.fault]:
            found[acq_id] = max(copies)
    return found
