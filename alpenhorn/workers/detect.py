"""Ask packages' import detectors for the acquisitions of new files."""

from __future__ import annotations

import os

from alpenhorn.errors import StorageError, UnsafePath
from alpenhorn.extensions.detectors import Knowledge, NodeView, ask
from alpenhorn.fs.settled import settled, storage_now
from alpenhorn.io.base import DirectoryNode, TapeNode
from alpenhorn.model.imports import Detected, DetectJob
from alpenhorn.model.searches import FoundFile
from alpenhorn.model.tasks import Reporter
from alpenhorn.reasons import Code, Why
from alpenhorn.workers.tape import out_of_reach, why_unread


def detect(job: DetectJob, node: DirectoryNode, report: Reporter) -> tuple[Detected, ...]:
    """Return the detectors' answer for each file, until the run is asked to stop.

    Detectors are not asked about unfinished files, which they might misread.  Raises StorageError if the node
    itself is gone.
    """
    node.check()
    now = storage_now(node.root) if job.settle else 0.0
    view = NodeView(node)
    knowledge = Knowledge(job.acqs, job.facts)
    away: dict[str, Why] = {}
    if isinstance(node, TapeNode):
        states = out_of_reach(node, [found.path for found in job.files])
        away = {path: why_unread(node, path, one) for path, one in states.items()}
    results: list[Detected] = []
    for found in job.files:
        if report.stopping():
            break
        why = away.get(found.path) or _unfinished(found, node, job.settle, now)
        results.append(Detected(found, error=why, later=True) if why else ask(found, view, knowledge))
    # A disk unmounted meanwhile makes detectors fail; that must not be reported as their fault.
    node.check()
    return tuple(results)


def _unfinished(found: FoundFile, node: DirectoryNode, settle: float, now: float) -> Why:
    if node.locked(found.path):
        return Code.FOUND_FILE_LOCKED()
    try:
        fd = node.open(found.path)
    except FileNotFoundError:
        return Code.FOUND_FILE_GONE_BEFORE_LOOK()
    except (OSError, UnsafePath, StorageError):
        return ""  # the import of the file reports the error
    try:
        return "" if settled(os.fstat(fd), settle, now) else Code.FOUND_FILE_CHANGED_LATELY()
    finally:
        os.close(fd)
