"""Record of the newest backup in the index."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from alpenhorn.index.connection import Index

COLUMNS = ("name", "value", "at")


def made(index: Index, path: Path, at: datetime) -> None:
    """Record a verified backup, so that `status` shows it on every host."""
    sql = index.upsert("sync_index", COLUMNS, COLUMNS[:1], COLUMNS[1:])
    index.retry(lambda: index.execute(sql, ("backup", str(path), at)))
