"""The index's note of its newest backup."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from alpenhorn.index.connection import Index

COLUMNS = ("name", "value", "at")


def made(index: Index, path: Path, at: datetime) -> None:
    """Note that a backup was written and verified, so that every host's status knows."""
    sql = index.upsert("sync_index", COLUMNS, COLUMNS[:1], COLUMNS[1:])
    index.retry(lambda: index.execute(sql, ("backup", str(path), at)))
