"""Compare the media of this host's nodes with the index."""

from __future__ import annotations

from collections.abc import Iterator

from alpenhorn.coordinator.media import RECONCILE, foreign_medium
from alpenhorn.index.check import Finding, Level
from alpenhorn.model.nodes import Identity, NodeFact
from alpenhorn.plan.media import Standing, judge
from alpenhorn.reasons import Code, headed
from alpenhorn.record.media import RECONCILE as UNTIL_RECONCILED
from alpenhorn.scan.media import KnownMedia


def medium(node: NodeFact, identity: Identity | None, known: KnownMedia) -> Iterator[Finding]:
    """Compare the medium of a node with the index; yield nothing if it matches or is new."""
    fact = known.media.get(node.id)
    standing = judge(fact, identity, known.identity, known.others(node.id))
    if standing in (Standing.FOREIGN, Standing.CLONE):
        assert identity is not None
        why = foreign_medium(node, standing, identity, known)
        yield Finding(Level.FAIL, headed(f"node {node.name}", why))
    elif standing is Standing.EXCHANGED:
        yield Finding(
            Level.WARN,
            Code.NODE_MEDIUM_EXCHANGED(node=node.name),
            "mount the right medium, or let a run read every copy on this one: alpenhorn sync",
        )
    elif standing is Standing.AHEAD:
        yield Finding(
            Level.FAIL,
            Code.NODE_MEDIUM_AHEAD(node=node.name),
            f"{RECONCILE}; nothing is deleted until then",
        )
    elif standing is Standing.BEHIND:
        yield Finding(
            Level.WARN,
            Code.NODE_MEDIUM_BEHIND(node=node.name),
            "alpenhorn sync",
        )
    if fact is not None and fact.distrust == UNTIL_RECONCILED:
        yield Finding(
            Level.FAIL,
            Code.NODE_NOT_RECONCILED(node=node.name),
            f"{RECONCILE} --node {node.name}",
        )


def index(known: KnownMedia) -> Iterator[Finding]:
    """Check whether the index was restored from a backup."""
    if known.restored:
        yield Finding(Level.FAIL, Code.DELETIONS_SUSPENDED(why=known.restored), f"on each host: {RECONCILE}")
