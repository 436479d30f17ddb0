"""Routes: from which nodes files can be pulled into which groups now, and by which method."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from alpenhorn.errors import StorageError
from alpenhorn.io.base import Group, Refusal, Remote
from alpenhorn.model.nodes import NodeFact
from alpenhorn.model.pulls import Method
from alpenhorn.plan.sources import Route, Troubles
from alpenhorn.reasons import Code
from alpenhorn.transfer.methods import TAR_LARGEST

# Bytes; starting several sessions takes longer than it saves for a shorter file.
LEAST_STREAMED = 256 * 2**20


class Routes:
    """The routes of one run on one host, each made when it is first needed.

    The parameters are those of `alpenhorn.plan.pulls.PullPlanner`.
    """

    def __init__(
        self,
        host: str,
        nodes: Mapping[int, NodeFact],
        groups: Mapping[int, Group],
        remote: Callable[[NodeFact], Remote],
        local_method: Mapping[int, Method],
        bbcp: bool,
        tar: bool,
        troubles: Troubles,
        streams: int = 1,
    ) -> None:
        self.host = host
        self.nodes = nodes
        self.groups = groups
        self.remote = remote
        self.local_method = local_method
        self.bbcp = bbcp
        self.tar = tar
        self.troubles = troubles
        self.streams = streams
        self._made: dict[tuple[int, int], Route | Refusal] = {}

    def clear(self) -> None:
        """Make all routes again, because something that they depend on has changed."""
        self._made.clear()

    def known(self, node_from_id: int, group_to_id: int) -> Route | Refusal | None:
        """Return a route if it was made before."""
        return self._made.get((node_from_id, group_to_id))

    def of(self, node_from_id: int, group_to_id: int) -> Route | Refusal:
        key = (node_from_id, group_to_id)
        route = self._made.get(key)
        if route is None:
            route = self._made[key] = self._make(node_from_id, group_to_id)
        return route

    def method(self, route: Route, node_id: int, size_b: int) -> Method:
        """Return the method for a file of that length, on its way to a node."""
        method = route.method[node_id]
        if method is Method.RSYNC_SSH and self.tar and size_b <= TAR_LARGEST:
            return Method.TAR
        if method is Method.RSYNC_SSH and self.streams > 1 and size_b >= LEAST_STREAMED:
            return Method.STREAMS
        return method

    def staged(self, route: Route, node_id: int) -> bool:
        """Return whether files become objects on a node that are no files of this host before."""
        to_objects = self.local_method[node_id] is Method.OBJECTS
        return to_objects and (route.through is not None or route.remote.objects)

    def _make(self, node_from_id: int, group_to_id: int) -> Route | Refusal:
        """Return the route from a node into a group, or why nothing can be pulled on it."""
        source = self.nodes.get(node_from_id)
        if source is None:
            return Refusal(Code.SOURCE_NOT_IN_INDEX())
        if not source.active:
            return Refusal(Code.SOURCE_INACTIVE(node=source.name))
        if source.id in self.troubles.absent:
            why = self.troubles.absent[source.id]
            return Refusal(Code.SOURCE_ABSENT(node=source.name, why=why))
        group = self.groups.get(group_to_id)
        if group is None:
            return Refusal(Code.GROUP_WITHOUT_NODE())
        misfit = group.refuses(source)
        if misfit is not None:
            return misfit
        try:
            remote = self.remote(source)
        except StorageError as error:
            return Refusal(Code.SOURCE_UNUSABLE(node=source.name, why=error))
        here = source.host == self.host
        through = None if here or remote.objects else source.host
        if not here:
            missing = remote.unreachable()
            if missing:
                return Refusal(Code.SOURCE_UNREACHABLE(node=source.name, why=missing))
            if through in self.troubles.silent:
                return self.troubles.silent[through]
            if source.id in self.troubles.unmounted:
                return Refusal(self.troubles.unmounted[source.id], waits=True)
        methods = {node.id: self._method(source, remote, node, through) for node in group.nodes}
        return Route(source, remote, group, methods, through)

    def _method(self, source: NodeFact, remote: Remote, node: NodeFact, through: str | None) -> Method:
        if through is not None:
            return Method.BBCP if self.bbcp else Method.RSYNC_SSH
        wanted = Method.OBJECTS if remote.objects else self.local_method[node.id]
        # Hard links are one copy: an archived file could be damaged through the other name, and would count twice.
        if wanted is Method.COPY and not source.archive and not node.archive:
            return Method.LINK
        return wanted
