"""`alpenhorn doctor`: whether the media of this host's nodes are what the index believes them to be."""

from __future__ import annotations

from collections.abc import Iterator

from alpenhorn.coordinator.media import RECONCILE, stranger
from alpenhorn.index.check import Finding, Level
from alpenhorn.model.nodes import Identity, NodeFact
from alpenhorn.plan.media import Standing, judge
from alpenhorn.reasons import Code, headed
from alpenhorn.record.media import RECONCILE as UNTIL_RECONCILED
from alpenhorn.scan.media import KnownMedia


def medium(node: NodeFact, identity: Identity | None, known: KnownMedia) -> Iterator[Finding]:
    """Nothing where it is as the index left it, and as it should be before the first run."""
    fact = known.media.get(node.id)
    standing = judge(fact, identity, known.identity, known.others(node.id))
    if standing in (Standing.FOREIGN, Standing.CLONE):
        assert identity is not None
        why = stranger(node, standing, identity, known)
        yield Finding(Level.FAIL, headed(f"node {node.name}", why))
    elif standing is Standing.EXCHANGED:
        yield Finding(
            Level.WARN,
            Code.NODE_MEDIUM_EXCHANGED(node=node.name),
            "mount the right one, or have every copy on it read: alpenhorn sync",
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
    """What the index says of itself."""
    if known.restored:
        yield Finding(Level.FAIL, Code.DELETIONS_SUSPENDED(why=known.restored), f"on each host: {RECONCILE}")
