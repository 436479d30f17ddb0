"""Rules for pulls: what is done with each pending request, and why.

Requests are decided one by one, in their order; earlier decisions of the run count (reserved room, files being pulled).
If the requested source cannot be used now, another good copy is (`alpenhorn.plan.sources`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import NamedTuple

from alpenhorn.errors import StorageError
from alpenhorn.io.base import Group, Refusal, Remote
from alpenhorn.model.nodes import NodeFact
from alpenhorn.model.pulls import Method, OtherSource, PullFact, PullFile
from alpenhorn.plan.backoff import WAITS, waits
from alpenhorn.plan.inodes import Inodes
from alpenhorn.plan.paths import file_fault
from alpenhorn.plan.routes import Routes
from alpenhorn.plan.sources import NoneUsable, Route, Troubles, blames_source, choose
from alpenhorn.plan.space import Space
from alpenhorn.reasons import Code, Reason, Why, code_of, quoted

SAME_PATH_ARRIVING = Code.SAME_PATH_ARRIVING()
RETRY = "alpenhorn request retry ID"
# Results of checks after which a file is replaced only on demand, and kept under another name.
KEPT_ASIDE = (Code.COPY_CHANGED, Code.COPY_SHA256_WRONG)


class Choice(StrEnum):
    PULL = "pull"
    CANCEL = "cancel"
    WAIT = "wait"  # resolves without action by a user
    SKIP = "skip"  # needs the attention of a user


class PullDecision(NamedTuple):
    """The decision for a request.

    `source`, `method` and `reserved_b` are set for PULL only, `node`, the destination, also if the reason is about that
    node.  `found`: the result of the check of what is at the file's path there.  `fence`: the fence of the claim under
    which the file is pulled; 0 until it is claimed.  `other`: the source if it is not the requested one, and `instead`:
    the requested source, and why it is not used.  `no_other`: why no other good copy can take its place.  `staged`: as
    in `PullJob`.
    """

    fact: PullFact
    choice: Choice
    why: Why
    node: NodeFact | None = None
    source: NodeFact | None = None
    method: Method = Method.COPY
    reserved_b: int = 0
    found: str = ""
    fence: int = 0
    other: OtherSource | None = None
    instead: tuple[str, Why] = ("", "")
    no_other: str = ""
    staged: bool = False

    @property
    def node_id(self) -> int:
        """The id of the destination; 0 if it is not set."""
        return 0 if self.node is None else self.node.id

    @property
    def in_brackets(self) -> str:
        return in_brackets(self.found)

    def file(self) -> PullFile:
        fact = self.fact
        assert fact.size_b is not None and fact.md5sum is not None
        # Only a former good copy is replaced; anything else may belong to someone.
        replace = self.node_id in fact.once_good and (self.node_id, "X") in fact.at_group
        since = next((since for node_id, since in fact.since if node_id == self.node_id), 0.0)
        return PullFile(
            fact.request_id,
            fact.file_id,
            f"{fact.acq}/{fact.name}",
            fact.size_b,
            fact.md5sum.lower(),
            replace,
            self.fence,
            since,
            self.node_id in fact.aside,
            0 if self.other is None else self.other.copy_id,
            self.instead,
            fact.sha256,
            fact.verified_status,
        )


class PullPlanner:
    """Decides the pulls of one run on one host.

    `nodes`: every node by id.  `groups`: the storage objects of the groups that have a node here.  `remote`: returns
    the remote object of a node.  `local_method`: the method for local copies of each node here.  `bbcp`: files of other
    hosts are fetched with bbcp; `tar`: otherwise, small ones are fetched as a tar stream; `streams`: ssh sessions for a
    big one.  `troubles` grows during the run, through the methods of this class.
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
        tar: bool,
        troubles: Troubles,
        inodes: Inodes | None = None,
        streams: int = 1,
    ) -> None:
        self.inodes = Inodes() if inodes is None else inodes
        self._path = ""  # of the request being decided
        self.host = host
        self.nodes = nodes
        self.groups = groups
        self.space = space
        self.troubles = troubles
        self._under_way: dict[int, dict[int, str]] = {}  # group id: file ids, with their paths
        self._paths: dict[int, set[str]] = {}  # node id: paths of files being pulled
        self.without_inodes: set[int] = set()
        self.routes = Routes(host, nodes, groups, remote, local_method, bbcp, tar, troubles, streams)
        self._probes: dict[str | int, int] = {}  # the file whose pull tries a host or node again

    def decide(self, fact: PullFact, now: float) -> PullDecision:
        if fact.fault:
            return PullDecision(fact, Choice.SKIP, fact.fault)
        try:
            return self._decide(fact, now)
        except StorageError as error:  # a package's storage class failed
            return PullDecision(fact, Choice.SKIP, error.reason)

    def _decide(self, fact: PullFact, now: float) -> PullDecision:
        settled = self._settled_by_group(fact)
        if settled is not None:
            return settled
        obstacle = None if fact.source_has == "Y" else self._no_source_copy(fact)
        if obstacle is not None and not fact.others:
            return obstacle
        wrong = file_fault(fact.acq, fact.name, fact.size_b, fact.md5sum)
        if wrong:
            return PullDecision(fact, Choice.SKIP, wrong)
        if fact.claimed_by:
            return PullDecision(fact, Choice.WAIT, Code.PULLED_BY_OTHER_RUN(run=fact.claimed_by))
        if waits(fact.attempt, now):
            if not (fact.others and blames_source(fact.attempt)):
                return self._delayed(fact)
            obstacle = obstacle or self._delayed(fact)
        route = self.routes.of(fact.node_from_id, fact.group_to_id)
        if obstacle is None:
            obstacle = self._source_obstacle(fact, route, now)
        pull = fact
        if obstacle is not None:
            if not fact.others or not self._replaceable(fact, route):
                return obstacle
            chosen = choose(
                fact,
                lambda node_id: self.routes.of(node_id, fact.group_to_id),
                lambda other: self._held(other, now),
                self.host,
                now,
            )
            if isinstance(chosen, NoneUsable):
                return self._no_other(obstacle, chosen)
            other, route, pull = chosen
        else:
            other = None
        assert isinstance(route, Route)
        source = route.source
        under_way = self._under_way.setdefault(fact.group_to_id, {})
        if fact.file_id in under_way:
            return PullDecision(fact, Choice.WAIT, Code.OTHER_REQUEST_BRINGS_FILE())
        self._path = path = f"{fact.acq}/{fact.name}"
        self.space.decide()
        node_id = route.group.choose(pull, self)
        if isinstance(node_id, Refusal):
            self.space.refused()
            return _refused(fact, node_id)
        node = self.nodes[node_id]
        for at, found in fact.found:
            if at == node_id and code_of(found) in KEPT_ASIDE:
                return PullDecision(fact, Choice.SKIP, unknown_file(node.name, found), node, found=found)
        for at, shared in fact.same_path:
            if at == node_id:
                return PullDecision(fact, Choice.SKIP, same_path(shared, node.name), node)
        arriving = self._paths.setdefault(node_id, set())
        if path in arriving:
            return PullDecision(fact, Choice.WAIT, SAME_PATH_ARRIVING, node)
        arriving.add(path)
        under_way[fact.file_id] = path
        if self.troubles.held:
            for one in self._doubtful(route):
                self._probes[one] = fact.file_id
        assert fact.size_b is not None
        reserved = self.space.reserve(node_id, fact.size_b)
        self.inodes.reserve(node_id, path)
        method = self.routes.method(route, node_id, fact.size_b)
        staged = self.routes.staged(route, node_id)
        decision = PullDecision(fact, Choice.PULL, "", node, source, method, reserved, staged=staged)
        if obstacle is None:
            return decision
        requested = self.nodes.get(fact.node_from_id)
        name = f"node {fact.node_from_id}" if requested is None else requested.name
        return decision._replace(other=other, instead=(name, obstacle.why))

    def lacks_source(self, fact: PullFact, now: float) -> bool:
        """Return whether the other good copies of a file decide about a request, so that they must be read."""
        try:
            route = self.routes.known(fact.node_from_id, fact.group_to_id)
            plain = fact.source_has == "Y" and fact.attempt is None and not self.troubles.held
            if plain and isinstance(route, Route):  # nearly all requests; what follows takes twice as long
                return not route.remote.ready(fact)
            if fact.fault or (fact.at_group and "Y" in {has for _, has in fact.at_group}):
                return False
            if fact.source_has != "Y":
                return True
            route = self.routes.of(fact.node_from_id, fact.group_to_id)
            if not isinstance(route, Route):
                return self._replaceable(fact, route)
            if fact.attempt is not None and waits(fact.attempt, now):
                return blames_source(fact.attempt)
            return self._source_obstacle(fact, route, now) is not None
        except StorageError:  # `decide` reports it
            return False

    def _source_obstacle(self, fact: PullFact, route: Route | Refusal, now: float) -> PullDecision | None:
        """Return the decision if the requested source cannot be used now, None if it can."""
        if isinstance(route, Refusal):
            return _refused(fact, route)
        if not route.remote.ready(fact):
            why = Code.SOURCE_NOT_READY(node=route.source.name, host=route.source.host)
            return PullDecision(fact, Choice.WAIT, why)
        held = self._held(route, now) if self.troubles.held else ""
        return PullDecision(fact, Choice.WAIT, held) if held else None

    def _replaceable(self, fact: PullFact, route: Route | Refusal) -> bool:
        """Return whether another source helps a request: not if its group takes no file, or none of the requested one.

        A Transport group takes files of its own host only.
        """
        group = self.groups.get(fact.group_to_id)
        requested = self.nodes.get(fact.node_from_id)
        if group is None:
            return False
        return isinstance(route, Route) or requested is None or group.refuses(requested) is None

    def _no_other(self, obstacle: PullDecision, found: NoneUsable) -> PullDecision:
        """Return the decision on a request without a usable source.

        It is not cancelled while the index has a good copy that may be read later.
        """
        if obstacle.choice is not Choice.CANCEL or not found.why:
            return obstacle._replace(no_other=found.why)
        why = Code.NO_OTHER_SOURCE(obstacle=obstacle.why, why=found.why)
        return PullDecision(obstacle.fact, Choice.WAIT if found.waits else Choice.SKIP, why)

    def _delayed(self, fact: PullFact) -> PullDecision:
        """Return the decision on a request whose next attempt is not due."""
        for at, found in fact.found:
            if at in self.nodes and self.nodes[at].host == self.host:
                node = self.nodes[at]
                why = unknown_file(node.name, found, RETRY)
                return PullDecision(fact, Choice.SKIP, why, node, found=found)
        return PullDecision(fact, Choice.WAIT, WAITS)

    def _held(self, route: Route, now: float) -> Why:
        """Return why nothing is pulled on a route for now, because of failures of the source's host or of the node."""
        doubtful = self._doubtful(route)
        return self._held_back(route.source, doubtful, now) if doubtful else ""

    def _doubtful(self, route: Route) -> list[str | int]:
        """Return the host and the node of a source if earlier attempts failed there."""
        if not self.troubles.held or route.source.host == self.host:
            return []
        found: list[str | int] = [] if route.through is None else [route.through]
        return [one for one in (*found, route.source.id) if one in self.troubles.held]

    def _held_back(self, source: NodeFact, doubtful: list[str | int], now: float) -> Why:
        """Return why nothing is pulled from a doubtful source now, "" if it is.

        One request tries it first: a host that is down must not cost one attempt for each request.
        """
        for one in doubtful:
            attempt, why = self.troubles.held[one]
            if waits(attempt, now):
                return why
        for one in doubtful:
            if one in self._probes:
                name = f"host {one}" if isinstance(one, str) else f"node {source.name}"
                return Code.SOURCE_PROBED(source=name)
        return ""

    def answered(self, source: str | int) -> bool:
        """Note that a host or node works; return whether that was in doubt."""
        return self.troubles.held.pop(source, None) is not None

    def obstacle(self, node_id: int, size_b: int) -> Why:
        """Return why a file cannot be pulled onto a node now, "" if it can; called by groups."""
        if node_id in self.troubles.absent:
            why = self.troubles.absent[node_id]
            return Code.DESTINATION_ABSENT(node=self.nodes[node_id].name, why=why)
        if node_id in self.troubles.unwritable:
            return self.troubles.unwritable[node_id]
        left = self.inodes.short(node_id, self._path)
        if left is not None:
            self.without_inodes.add(node_id)
            return Code.NO_INODES(node=self.nodes[node_id].name, left=left)
        lacking = self.space.obstacle(node_id, size_b)
        return lacking(node=self.nodes[node_id].name) if lacking else ""

    def under_way(self, fact: PullFact) -> bool:
        """Return whether the file of a request is being pulled into its group."""
        return fact.file_id in self._under_way.get(fact.group_to_id, ())

    def left_b(self, node_id: int) -> int | None:
        return self.space.left_b(node_id)

    def finished(self, group_id: int, file_id: int, node_id: int, size_b: int, used_b: int | None) -> None:
        """Note the end of a planned pull.  `used_b`: the space it took, None if nothing was written."""
        self._probes = {source: probe for source, probe in self._probes.items() if probe != file_id}
        path = self._under_way[group_id].pop(file_id, None)
        if path is not None:
            self._paths[node_id].discard(path)
            self.inodes.settle(node_id, path, used_b is not None)
        self.space.settle(node_id, size_b, used_b)

    def trouble_at_node(self, node_id: int, why: Reason) -> None:
        """Pull nothing more onto a node in this run."""
        self.troubles.unwritable[node_id] = why

    def trouble_with_host(self, host: str, why: Reason, goes_on: bool = False) -> None:
        """Pull nothing more from a host in this run.  `goes_on`: the next run continues without action by a user."""
        self.troubles.silent[host] = Refusal(why, goes_on)
        self.routes.clear()

    def trouble_with_source(self, node_id: int, why: Reason) -> None:
        """Pull nothing more from a node of another host in this run."""
        self.troubles.unmounted[node_id] = why
        self.routes.clear()

    def nodes_changed(self, nodes: Mapping[int, NodeFact]) -> None:
        """Use edited rows of nodes from now on."""
        self.nodes = self.routes.nodes = nodes
        self.routes.clear()

    def node_absent(self, node_id: int, why: Reason) -> None:
        """Pull nothing from or onto an unusable node of this host."""
        self.troubles.absent[node_id] = why
        self.routes.clear()

    def _settled_by_group(self, fact: PullFact) -> PullDecision | None:
        """Return the decision if the states of the copies at the destination determine it."""
        if fact.at_group:
            states = {has for _, has in fact.at_group}
            if "Y" in states:
                return PullDecision(fact, Choice.CANCEL, Code.GROUP_HAS_FILE())
            if "M" in states:
                return PullDecision(fact, Choice.WAIT, Code.GROUP_COPY_SUSPECT())
        return None

    def _no_source_copy(self, fact: PullFact) -> PullDecision:
        """Return the decision on a request whose source has no good copy, if there is no other."""
        source = self.nodes.get(fact.node_from_id)
        if source is None:
            return PullDecision(fact, Choice.SKIP, Code.SOURCE_NOT_IN_INDEX())
        if not source.active:
            return PullDecision(fact, Choice.SKIP, Code.SOURCE_INACTIVE(node=source.name))
        if fact.source_has == "M":
            return PullDecision(fact, Choice.WAIT, Code.SOURCE_COPY_SUSPECT(node=source.name))
        if fact.source_has == "X":
            return PullDecision(fact, Choice.CANCEL, Code.SOURCE_COPY_CORRUPT(node=source.name))
        return PullDecision(fact, Choice.CANCEL, Code.SOURCE_COPY_ABSENT(node=source.name))


def _refused(fact: PullFact, refusal: Refusal) -> PullDecision:
    return PullDecision(fact, Choice.WAIT if refusal.waits else Choice.SKIP, refusal.reason)


def foreign_file(node: str, then: str = "") -> Reason:
    """Return the reason for not overwriting a foreign file.  `then`: the command to run after it is moved."""
    return Code.FOREIGN_FILE_AT_PATH(node=node, then=then or f"alpenhorn file verify FILE {quoted(node)}")


def unknown_file(node: str, found: str, then: str = "") -> Reason:
    """Return the reason for not overwriting what is not known to be a corrupt copy.

    `found`: the result of the check of it; `then`: as for `foreign_file`.
    """
    if code_of(found) == Code.COPY_CHANGED:
        return Code.CHANGED_FILE_AT_PATH(node=node)
    if code_of(found) == Code.COPY_SHA256_WRONG:
        return Code.COLLIDING_FILE_AT_PATH(node=node)
    return foreign_file(node, then)


def same_path(acq: str, node: str) -> Reason:
    return Code.SAME_PATH_AS_OTHER_FILE(acq=acq, node=node)


def in_brackets(text: str) -> str:
    return f" ({text})" if text else ""
