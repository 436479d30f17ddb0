"""The SHA-256 sums that the index knows of files."""

from __future__ import annotations

import re
from collections.abc import Sequence

from alpenhorn.index.bulk import in_chunks
from alpenhorn.index.connection import Index

SHA256 = re.compile(r"[0-9a-f]{64}")
KNOWN = """
    SELECT d.file_id, d.sha256, d.size_b, d.md5sum, f.size_b, f.md5sum
    FROM sync_digest d JOIN archivefile f ON f.id = d.file_id WHERE d.file_id IN ({marks})
"""


def known_sha256(index: Index, file_ids: Sequence[int]) -> dict[int, str]:
    """Return the known SHA-256 sums (hex, lower case) of files, by file id; those of other files are unknown."""
    found: dict[int, str] = {}
    for marks, some in in_chunks(file_ids):
        # A row that was recorded for other contents, or damaged, is as good as none; see `SyncDigest`.  Compared here,
        # since the two tables may have different collations.
        for file_id, sha256, size_b, md5sum, *now in index.execute(
            KNOWN.format(marks=marks), some
        ).fetchall():
            if is_sha256(sha256) and now[1] and [size_b, md5sum] == [now[0], now[1].lower()]:
                found[file_id] = sha256
    return found


def is_sha256(value: object) -> bool:
    return isinstance(value, str) and SHA256.fullmatch(value) is not None
