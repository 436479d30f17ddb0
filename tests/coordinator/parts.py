"""Files in chosen parts of the archive, and changes of their copies at chosen times."""

from __future__ import annotations

import datetime

from alpenhorn.scan.tallies import NAME, PART
from tests.fixtures.rows import WHEN, Rows


def in_part(rows: Rows, part: int, number: int = 1, size_b: int | None = 10) -> int:
    file_id = part * PART + number
    rows.insert(
        "archivefile",
        id=file_id,
        acq_id=rows.acq,
        name=f"f{file_id}",
        size_b=size_b,
        md5sum=None,
        registered=WHEN,
    )
    return file_id


def later(rows: Rows, span: datetime.timedelta) -> None:
    """Let that time pass after the last look, and after all counts."""
    rows.do("UPDATE sync_index SET at = ? WHERE name = ?", rows.index.now() - span, NAME)
    rows.do("UPDATE sync_tally_part SET counted = ?", rows.index.now() - span)


def change(rows: Rows, file_id: int, state: str, ago: datetime.timedelta) -> None:
    rows.do(
        "UPDATE archivefilecopy SET has_file = ?, wants_file = ?, last_update = ? WHERE file_id = ?",
        *state,
        rows.index.now() - ago,
        file_id,
    )
