"""Write the identity file of a medium."""

from __future__ import annotations

from alpenhorn.errors import AlpenhornError
from alpenhorn.fs import identity
from alpenhorn.io.base import DirectoryNode
from alpenhorn.model.nodes import IdentityJob
from alpenhorn.reasons import Code, Why


def write(job: IdentityJob, node: DirectoryNode, stage: str) -> Why:
    """Write and flush the identity file; return why that failed, or "".

    Raises StorageError if the node itself is gone.
    """
    node.check()
    try:
        if job.anew:
            with node.stage(stage) as aside:
                try:
                    identity.create(aside, job.identity)
                finally:
                    aside.clear()
        else:
            identity.write(node.root, job.identity)
    except OSError as error:
        return Code.SYSTEM_ERROR(why=error.strerror or error)
    except AlpenhornError as error:
        return error.reason
    return ""
