"""What a worker does to a node as a whole: look whether it is there, and make it a node's."""

from __future__ import annotations

from alpenhorn.errors import StorageError
from alpenhorn.io.base import Node
from alpenhorn.model import InitJob, InitOutcome, ProbeJob, ProbeOutcome


def probe(job: ProbeJob, node: Node) -> ProbeOutcome:
    """Never raises for storage that cannot be used: that is what it is to find out."""
    try:
        try:
            node.check()
        except StorageError as error:
            owner = node.owner()
            free_b = None if owner is None else node.free_bytes()
            return ProbeOutcome(job.node.id, free_b, owner is None, owner or "", str(error))
        if job.tidy:
            node.tidy()
        return ProbeOutcome(job.node.id, node.free_bytes())
    except StorageError as error:
        return ProbeOutcome(job.node.id, error=str(error))
    except OSError as error:
        return ProbeOutcome(job.node.id, error=f"{job.node.root}: {error.strerror}")


def initialise(job: InitJob, node: Node) -> InitOutcome:
    try:
        node.initialise(job.formerly)
    except StorageError as error:
        return InitOutcome(job.request_id, str(error))
    except OSError as error:
        return InitOutcome(job.request_id, f"{job.node.root} cannot be initialised: {error.strerror}")
    return InitOutcome(job.request_id)
