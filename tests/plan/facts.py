"""Facts for tests of plans: a pull of one good file between two nodes, which tests vary."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from alpenhorn.extensions.registry import group_io, remote_io
from alpenhorn.model.nodes import GroupFact, NodeFact
from alpenhorn.model.pulls import Method, PullFact
from alpenhorn.model.tasks import AttemptFact
from alpenhorn.plan.pulls import PullPlanner
from alpenhorn.plan.sources import Troubles
from alpenhorn.plan.space import Space

HERE = "here"
NOW = 1_000_000_000.0
MD5 = "d41d8cd98f00b204e9800998ecf8427e"
PLENTY = 2**50
SOURCE, DESTINATION, SIBLING = 1, 2, 3
GROUP_FROM, GROUP_TO = 10, 20


def node(id: int = DESTINATION, **changes: Any) -> NodeFact:
    fact = NodeFact(
        id=id,
        name=f"node{id}",
        root=f"/srv/node{id}",
        group_id=GROUP_TO,
        host=HERE,
        username="user",
        address="here.example.org",
        active=True,
        archive=False,
        io_class=None,
        io_config=None,
        max_total_gb=None,
        min_avail_gb=0.0,
        avail_gb=None,
    )
    return fact._replace(**changes)


def source(**changes: Any) -> NodeFact:
    return node(SOURCE, **{"group_id": GROUP_FROM, **changes})


def remote(**changes: Any) -> NodeFact:
    """A source on another host."""
    return source(**{"host": "there", "address": "there.example.org", **changes})


def fact(request_id: int = 1, **changes: Any) -> PullFact:
    plain = PullFact(
        request_id=request_id,
        file_id=request_id + 1000,
        acq="acq",
        name=f"dir/file{request_id}",
        size_b=100,
        md5sum=MD5,
        node_from_id=SOURCE,
        source_has="Y",
        source_ready=True,
        group_to_id=GROUP_TO,
    )
    return plain._replace(**changes)


def attempt(next: float, blame: str = "network") -> AttemptFact:
    return AttemptFact(1, NOW - 10, next, blame, "connection refused")


def planner(
    *nodes: NodeFact,
    free_b: int | None = PLENTY,
    total_b: int = 0,
    claimed_b: int = 0,
    reserve: Any = None,
    method: Method = Method.COPY,
    bbcp: bool = False,
    tar: bool = False,
    troubles: Troubles | None = None,
    groups: Mapping[int, Any] | None = None,
    streams: int = 1,
) -> PullPlanner:
    """A planner on host `here`, whose node `DESTINATION` is the one in the group that is pulled into."""
    known = {one.id: one for one in (nodes or (source(), node()))}
    local = [one for one in known.values() if one.active and one.host == HERE]
    space = Space()
    for one in local:
        space.open(one, free_b, total_b, claimed_b, reserve or (lambda size_b: 2 * size_b))
    return PullPlanner(
        host=HERE,
        nodes=known,
        groups=_groups(local) if groups is None else groups,
        remote=remote_io,
        local_method={one.id: method for one in local},
        space=space,
        bbcp=bbcp,
        tar=tar,
        troubles=troubles or Troubles(),
        streams=streams,
    )


def _groups(nodes: Iterable[NodeFact]) -> dict[int, Any]:
    members: dict[int, list[NodeFact]] = {}
    for one in nodes:
        members.setdefault(one.group_id, []).append(one)
    return {id: group_io(GroupFact(id, f"group{id}", None, None), some) for id, some in members.items()}
