"""A check for the commands that read copies themselves, which works on the host of the node only."""

from __future__ import annotations

from shlex import quote

from alpenhorn.errors import Refused
from alpenhorn.model.nodes import NodeFact


def require_here(node: NodeFact, host: str, nothing: str) -> None:
    """Raise Refused unless a node is active and on this host.  `nothing`: such as "nothing was changed"."""
    if node.host != host:
        where = f"on host {node.host}; run this command there" if node.host else "not on any host"
        raise Refused(f"node {node.name}: {where}; {nothing}")
    if not node.active:
        raise Refused(
            f"node {node.name}: not active; {nothing}; first run: alpenhorn node activate {quote(node.name)}"
        )
