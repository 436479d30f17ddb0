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
from alpenhorn.model.reconcile import (
    BACK,
    DIFFERING,
    MISSING,
    UNREAD,
    DiskFinding,
    KnownCopy,
    ReconcileJob,
    ReconcileOutcome,
    TreePart,
)
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


def reconcile(
    job: ReconcileJob, node: ObjectNode, report: Reporter, deadline: float | None
) -> ReconcileOutcome:
    """Look at the copies of each part.  Objects that the index does not know are not searched for.

    Returns early if the run is asked to stop.  Raises StorageError if the node itself is gone.
    """
    efforts = Efforts(deadline, report.stopping)
    looked = 0
    found: list[DiskFinding] = []
    try:
        for part in job.parts:
            for some in batches(node, part.known):
                paths = [_path(part, row) for row in some]
                seen = _seen(node, [path for path in paths if not node.refuses(path)], efforts)
                looked += sum(row[4] == "Y" for row in some)
                for row, path in zip(some, paths, strict=True):
                    found += _findings(row, path, node.refuses(path), seen.get(path))
    except Stopped:
        return ReconcileOutcome(looked, 0, tuple(found), stopped=True)
    return ReconcileOutcome(looked, 0, tuple(found))


def _path(part: TreePart, row: KnownCopy) -> str:
    return f"{part.path}/{row[1]}" if part.path else row[1]


def _findings(row: KnownCopy, path: str, refusal: Why, seen: SeenObject | None) -> list[DiskFinding]:
    """Return how an object differs from a copy in the index."""
    _, _, size_b, copy_id, has, _ = row
    if refusal:
        return [DiskFinding(UNREAD, path, copy_id, why=refusal, copies=1)] if has == "Y" else []
    if seen is None:
        return [DiskFinding(MISSING, path, copy_id, why=Code.FILE_MISSING())] if has == "Y" else []
    as_known = size_b is None or seen.size_b == size_b
    shape = ("object", seen.size_b, int(seen.modified * 1e9))
    if has == "Y" and not as_known:
        why = Code.DISK_FILE_LENGTH_WRONG(found=seen.size_b, expected=size_b)
        return [DiskFinding(DIFFERING, path, copy_id, *shape, why=why)]
    if has == "N" and as_known:
        return [DiskFinding(BACK, path, copy_id, *shape, why=Code.RECORDED_AS_GONE())]
    return []


def _seen(node: ObjectNode, paths: Sequence[str], efforts: Efforts) -> dict[str, SeenObject]:
    effort = efforts.next()
    if effort.stopping():
        raise Stopped("the run was asked to stop")
    return node.look(paths, effort)
