"""Records SHA-256 sums of files, in the transaction that records the copy from which they were computed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from alpenhorn.index.bulk import in_chunks
from alpenhorn.index.connection import Index
from alpenhorn.scan.digests import is_sha256

COLUMNS = ("file_id", "size_b", "md5sum", "sha256")
ROWS = "SELECT file_id, size_b, md5sum, sha256 FROM sync_digest WHERE file_id IN ({marks})"
# Only as it was read: another run may have replaced it in the meantime, and the first one counts.
REPLACE = """
    UPDATE sync_digest SET size_b = ?, md5sum = ?, sha256 = ?
    WHERE file_id = ? AND size_b = ? AND md5sum = ? AND sha256 = ?
"""


class Content(NamedTuple):
    """A file's length and sums (hex, lower case), as read from one of its copies."""

    file_id: int
    size_b: int
    md5sum: str
    sha256: str

    def agrees(self, row: Content) -> bool:
        """Return whether a row has the SHA-256 sum of the same contents, right or not."""
        return row[:3] == self[:3] and is_sha256(row.sha256)


def keep_first(index: Index, read: Iterable[Content]) -> dict[int, str]:
    """Record the SHA-256 sums of files of which none is known; return the known ones of those that differ, by file id.

    `read`: contents whose length and MD5 sum are those of the file's row, which must not change until the transaction
    ends (`file_facts`).  The first sum of a file stays; rows about other contents are replaced.
    """
    contents = {one.file_id: one for one in read if one.sha256}
    there = _rows(index, sorted(contents))
    new = [one for file_id, one in contents.items() if file_id not in there]
    stale = [(one, there[one.file_id]) for one in contents.values() if one.file_id in there]
    stale = [(one, row) for one, row in stale if not one.agrees(row)]
    if new or stale:
        index.executemany(index.insert_ignore("sync_digest", COLUMNS), sorted(new))
        for one, row in sorted(stale):
            index.execute(REPLACE, (*one[1:], *row))
        # Another run may have recorded some of these first.
        changed = sorted([one.file_id for one in new] + [one.file_id for one, _ in stale])
        there |= _rows(index, changed)
    return {
        file_id: row.sha256
        for file_id, row in there.items()
        if contents[file_id].agrees(row) and row.sha256 != contents[file_id].sha256
    }


def replace(index: Index, content: Content) -> None:
    """Record the sums of contents that a user accepted, in place of those known before."""
    index.execute(index.upsert("sync_digest", COLUMNS, COLUMNS[:1], COLUMNS[1:]), content)


def forget(index: Index, file_id: int) -> None:
    """Delete the sum of contents that are no longer those of the file."""
    index.execute("DELETE FROM sync_digest WHERE file_id = ?", (file_id,))


def _rows(index: Index, file_ids: Sequence[int]) -> dict[int, Content]:
    found: dict[int, Content] = {}
    for marks, some in in_chunks(file_ids):
        found.update(
            (row[0], Content(*row)) for row in index.execute(ROWS.format(marks=marks), some).fetchall()
        )
    return found
