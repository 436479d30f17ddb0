"""The import detector of the site's recordings: files `TIME_RECEIVER/NAME` that begin with their number of samples."""

from __future__ import annotations

import re
from functools import partial

from alpenhorn.extensions.detectors import Callback, IndexView, NodeView
from alpenhorn.index.connection import Index
from alpenhorn.model.imports import ImportedFile
from alpenhorn.model.nodes import NodeFact

ACQ = re.compile(r"[0-9]{8}T[0-9]{6}Z_(\w+)")


def facts(index: Index) -> dict[str, tuple[int, str]]:
    """Return id and pattern of each receiver by name; called in the main process, before files are detected."""
    from .models import Receiver  # workers do without the tables

    return {one.name: (one.id, one.pattern) for one in Receiver.select()}


def detect(path: str, node: NodeView, index: IndexView) -> tuple[str, Callback] | None:
    acq, _, name = path.rpartition("/")
    match = ACQ.fullmatch(acq)
    if match is None or match[1] not in index.facts:
        return None
    receiver, pattern = index.facts[match[1]]
    if not re.fullmatch(pattern, name):
        return None
    with node.open(path) as file:
        samples = int.from_bytes(file.read(4), "big")
    if index.is_new_acq(acq) and not samples:
        raise ValueError(f"{path}: a session must not begin with an empty recording")
    return acq, partial(record, receiver, samples)


def record(receiver: int, samples: int, imported: ImportedFile, index: Index, node: NodeFact) -> None:
    """Write the site's rows; they are undone together if one cannot be written."""
    from .models import Recording, Session  # as above

    if imported.new_file:
        Recording.create(file_id=imported.file_id, receiver=receiver, samples=samples, node=node.name)
        Session.get_or_create(acq_id=imported.acq_id, defaults={"receiver": receiver})
