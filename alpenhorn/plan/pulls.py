"""What is done with each pending copy request, and why: the rules for pulls.

Pure.  Facts go in one by one, in the order of the requests; what was decided before in the same run counts
(room that is reserved, files that are on their way).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import NamedTuple

from alpenhorn.errors import StorageError
from alpenhorn.io.base import Group, Misfit, Remote
from alpenhorn.model import Method, NodeFact, PullFact, PullFile
from alpenhorn.plan.backoff import WAITS, waits
from alpenhorn.plan.paths import unsafe
from alpenhorn.plan.space import Space
from alpenhorn.reasons import reason_of

SAME_PATH_ARRIVING = "a file of another acquisition is being brought to the same path"
RETRY = "alpenhorn request retry ID"
MD5 = re.compile(r"[0-9a-fA-F]{32}")


class Choice(StrEnum):
    PULL = "pull"
    CANCEL = "cancel"
    WAIT = "wait"  # nothing to be done by anyone: something else comes first
    SKIP = "skip"  # somebody should know


class PullDecision(NamedTuple):
    """`method` and `reserved_b` are set for PULL only, `node_id` also where the reason is about that node.  `found`:
    what a check said of what lies at the file's path there."""

    fact: PullFact
    choice: Choice
    why: str
    node_id: int = 0
    method: Method = Method.COPY
    reserved_b: int = 0
    found: str = ""

    @property
    def in_brackets(self) -> str:
        return in_brackets(self.found)

    def file(self) -> PullFile:
        fact = self.fact
        assert fact.size_b is not None and fact.md5sum is not None
        # Anything else that lies there was merely found, and is nobody's to destroy.
        replace = self.node_id in fact.once_good and (self.node_id, "X") in fact.at_group
        return PullFile(
            fact.request_id,
            fact.file_id,
            f"{fact.acq}/{fact.name}",
            fact.size_b,
            fact.md5sum.lower(),
            replace,
        )


class Route(NamedTuple):
    """All that is the same for every file from one node into one group; `blocked` says why none can go."""

    source: NodeFact | None
    remote: Remote | None
    group: Group | None
    method: Mapping[int, Method]
    blocked: Misfit | None = None


class Troubles:
    """What a run has met and leaves alone until its end, each with the reason.

    `absent`: ids of this host's nodes that cannot be worked on; `unwritable`: ids of nodes that take no more
    pulls; `silent`: names of hosts that could not be reached; `unmounted`: ids of nodes of other hosts whose storage
    was not seen there.
    """

    def __init__(self, absent: dict[int, str] | None = None) -> None:
        self.absent = {} if absent is None else absent
        self.unwritable: dict[int, str] = {}
        self.silent: dict[str, str] = {}
        self.unmounted: dict[int, str] = {}


