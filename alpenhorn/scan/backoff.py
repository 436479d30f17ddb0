"""Hosts that could not be reached, and nodes that were not found on them: when they are tried again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from alpenhorn.index.connection import Index
from alpenhorn.index.times import naive
from alpenhorn.model.tasks import AttemptFact, Blame
from alpenhorn.reasons import Code, Reason
from alpenhorn.scan.attempts import attempt_fact

# The name of the host, or of the node and its host.
ROWS = """
    SELECT b.host, b.kind, b.subject_id, COALESCE(h.name, k.name), n.name, b.count, b.last, b.next, b.error
    FROM sync_backoff b
    LEFT JOIN storagehost h ON b.kind = 'host' AND h.id = b.subject_id
    LEFT JOIN storagenode n ON b.kind = 'node' AND n.id = b.subject_id
    LEFT JOIN storagehost k ON k.id = n.host_id
"""
NODES = "SELECT n.name, h.name FROM storagenode n JOIN storagehost h ON h.id = n.host_id"


class Held(NamedTuple):
    """`why`: what is to be said while its next attempt is waited for."""

    attempt: AttemptFact
    why: Reason


class HeldBack(NamedTuple):
    """`hosts` by name, `nodes` by id."""

    hosts: dict[str, Held]
    nodes: dict[int, Held]


def of_host(index: Index, host: str) -> HeldBack:
    """What one host holds back."""
    found = HeldBack({}, {})
    for _, kind, subject_id, host_name, node_name, *rest in index.execute(
        f"{ROWS} WHERE b.host = ?", (host,)
    ):
        attempt = _attempt(*rest)
        if kind == "host" and host_name is not None:
            found.hosts[host_name] = Held(attempt, _why(attempt, host_name, None))
        elif kind == "node" and node_name is not None:
            found.nodes[subject_id] = Held(attempt, _why(attempt, host_name, node_name))
    return found


def by_source(index: Index) -> Mapping[str, Reason]:
    """Why requests from a node wait on some host, by the node's name."""
    rows = index.execute(ROWS).fetchall()
    if not rows:
        return {}
    on: dict[str, list[str]] = {}
    for node, host in index.execute(NODES):
        on.setdefault(host, []).append(node)
    found: dict[str, Reason] = {}
    for _, _, _, host_name, node_name, *rest in rows:
        why = _why(_attempt(*rest), host_name, node_name)
        for node in on.get(host_name, ()) if node_name is None else (node_name,):
            found[node] = why
    return found


def _attempt(count: int, last: str, next_: str, error: str) -> AttemptFact:
    return attempt_fact((count, last, next_, Blame.NETWORK, error))


def _why(attempt: AttemptFact, host: str | None, node: str | None) -> Reason:
    last, next_ = naive(attempt.last), naive(attempt.next)
    if node is None:
        return Code.HOST_WAITS(host=host, tries=attempt.tries, last=last, next=next_, error=attempt.error)
    return Code.SOURCE_WAITS(node=node, host=host, tries=attempt.tries, last=last, next=next_)
