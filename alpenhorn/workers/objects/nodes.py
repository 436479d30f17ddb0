"""Probe a node with objects, and store the identity of its medium."""

from __future__ import annotations

from alpenhorn.errors import AlpenhornError
from alpenhorn.fs.manifest_token import token_in
from alpenhorn.io.objects import ObjectNode
from alpenhorn.model.nodes import MANIFEST, IdentityJob, ProbeJob, ProbeOutcome
from alpenhorn.reasons import Why
from alpenhorn.workers.nodes import HEAD_B, probed, with_space


def probe(job: ProbeJob, node: ObjectNode) -> ProbeOutcome:
    """Look whether the service and the node's marker are there; an unusable service is a result, not an exception."""

    def found() -> ProbeOutcome:
        head = node.head(MANIFEST, HEAD_B)
        token = "" if head is None else token_in(head)
        return with_space(node)._replace(manifest=token, identity=node.identity())

    return probed(job, node, found)


def identify(job: IdentityJob, node: ObjectNode) -> Why:
    """Store an identity; return why that failed, or "".  Raises StorageError if the node itself is gone."""
    node.check()
    try:
        node.identify(job.identity, job.anew)
    except AlpenhornError as error:
        return error.reason
    return ""
