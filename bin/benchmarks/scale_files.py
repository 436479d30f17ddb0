"""Files that a run on a large index imports and deletes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from benchmarks.scale_index import WHEN, Fill

FILES = 2_000
SIZE_B = 1_000
KEPT_ON = ("vault", "second")
IMPORT = "UPDATE storagenode SET auto_import = {on} WHERE name = 'field'"
OF_ROUND = "(SELECT f.id FROM archivefile f JOIN archiveacq a ON a.id = f.acq_id WHERE a.name = '{acq}')"
COPIES = f"""
    INSERT INTO archivefilecopy (file_id, node_id, has_file, wants_file, ready, size_b, last_update)
    SELECT f.id, n.id, 'Y', 'Y', 1, {SIZE_B}, '{WHEN}' FROM archivefile f JOIN archiveacq a ON a.id = f.acq_id
    JOIN storagenode n ON n.name = '{{node}}' WHERE a.name = '{{acq}}'
"""
RELEASE = f"""
    UPDATE archivefilecopy SET wants_file = 'N'
    WHERE node_id = (SELECT n.id FROM storagenode n WHERE n.name = 'field') AND file_id IN {OF_ROUND}
"""


def new(base: Path, number: int, fill: Fill) -> None:
    """Write new files on the node field, and have runs search it."""
    fill(iter([IMPORT.format(on=1)]))
    directory = base / "field" / _acq(number)
    directory.mkdir()
    for i in range(FILES):
        path = directory / f"{i:05}.dat"
        path.write_bytes(f"{number} {i} ".encode().ljust(SIZE_B, b"."))
        os.utime(path, (1, 1))


def released(base: Path, number: int, fill: Fill) -> None:
    """Copy the files of a round to the archive nodes, and release their copies on the node field."""
    acq = _acq(number)
    for node in KEPT_ON:
        shutil.copytree(base / "field" / acq, base / node / acq)
    fill(
        iter(
            [
                IMPORT.format(on=0),
                *(COPIES.format(node=node, acq=acq) for node in KEPT_ON),
                RELEASE.format(acq=acq),
            ]
        )
    )


def _acq(number: int) -> str:
    return f"new{number}"
