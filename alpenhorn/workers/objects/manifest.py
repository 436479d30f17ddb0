"""Write the manifest of a node with objects: in the root on this host, and then as an object, which is verified.

The service may fail at any moment.  Until a run has recorded the token of the new manifest, the next one compares the
copies with the index, whatever was stored.
"""

from __future__ import annotations

import os

from alpenhorn.errors import StorageError
from alpenhorn.fs.hashing import digests_of
from alpenhorn.fs.placing import PRIVATE, Stage
from alpenhorn.io.objects import ObjectNode
from alpenhorn.model.manifests import ManifestJob, ManifestOutcome
from alpenhorn.model.nodes import MANIFEST
from alpenhorn.model.tasks import Reporter
from alpenhorn.reasons import Code
from alpenhorn.workers.manifest import write_part
from alpenhorn.workers.objects.batches import Efforts, md5sums

_OLD = "old"  # directory in the stage, for the existing manifest


def write(
    job: ManifestJob, node: ObjectNode, stage: str, report: Reporter, deadline: float | None
) -> ManifestOutcome:
    """Write a part of a manifest to `stage`, and store it as an object after the last part.

    An error of the service is returned, so that the old manifest is kept.  Raises StorageError if the node itself is
    gone.
    """
    node.check()
    efforts = Efforts(deadline, report.stopping)
    try:
        return write_part(
            job,
            report,
            lambda: Stage(node.root, stage),
            lambda aside: _fetched(aside, node, efforts),
            lambda aside: _put(aside, node, efforts, report),
        )
    except StorageError as error:
        node.check()
        return ManifestOutcome(error=error.reason)


def _fetched(aside: Stage, node: ObjectNode, efforts: Efforts) -> int:
    """Return a descriptor of the existing manifest.  Raises StorageError if the service did not return it whole."""
    directory = os.path.join(aside.path, _OLD)
    os.mkdir(_OLD, dir_fd=aside.fd)
    missed = node.fetch([MANIFEST], directory, efforts.next())
    if why := missed.get(MANIFEST):
        raise StorageError(why)
    path = os.path.join(_OLD, MANIFEST)
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=aside.fd)
    os.unlink(path, dir_fd=aside.fd)  # frees its space once it was read
    return fd


def _put(aside: Stage, node: ObjectNode, efforts: Efforts, report: Reporter) -> None:
    """Store the manifest over the existing one.  Raises StorageError unless the object is right."""
    os.mkdir(PRIVATE, dir_fd=aside.fd)
    os.rename(os.path.basename(MANIFEST), MANIFEST, src_dir_fd=aside.fd, dst_dir_fd=aside.fd)
    fd = os.open(MANIFEST, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=aside.fd)
    try:
        size_b, digests = digests_of(fd, stopping=report.stopping)
    finally:
        os.close(fd)
    stored = node.deliver(aside.path, [MANIFEST], True, efforts.next())
    if why := stored.get(MANIFEST, Code.OBJECT_VANISHED()):
        raise StorageError(why)
    seen = node.look([MANIFEST], efforts.next())
    if MANIFEST not in seen:
        raise StorageError(Code.OBJECT_VANISHED())
    found = md5sums(node, seen, [MANIFEST], efforts).get(MANIFEST)
    if found is None:
        raise StorageError(Code.OBJECT_UNREADABLE())
    if (seen[MANIFEST].size_b, found) != (size_b, digests.md5):
        node.remove([MANIFEST], efforts.next())  # a wrong manifest is worse than none
        raise StorageError(Code.ARRIVED_MD5_WRONG(found=found))
