"""Records the statuses of copies whose bytes were verified, in the transaction that records the verification."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from alpenhorn.index.bulk import in_chunks
from alpenhorn.index.connection import Index

COLUMNS = ("file_id", "node_id", "medium", "md5sum", "sha256", "status")


class VerifiedFile(NamedTuple):
    """A file with the sums that its bytes had (hex, lower case), and its status then.

    `sha256`: "" if it was not computed.
    """

    file_id: int
    md5sum: str
    sha256: str
    status: str


def keep(index: Index, node_id: int, verified: Sequence[VerifiedFile]) -> None:
    """Record the statuses of good copies on a node; call it after `node_unmoved`.

    Nothing is recorded for a medium that is not known, or not in the expected state.
    """
    if not verified:
        return
    medium = index.value(
        "SELECT medium FROM sync_medium WHERE node_id = ? AND wrong IS NULL AND distrust IS NULL", (node_id,)
    )
    if medium is not None:
        index.executemany(
            index.upsert("sync_verified_status", COLUMNS, ("node_id", "file_id"), COLUMNS[2:]),
            [(one.file_id, node_id, medium, *one[1:]) for one in sorted(verified)],
        )


def with_status(index: Index, node_id: int, file_ids: Sequence[int]) -> set[int]:
    """Return the files whose copies on a node have a status; the rows are locked until the transaction ends."""
    found: set[int] = set()
    for marks, some in in_chunks(file_ids):
        sql = (
            f"SELECT file_id FROM sync_verified_status WHERE node_id = ? AND file_id IN ({marks})"
            f"{index.dialect.in_share_mode}"
        )
        found.update(index.values(sql, (node_id, *some)))
    return found


def forget(index: Index, node_id: int, file_ids: Sequence[int]) -> None:
    """Delete the statuses of copies that were not found good, though their times may be the same."""
    for marks, some in in_chunks(file_ids):
        index.execute(
            f"DELETE FROM sync_verified_status WHERE node_id = ? AND file_id IN ({marks})", (node_id, *some)
        )


def forget_node(index: Index, node_id: int) -> None:
    """Delete all statuses of a node whose medium was exchanged, restored or cloned: its times may repeat."""
    index.execute("DELETE FROM sync_verified_status WHERE node_id = ?", (node_id,))
