"""The SHA-256 sums that the index knows of files."""

from __future__ import annotations

import re
from collections.abc import Sequence

from alpenhorn.index.bulk import in_chunks
from alpenhorn.index.connection import Index

SHA256 = re.compile(r"[0-9a-f]{64}")
# A row that was recorded for other contents, or damaged, is as good as none; see `SyncDigest`.
BELIEVED = "d.size_b = f.size_b AND d.md5sum = LOWER(f.md5sum)"
KNOWN = f"""
    SELECT d.file_id, d.sha256 FROM sync_digest d JOIN archivefile f ON f.id = d.file_id
    WHERE {BELIEVED} AND d.file_id IN ({{marks}})
"""


def known_sha256(index: Index, file_ids: Sequence[int]) -> dict[int, str]:
    """Return the known SHA-256 sums (hex, lower case) of files, by file id; those of other files are unknown."""
    found: dict[int, str] = {}
    for marks, some in in_chunks(file_ids):
        rows = index.execute(KNOWN.format(marks=marks), some)
        found.update((file_id, sha256) for file_id, sha256 in rows if is_sha256(sha256))
    return found


def is_sha256(value: object) -> bool:
    return isinstance(value, str) and SHA256.fullmatch(value) is not None
