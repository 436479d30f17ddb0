"""Messages about released copies."""

from __future__ import annotations

from alpenhorn.errors import Refused
from alpenhorn.model.nodes import NodeFact


def archive_refusal(node: NodeFact) -> Refused:
    return Refused(
        f"{node.name} is an archive node; nothing was changed; to release copies on it all the same use --archive-ok"
    )


def next_step(node: NodeFact, at_once: bool) -> str:
    """When a released copy on the node is deleted."""
    if not node.active or node.host is None:
        return f"Nothing is deleted before a run works on the node: alpenhorn node activate {node.name}"
    if at_once:
        return f"The next run on {node.host} deletes what is safe."
    if node.archive:
        return "On an archive node nothing is deleted for want of room; with --now it is."
    if node.min_avail_gb <= 0:
        return (
            f"Runs on {node.host} delete what is safe when room is needed, and it never is as long as the node"
            f" has no min_avail: alpenhorn node modify {node.name} --min-avail SIZE"
        )
    return f"Runs on {node.host} delete what is safe when room is needed."
