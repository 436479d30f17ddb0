"""Which copies are looked at without being read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from alpenhorn.model.links import LookFile
from alpenhorn.plan.paths import unsafe

Row = tuple[int, int, str | None, str | None, int | None, str | None]
"""A copy: its id, the file's id, acquisition, name, length and MD5 sum."""


def look_files(rows: Iterable[Row]) -> Iterator[LookFile]:
    """Leave out copies of a file without a row, or with a path that leads elsewhere: none of them counts anyway."""
    for copy_id, file_id, acq, name, size_b, md5sum in rows:
        if acq is not None and name is not None and not unsafe(acq, name):
            yield LookFile(copy_id, file_id, f"{acq}/{name}", size_b, md5sum)
