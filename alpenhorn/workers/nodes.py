"""Probe a node, and mark its root."""

from __future__ import annotations

import os
from collections.abc import Callable

from alpenhorn.errors import StorageError, UnsafePath
from alpenhorn.fs import identity
from alpenhorn.fs.manifest_token import token_in
from alpenhorn.fs.paths import open_below
from alpenhorn.fs.trash import PATH as TRASH
from alpenhorn.io.base import DirectoryNode, Node
from alpenhorn.model.nodes import MANIFEST, InitJob, InitOutcome, ProbeJob, ProbeOutcome
from alpenhorn.reasons import Code

HEAD_B = 128  # longer than the first line of a manifest


def probe(job: ProbeJob, node: DirectoryNode) -> ProbeOutcome:
    """Look whether the node is there; unusable storage is a result, not an exception."""

    def found() -> ProbeOutcome:
        return _with_trash(
            node, with_space(node)._replace(manifest=_manifest(node), identity=identity.read(node.root))
        )

    return probed(job, node, found)


def probed(job: ProbeJob, node: Node, found: Callable[[], ProbeOutcome]) -> ProbeOutcome:
    """Check the marker of a node of any kind, and return what `found` returns if it is right."""
    try:
        try:
            node.check()
        except StorageError as error:
            owner = node.owner()
            if owner is None:
                return ProbeOutcome(job.node.id, uninitialised=True, error=error.reason)
            if owner == job.node.name:
                return ProbeOutcome(job.node.id, error=error.reason)
            return with_space(node)._replace(owner=owner, error=error.reason)
        if job.tidy:
            node.tidy()
        return found()
    except StorageError as error:
        return ProbeOutcome(job.node.id, error=error.reason)
    except PermissionError as error:
        return ProbeOutcome(
            job.node.id, error=Code.NOT_SHARED(path=error.filename or node.root, root=node.root)
        )
    except OSError as error:
        return ProbeOutcome(job.node.id, error=Code.ROOT_UNREADABLE(root=job.node.root, why=error.strerror))


def with_space(node: Node) -> ProbeOutcome:
    """Return an outcome with the free space of a node, and the place of its root."""
    place = _place(node.root)
    try:
        return ProbeOutcome(node.node.id, node.free_bytes(), place=place, free_files=node.free_files())
    except StorageError as error:
        # Files can still be checked and deleted.
        return ProbeOutcome(node.node.id, warning=error.reason, place=place)


def _with_trash(node: DirectoryNode, found: ProbeOutcome) -> ProbeOutcome:
    try:
        if os.path.isdir(f"{node.root}/{TRASH}"):
            with node.trash() as trash:
                return found._replace(trash=tuple(trash.batches()))
    except (OSError, StorageError) as error:
        # Files can still be pulled, checked and deleted.
        why = error.reason if isinstance(error, StorageError) else Code.SYSTEM_ERROR(why=error.strerror)
        return found._replace(warning=Code.TRASH_UNUSABLE(node=node.node.name, why=why), trash=None)
    return found


def _place(root: str) -> tuple[int, int] | None:
    """Return device and inode of the root; None if it is no local path, as for some packages' storage classes."""
    try:
        status = os.stat(root)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _manifest(node: DirectoryNode) -> str:
    """Return the token of the manifest on the node."""
    try:
        fd = open_below(node.root, MANIFEST, os.O_RDONLY | os.O_NONBLOCK)
        try:
            head = os.read(fd, HEAD_B)
        finally:
            os.close(fd)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, UnsafePath):
        head = b""
    return token_in(head)


def initialise(job: InitJob, node: Node) -> InitOutcome:
    try:
        node.initialise(job.formerly)
    except StorageError as error:
        return InitOutcome(job.request_id, error.reason)
    except OSError as error:
        why = Code.ROOT_NOT_INITIALISED(root=job.node.root, why=error.strerror)
        return InitOutcome(job.request_id, why)
    return InitOutcome(job.request_id)
