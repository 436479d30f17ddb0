"""Record of the newest backup in the index."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from alpenhorn.index.connection import Index
from alpenhorn.record.index_values import remember


def made(index: Index, path: Path, at: datetime) -> None:
    """Record a verified backup, so that `status` shows it on every host."""
    index.retry(lambda: remember(index, "backup", str(path), at))
