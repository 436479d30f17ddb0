"""The copies whose hard links are checked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from alpenhorn.model.links import LookFile
from alpenhorn.plan.paths import unsafe

Row = tuple[int, int, str | None, str | None, int | None, str | None]
"""A copy: its id, the file's id, acquisition, name, length and MD5 sum."""


def look_files(rows: Iterable[Row]) -> Iterator[LookFile]:
    """Skip copies without a file row or with an unsafe path, which never count."""
    for copy_id, file_id, acq, name, size_b, md5sum in rows:
        if acq is not None and name is not None and not unsafe(acq, name):
            yield LookFile(copy_id, file_id, f"{acq}/{name}", size_b, md5sum)
