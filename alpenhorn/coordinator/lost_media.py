"""Whether a medium may be declared lost: not while its host could see it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from shlex import quote
from typing import NamedTuple

from alpenhorn.config import Transfer
from alpenhorn.coordinator.nodes import probe
from alpenhorn.coordinator.roots import in_workers, look
from alpenhorn.errors import Refused, StorageError
from alpenhorn.extensions.registry import node_io
from alpenhorn.fs import identity
from alpenhorn.index.connection import Index
from alpenhorn.index.times import known_moment
from alpenhorn.model.nodes import Identity, NodeFact, StorageKind
from alpenhorn.reasons import Code, code_of
from alpenhorn.scan import media
from alpenhorn.scan.former_names import former_names
from alpenhorn.workers.pool import Pool
from alpenhorn.workers.worker import Worker

# A host without a run for so long is taken for dead.  Of one with runs, these record what is not there.
SILENT = timedelta(days=1)


class MediumAtRoot(NamedTuple):
    """What is at a root.

    `there`: it is a directory; `owner`: the node in its marker, "" without one; `identity`: its identity file, None
    without one; `unread`: there is one that cannot be read.
    """

    there: bool
    owner: str
    identity: Identity | None
    unread: bool = False


def refuse_if_there(index: Index, node: NodeFact, host: str, before_fork: Callable[[], None]) -> None:
    """Raise Refused if the medium of a node is there, or if this host cannot know that it is not.

    On the node's host the root is looked at.  On another, the index must say that runs of the node's host have found
    it missing, or that it had no run for a day.
    """
    if node.host is None or not node.root:
        return
    if node.host == host:
        seen = _at_node(node, before_fork)
        if seen is not None and is_medium_of(index, node, seen):
            raise Refused(
                f"node {node.name}: its medium is there: {node.where}; nothing was changed; to take it out of use:"
                f" alpenhorn node retire {quote(node.name)} --into GROUP; to compare it with the index: alpenhorn"
                f" reconcile --node {quote(node.name)}"
            )
        return
    known = media.medium_of(index, node.id)
    if node.active and known is not None and known.wrong:
        return
    last = index.value("SELECT MAX(started) FROM sync_run WHERE host = ?", (node.host,))
    if last is None or index.now() - known_moment(last) > SILENT:
        return
    raise Refused(
        f"node {node.name}: host {node.host} has had runs within a day, and none has found the medium missing; nothing"
        f" was changed; run this command on host {node.host}"
    )


def _at_node(node: NodeFact, before_fork: Callable[[], None]) -> MediumAtRoot | None:
    """Look at the medium of a node of this host in a worker; None if it does not answer, or the settings are wrong."""
    try:
        io = node_io(node)
    except StorageError:
        return None
    if io.storage is StorageKind.DIRECTORY:
        return at_root(io.root, before_fork)
    with Pool(1, Worker(Transfer()), before_fork=before_fork) as pool:
        found = probe(pool, {node.id: io}, [node], tidy=False)[node.id]
    if not found.error:
        return MediumAtRoot(True, node.name, found.identity)
    if code_of(found.error) in (Code.IDENTITY_DAMAGED, Code.IDENTITY_TOO_NEW):
        return MediumAtRoot(True, node.name, None, unread=True)
    return MediumAtRoot(True, found.owner, None) if found.owner or found.uninitialised else None


def at_root(root: str, before_fork: Callable[[], None]) -> MediumAtRoot | None:
    """Look at a root of this host in a worker; None if it does not answer."""
    return in_workers([root], _look, before_fork).get(root)


def _look(path: str) -> MediumAtRoot:
    seen = look(path)
    try:
        return MediumAtRoot(seen.there, seen.owner, identity.read(path))
    except (OSError, StorageError):
        return MediumAtRoot(seen.there, seen.owner, None, unread=True)


def is_medium_of(index: Index, node: NodeFact, seen: MediumAtRoot) -> bool:
    """Return whether what is at a root is the medium of a node, as far as the index knows it.

    If its identity is not known or cannot be read, a marker with the name of the node, or a former one, is enough.
    """
    if node.medium is not None and seen.identity is not None:
        return seen.identity.medium == node.medium
    names = {node.name} | {name for _, name in former_names(index, [node.id])}
    known = media.medium_of(index, node.id)
    confirmed = known is not None and known.generation > 0
    return seen.owner in names and (seen.unread or not confirmed)
