"""Look at objects without reading them: whether they exist, and whether they look as the index says.

Objects have no hard links, so that a look for links only finds what is lost.
"""

from __future__ import annotations

from collections.abc import Sequence

from alpenhorn.errors import Stopped
from alpenhorn.io.objects import ObjectNode, SeenObject
from alpenhorn.model.links import LookFile, LookJob, LookOutcome
from alpenhorn.model.manifests import ChangedFile, CompareFile, CompareJob
from alpenhorn.model.nodes import MANIFEST
from alpenhorn.model.tasks import Reporter
from alpenhorn.reasons import Code, Reason, Why
from alpenhorn.workers.objects.batches import Efforts, batches


def look(job: LookJob, node: ObjectNode, report: Reporter, deadline: float | None) -> LookOutcome:
    """Look at each file, until the run is asked to stop.  Raises StorageError if the node itself is gone."""
    efforts = Efforts(deadline, report.stopping)
    looked = 0
    lost: list[tuple[LookFile, Reason]] = []
    try:
        for some in batches(node, job.files):
            seen = _seen(node, [file.path for file in some], efforts)
            looked += len(some)
            lost += [(file, Code.COPY_MISSING()) for file in some if file.path not in seen]
            report.progress(len(some), 0)
    except Stopped:
        pass
    return LookOutcome(looked, tuple(lost))


def compare(
    job: CompareJob, node: ObjectNode, report: Reporter, deadline: float | None
) -> tuple[ChangedFile, ...]:
    """Return the files that are missing, of another length, or written after the manifest, until the run is asked to
    stop.

    Raises StorageError if the node itself is gone.
    """
    efforts = Efforts(deadline, report.stopping)
    changed: list[ChangedFile] = []
    try:
        for some in batches(node, job.files):
            seen = _seen(node, [MANIFEST, *(file.path for file in some)], efforts)
            written = seen.get(MANIFEST)
            changed += [
                ChangedFile(file, why)
                for file in some
                if (why := _changed(file, seen.get(file.path), None if file.later else written))
            ]
            report.progress(len(some), 0)
    except Stopped:
        pass
    return tuple(changed)


def _changed(file: CompareFile, seen: SeenObject | None, manifest: SeenObject | None) -> Why:
    """Return how an object differs; `manifest`: the one that was written after the copy was good, None for none."""
    if seen is None:
        return Code.FILE_MISSING()
    if file.size_b is not None and seen.size_b != file.size_b:
        return Code.COPY_LENGTH_WRONG(found=seen.size_b, expected=file.size_b)
    if manifest is not None and seen.modified > manifest.modified:
        return Code.COPY_NEWER_THAN_MANIFEST()
    return ""


def _seen(node: ObjectNode, paths: Sequence[str], efforts: Efforts) -> dict[str, SeenObject]:
    effort = efforts.next()
    if effort.stopping():
        raise Stopped
    return node.look(paths, effort)
