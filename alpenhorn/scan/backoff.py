"""Hosts that could not be reached, nodes that were not found on them, and the times of the next attempts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from alpenhorn.index.connection import Index
from alpenhorn.index.times import naive, posix
from alpenhorn.model.tasks import AttemptFact, Blame
from alpenhorn.reasons import Code, Reason

# The name of the host, or of the node and its host.
ROWS = """
    SELECT b.kind, b.subject_id, COALESCE(h.name, k.name) AS host__name, n.name AS node__name,
           b.count AS tries__count, b.last, b.next, b.error
    FROM sync_backoff b
    LEFT JOIN storagehost h ON b.kind = 'host' AND h.id = b.subject_id
    LEFT JOIN storagenode n ON b.kind = 'node' AND n.id = b.subject_id
    LEFT JOIN storagehost k ON k.id = n.host_id
"""
NODES = "SELECT n.name AS node__name, h.name AS host__name FROM storagenode n JOIN storagehost h ON h.id = n.host_id"


class _BackoffRow(NamedTuple):
    kind: str
    subject_id: int
    host: str | None
    node: str | None
    tries: int
    last: Any
    next: Any
    error: str

    @property
    def attempt(self) -> AttemptFact:
        return AttemptFact(self.tries, posix(self.last), posix(self.next), Blame.NETWORK, self.error)


class UnusedSource(NamedTuple):
    """A host or node that is not used until its next attempt.  `why`: the reason to show meanwhile."""

    attempt: AttemptFact
    why: Reason


class UnusedSources(NamedTuple):
    """The hosts, by name, and nodes, by id, that are not used for now."""

    hosts: dict[str, UnusedSource]
    nodes: dict[int, UnusedSource]


def of_host(index: Index, host: str) -> UnusedSources:
    """Return the hosts and nodes that the runs of a host do not use for now."""
    found = UnusedSources({}, {})
    for row in index.facts(_BackoffRow, f"{ROWS} WHERE b.host = ?", (host,)):
        attempt = row.attempt
        if row.kind == "host" and row.host is not None:
            found.hosts[row.host] = UnusedSource(attempt, _why(attempt, row.host, None))
        elif row.kind == "node" and row.node is not None:
            found.nodes[row.subject_id] = UnusedSource(attempt, _why(attempt, row.host, row.node))
    return found


def by_source(index: Index) -> Mapping[str, Reason]:
    """Return the reasons why requests from nodes wait on some host, by the node's name."""
    rows = index.facts(_BackoffRow, ROWS)
    if not rows:
        return {}
    on: dict[str, list[str]] = {}
    for node, host in index.execute(NODES):
        on.setdefault(host, []).append(node)
    found: dict[str, Reason] = {}
    for row in rows:
        why = _why(row.attempt, row.host, row.node)
        # A host that was deleted has no nodes.
        for node in on.get(row.host or "", ()) if row.node is None else (row.node,):
            found[node] = why
    return found


def _why(attempt: AttemptFact, host: str | None, node: str | None) -> Reason:
    last, next_ = naive(attempt.last), naive(attempt.next)
    if node is None:
        return Code.HOST_WAITS(host=host, tries=attempt.tries, last=last, next=next_, error=attempt.error)
    return Code.SOURCE_WAITS(
        node=node, host=host, tries=attempt.tries, last=last, error=attempt.error, next=next_
    )
