"""Sources of pulls: routes from nodes into groups, and the choice of another source.

If the requested source cannot be used now, another good copy that this host can read takes its place.  All checks of a
source apply to it, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from alpenhorn.errors import StorageError
from alpenhorn.io.base import Group, Refusal, Remote
from alpenhorn.model.nodes import NodeFact
from alpenhorn.model.pulls import Method, OtherSource, PullFact
from alpenhorn.model.tasks import AttemptFact, Blame
from alpenhorn.plan.backoff import waits
from alpenhorn.reasons import Code, Reason, Why

OF_SOURCE = (Blame.SOURCE, Blame.NETWORK)


class Route(NamedTuple):
    """The data common to all pulls from one node into one group.

    `method`: by the id of the destination.  `through`: the other host with which sessions are held for it; None if the
    source is on this host, or has objects, which this host reads by itself.
    """

    source: NodeFact
    remote: Remote
    group: Group
    method: Mapping[int, Method]
    through: str | None = None


class ChosenSource(NamedTuple):
    """Another source, and the fact of a request that names it as its source."""

    source: OtherSource
    route: Route
    fact: PullFact


class NoneUsable(NamedTuple):
    """Why no other good copy can be read now.  `waits`: at least one can be without action by a user."""

    why: str
    waits: bool


class Troubles:
    """Nodes and hosts that a run does not use again, each with the reason.

    `absent`: ids of unusable nodes of this host; `unwritable`: ids of nodes that take no more pulls; `silent`: names of
    hosts that could not be reached; `unmounted`: ids of nodes of other hosts that are not mounted there, or whose
    objects cannot be read here.  `held`: by the name of another host, or the id of a node of one, the failed attempts
    of earlier runs, and the reason given until the next attempt is due.
    """

    def __init__(self, absent: dict[int, Reason] | None = None) -> None:
        self.absent = {} if absent is None else absent
        self.unwritable: dict[int, Reason] = {}
        self.silent: dict[str, Refusal] = {}
        self.unmounted: dict[int, Reason] = {}
        self.held: dict[str | int, tuple[AttemptFact, Reason]] = {}


def blames_source(attempt: AttemptFact | None) -> bool:
    """Return whether an attempt failed because of its source or the network, so that it delays no other source."""
    return attempt is not None and attempt.blame in OF_SOURCE


def choose(
    fact: PullFact,
    route_from: Callable[[int], Route | Refusal],
    held: Callable[[Route], Why],
    host: str,
    now: float,
) -> ChosenSource | NoneUsable:
    """Choose the cheapest other source that can be read now.

    A released copy is the last resort.  Sources on this host come before those on others, and nodes without a bandwidth
    limit before those with one.  `route_from`: returns the route from a node, or why there is none; `held`: returns why
    nothing is pulled on a route for now, "" if it is; `host`: this host.
    """
    best: tuple[tuple[bool, bool, bool, bool, str], ChosenSource] | None = None
    obstacles: dict[str, bool] = {}
    for other in fact.others:
        if other.node_id == fact.node_from_id:
            continue
        found = _usable(fact, other, route_from, held, now)
        if isinstance(found, Refusal):
            obstacles[str(found.reason)] = found.waits
            continue
        source = found.route.source
        limited = "bwlimit" in (source.io_config or "")
        rank = (other.released, source.host != host, limited, not source.archive, source.name)
        if best is None or rank < best[0]:
            best = (rank, found)
    if best is None:
        return NoneUsable("; ".join(sorted(obstacles)), any(obstacles.values()))
    return best[1]


def _usable(
    fact: PullFact,
    other: OtherSource,
    route_from: Callable[[int], Route | Refusal],
    held: Callable[[Route], Why],
    now: float,
) -> ChosenSource | Refusal:
    try:
        route = route_from(other.node_id)
        if isinstance(route, Refusal):
            return route
        source = route.source
        as_requested = fact._replace(
            node_from_id=other.node_id, source_has="Y", source_ready=other.ready, attempt=other.attempt
        )
        if not route.remote.ready(as_requested):
            return Refusal(Code.SOURCE_NOT_READY(node=source.name, host=source.host), waits=True)
    except StorageError as error:  # a package's storage class failed
        return Refusal(error.reason)
    if waits(other.attempt, now):
        return Refusal(Code.OTHER_SOURCE_WAITS(node=source.name), waits=True)
    why = held(route)
    if isinstance(why, Reason):
        return Refusal(why, waits=True)
    return ChosenSource(other, route, as_requested)
