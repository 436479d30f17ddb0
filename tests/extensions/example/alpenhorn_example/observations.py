"""An import detector: what the files of a telescope say of themselves decides.

An observation is a file `NIGHT/TARGET/NAME.obs` whose first line is `target: TARGET`.  Its acquisition is
`NIGHT/TARGET`, and its target is written into a table of this package.
"""

from __future__ import annotations

from functools import partial

from alpenhorn.extensions.detectors import Callback, NodeView
from alpenhorn.index.connection import Index
from alpenhorn.model.imports import ImportedFile


def detect(path: str, node: NodeView) -> str | tuple[str, Callback] | None:
    if not path.endswith(".obs") or path.count("/") != 2:
        return None
    acq = path.rpartition("/")[0]
    with node.open(path) as file:
        key, _, target = file.readline(100).decode().strip().partition(": ")
    if key != "target" or target != acq.rpartition("/")[2]:
        raise ValueError(f"{path} is not of the target that its directory is called after")
    return acq, partial(note_target, target)


def note_target(target: str, imported: ImportedFile, index: Index) -> None:
    from .tables import Observation  # workers, who ask for names, do without the tables

    Observation.create(file_id=imported.file_id, target=target, night=imported.acq.partition("/")[0])
