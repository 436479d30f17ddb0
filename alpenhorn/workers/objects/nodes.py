"""Probe a node with objects, and store the identity of its medium."""

from __future__ import annotations

from alpenhorn.errors import AlpenhornError
from alpenhorn.io.objects import ObjectNode
from alpenhorn.model.nodes import IdentityJob, ProbeJob, ProbeOutcome
from alpenhorn.reasons import Why
from alpenhorn.workers.nodes import probed, with_space


def probe(job: ProbeJob, node: ObjectNode) -> ProbeOutcome:
    """Look whether the service and the node's marker are there; an unusable service is a result, not an exception."""
    return probed(job, node, lambda: with_space(node)._replace(identity=node.identity()))


def identify(job: IdentityJob, node: ObjectNode) -> Why:
    """Store an identity; return why that failed, or "".  Raises StorageError if the node itself is gone."""
    node.check()
    try:
        node.identify(job.identity, job.anew)
    except AlpenhornError as error:
        return error.reason
    return ""
