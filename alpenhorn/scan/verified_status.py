"""The statuses of copies when their bytes were verified, as far as they can still be relied on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from alpenhorn.index.bulk import in_chunks
from alpenhorn.index.connection import Index

KNOWN = """
    SELECT s.file_id, s.status, s.md5sum, s.sha256, f.md5sum AS now__md5sum
    FROM sync_verified_status s
    JOIN sync_medium m ON m.node_id = s.node_id AND m.medium = s.medium AND m.wrong IS NULL AND m.distrust IS NULL
    JOIN archivefile f ON f.id = s.file_id
    WHERE s.node_id = ? AND s.file_id IN ({marks})
"""


class _StatusRow(NamedTuple):
    file_id: int
    status: str | None
    md5sum: str | None
    sha256: str | None
    now: str | None


def known_statuses(index: Index, node_id: int, sha256: Mapping[int, str | None]) -> dict[int, str]:
    """Return the statuses with which copies on a node need not be read again, by file id.

    `sha256`: those of the files, as in `PullFile`.  A status is left out if it is that on another medium, or of bytes
    with other sums than the file has by now, or if a SHA-256 sum is wanted that was not computed then.
    """
    found: dict[int, str] = {}
    for marks, some in in_chunks(list(sha256)):
        for row in index.facts(_StatusRow, KNOWN.format(marks=marks), (node_id, *some)):
            wanted = sha256[row.file_id]
            # Compared here, since the two tables may have different collations.
            same = row.md5sum and row.now and row.md5sum == row.now.lower()
            if row.status and same and (wanted is None or (wanted and wanted == row.sha256)):
                found[row.file_id] = row.status
    return found