class PullPlanner:
    """Decides pull after pull for one run on one host.

    `nodes`: every node by id.  `groups`: the storage objects of the groups that have a node here.
    `remote`: makes the remote object of a node.  `local_method`: how each node here wants local copies.
    `bbcp`: whether remote files are fetched with bbcp.  `troubles` may be added to while the run goes on,
    through the methods here.
    """

    def __init__(
        self,
        *,
        host: str,
        nodes: Mapping[int, NodeFact],
        groups: Mapping[int, Group],
        remote: Callable[[NodeFact], Remote],
        local_method: Mapping[int, Method],
        space: Space,
        bbcp: bool,
        troubles: Troubles,
    ) -> None:
        self.host = host
        self.nodes = nodes
        self.groups = groups
        self.remote = remote
        self.local_method = local_method
        self.space = space
        self.bbcp = bbcp
        self.troubles = troubles
        self._under_way: dict[int, dict[int, str]] = {}  # group id: file ids, with their paths
        self._paths: dict[int, set[str]] = {}  # node id: paths at which files are arriving
        self._routes: dict[tuple[int, int], Route] = {}

    def decide(self, fact: PullFact, now: float) -> PullDecision:
        if fact.fault:
            return PullDecision(fact, Choice.SKIP, fact.fault)
        try:
            return self._decide(fact, now)
        except StorageError as error:  # a package's storage class failed
            return PullDecision(fact, Choice.SKIP, reason_of(error))

    def _decide(self, fact: PullFact, now: float) -> PullDecision:
        choice, why = self._settled_by_states(fact)
        if choice is not None:
            return PullDecision(fact, choice, why)
        wrong = unfit(fact.acq, fact.name, fact.size_b, fact.md5sum)
        if wrong:
            return PullDecision(fact, Choice.SKIP, wrong)
        if fact.claimed_by:
            return PullDecision(fact, Choice.WAIT, f"being pulled by {fact.claimed_by}")
        if waits(fact.attempt, now):
            for at, found in fact.found:
                if at in self.nodes and self.nodes[at].host == self.host:
                    why = something_else(self.nodes[at].name, RETRY)
                    return PullDecision(fact, Choice.SKIP, why, at, found=found)
            return PullDecision(fact, Choice.WAIT, WAITS)
        route = self._route(fact.node_from_id, fact.group_to_id)
        if route.blocked:
            return PullDecision(
                fact, Choice.WAIT if route.blocked.waits else Choice.SKIP, route.blocked.reason
            )
        assert route.source is not None and route.remote is not None and route.group is not None
        if not route.remote.ready(fact):
            source = route.source
            why = f"not ready to be read on {source.name} yet (a run on {source.host} sees to that)"
            return PullDecision(fact, Choice.WAIT, why)
        under_way = self._under_way.setdefault(fact.group_to_id, {})
        if fact.file_id in under_way:
            return PullDecision(fact, Choice.WAIT, "another request brings the same file")
        node_id = route.group.choose(fact, self)
        if isinstance(node_id, Misfit):
            return PullDecision(fact, Choice.WAIT if node_id.waits else Choice.SKIP, node_id.reason)
        shared = next((acq for id_, acq in fact.same_path if id_ == node_id), "")
        if shared:
            return PullDecision(fact, Choice.SKIP, same_path(shared, self.nodes[node_id].name), node_id)
        path = f"{fact.acq}/{fact.name}"
        arriving = self._paths.setdefault(node_id, set())
        if path in arriving:
            return PullDecision(fact, Choice.WAIT, SAME_PATH_ARRIVING, node_id)
        arriving.add(path)
        under_way[fact.file_id] = path
        assert fact.size_b is not None
        reserved = self.space.reserve(node_id, fact.size_b)
        return PullDecision(fact, Choice.PULL, "", node_id, route.method[node_id], reserved)

    def obstacle(self, node_id: int, size_b: int) -> str:
        """As a group asks it: why a file cannot be put there now, for want of room or for what was met before."""
        if node_id in self.troubles.absent:
            return f"node {self.nodes[node_id].name}: {self.troubles.absent[node_id]}"
        if node_id in self.troubles.unwritable:
            return self.troubles.unwritable[node_id]
        why = self.space.obstacle(node_id, size_b)
        return f"no room on {self.nodes[node_id].name}: {why}" if why else ""

    def left_b(self, node_id: int) -> int | None:
        return self.space.left_b(node_id)

    def finished(self, group_id: int, file_id: int, node_id: int, size_b: int, used_b: int | None) -> None:
        """A planned pull has ended (`used_b`: space taken) or did not come about (None)."""
        path = self._under_way[group_id].pop(file_id, None)
        if path is not None:
            self._paths[node_id].discard(path)
        self.space.settle(node_id, size_b, used_b)

    def trouble_at_node(self, node_id: int, why: str) -> None:
        """No more pulls onto that node in this run."""
        self.troubles.unwritable[node_id] = why

    def trouble_with_host(self, host: str, why: str) -> None:
        """No more pulls from that host in this run."""
        self.troubles.silent[host] = why
        self._routes.clear()

    def trouble_with_source(self, node_id: int, why: str) -> None:
        """No more pulls from that node of another host in this run."""
        self.troubles.unmounted[node_id] = why
        self._routes.clear()

    def nodes_changed(self, nodes: Mapping[int, NodeFact]) -> None:
        """The rows of nodes were edited; what is planned from now on is planned with them."""
        self.nodes = nodes
        self._routes.clear()

    def node_absent(self, node_id: int, why: str) -> None:
        """A node of this host that cannot be worked on: nothing is pulled from it or onto it."""
        self.troubles.absent[node_id] = why
        self._routes.clear()

    def _settled_by_states(self, fact: PullFact) -> tuple[Choice | None, str]:
        """What the states at the destination, then at the source, decide before anything else."""
        if fact.at_group:
            states = {has for _, has in fact.at_group}
            if "Y" in states:
                return Choice.CANCEL, "the group has the file already"
            if "M" in states:
                return Choice.WAIT, "the group's copy is to be checked first"
        if fact.source_has == "Y":
            return None, ""
        source = self.nodes.get(fact.node_from_id)
        if source is None:
            return Choice.SKIP, "the source node is not in the index"
        if not source.active:
            return Choice.SKIP, f"source node {source.name} is not active"
        if fact.source_has == "M":
            return Choice.WAIT, f"the copy on {source.name} is to be checked first"
        if fact.source_has == "X":
            return Choice.CANCEL, f"the copy on {source.name} is corrupt"
        return Choice.CANCEL, f"{source.name} does not have the file"

    def _route(self, node_from_id: int, group_to_id: int) -> Route:
        key = (node_from_id, group_to_id)
        route = self._routes.get(key)
        if route is None:
            route = self._routes[key] = self._make_route(node_from_id, group_to_id)
        return route

    def _make_route(self, node_from_id: int, group_to_id: int) -> Route:
        def blocked(why: str) -> Route:
            return Route(None, None, None, {}, Misfit(why))

        source = self.nodes.get(node_from_id)
        if source is None:
            return blocked("the source node is not in the index")
        if not source.active:
            return blocked(f"source node {source.name} is not active")
        if source.id in self.troubles.absent:
            return blocked(f"source node {source.name}: {self.troubles.absent[source.id]}")
        group = self.groups.get(group_to_id)
        if group is None:
            return blocked("the group has no node on this host that can be worked on")
        misfit = group.refuses(source)
        if misfit is not None:
            return Route(None, None, None, {}, misfit)
        try:
            remote = self.remote(source)
        except StorageError as error:
            return blocked(f"source node {source.name}: {error}")
        here = source.host == self.host
        if not here:
            missing = remote.unreachable()
            if missing:
                return blocked(f"source node {source.name} cannot be reached from here: {missing}")
            assert source.host is not None
            if source.host in self.troubles.silent:
                return blocked(f"host {source.host}: {self.troubles.silent[source.host]}")
            if source.id in self.troubles.unmounted:
                return blocked(self.troubles.unmounted[source.id])
        methods = {node.id: self._method(source, node, here) for node in group.nodes}
        return Route(source, remote, group, methods)

    def _method(self, source: NodeFact, node: NodeFact, here: bool) -> Method:
        if not here:
            return Method.BBCP if self.bbcp else Method.RSYNC_SSH
        wanted = self.local_method[node.id]
        # Two names of one inode are one copy: an archived file could be damaged through the other name,
        # and two archive copies would be counted where there is one.
        if wanted is Method.COPY and not source.archive and not node.archive:
            return Method.LINK
        return wanted


def something_else(node: str, then: str = "") -> str:
    """Why a file is not brought to a node, and the way out; `then`: the command for when it is cleared."""
    return (
        f"something else lies at its path on {node}, never recorded there as a good copy of the file, and is left"
        f" alone; move it away or delete it, then: {then or f'alpenhorn file verify FILE {node}'}"
    )


def same_path(acq: str, node: str) -> str:
    return (
        f"a file of acquisition {acq} lies at the same path on {node}, and would be overwritten; cancel the request, or"
        " remove one of the two files from the index"
    )


def in_brackets(text: str) -> str:
    return f" ({text})" if text else ""


def unfit(acq: str | None, name: str | None, size_b: int | None, md5sum: str | None) -> str:
    """Why a file cannot be pulled from anywhere, by what the index says of it; "" when it can."""
    if acq is None or name is None:
        return "the file's row is gone from the index"
    if size_b is None or not md5sum:
        missing = "length" if size_b is None else "MD5 sum"
        return f"the index has no {missing} for the file, so that a copy could not be verified"
    if size_b < 0 or not MD5.fullmatch(md5sum):
        return "the index has no valid length and MD5 sum for the file"
    return unsafe(acq, name)
