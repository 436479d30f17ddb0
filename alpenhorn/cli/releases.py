"""Messages about released copies."""

from __future__ import annotations

from shlex import quote

from alpenhorn.errors import Refused
from alpenhorn.model.nodes import NodeFact


def archive_refusal(node: str) -> Refused:
    """Return the refusal to release copies on an archive node, given by its name."""
    return Refused(
        f"node {node} is an archive node; nothing was changed; to release copies on it anyway: --archive-ok"
    )


def next_step(node: NodeFact, at_once: bool) -> str:
    """Return when a released copy on the node is deleted, as a sentence."""
    if not node.active or node.host is None:
        return f"No run works on the node; to activate it: alpenhorn node activate {quote(node.name)}"
    if at_once:
        return f"The next run on {node.host} deletes them if that is safe."
    if node.archive:
        return "On an archive node copies are deleted only if released with --now."
    if node.min_avail_gb <= 0:
        return (
            f"The node has no min_avail, so runs delete nothing for lack of room; to set it:"
            f" alpenhorn node modify {quote(node.name)} --min-avail SIZE"
        )
    return f"Runs on {node.host} delete them when room is needed, if that is safe."
