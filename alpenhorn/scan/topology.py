"""Nodes, groups and hosts as facts.  The tables are small and read completely at the start of each round."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from alpenhorn.errors import NotFound
from alpenhorn.index.bulk import in_chunks
from alpenhorn.index.connection import Index
from alpenhorn.model.nodes import GroupFact, NodeFact
from alpenhorn.outside import UNREADABLE
from alpenhorn.suggestions import advice

# A manifest is vouched for only at the place where it was recorded; a name that differs in case is another place.  That
# of objects is in the settings, which SQL cannot read, and is compared later.
NODES = """
    SELECT n.id, n.name, n.root, n.group_id, h.name AS host__name, h.username, h.address, n.active, n.archive,
           n.io_class, n.io_config, n.max_total_gb, n.min_avail_gb, n.avail_gb, n.auto_import, n.auto_verify,
           m.medium, COALESCE(m.separate, 0) AS separate, s.top_acq, {site} AS site,
           r.id IS NOT NULL AS retired, COALESCE(r.releases, 0) AS releases,
           CASE WHEN {recorded_host} = {host} AND ({recorded_root} = {root} OR INSTR(n.io_config, '"remote"') > 0)
                THEN s.manifest END AS manifest
    FROM storagenode n LEFT JOIN storagehost h ON h.id = n.host_id LEFT JOIN sync_node s ON s.node_id = n.id
    LEFT JOIN sync_medium m ON m.node_id = n.id LEFT JOIN sync_host t ON t.host_id = n.host_id
    LEFT JOIN sync_retirement r ON r.node_id = n.id AND r.cancelled <> 1
"""
# The site of a node `s` (sync_node): its own, or that of its host `h` and `t` (sync_host).
SITE = "COALESCE(s.site, t.site, h.name)"


class _RecordedPlace(NamedTuple):
    node_id: int
    root: str | None


class Topology(NamedTuple):
    """All nodes and groups, by id."""

    nodes: dict[int, NodeFact]
    groups: dict[int, GroupFact]

    def here(self, host: str) -> list[NodeFact]:
        """Return the active nodes of a host, sorted by name."""
        return sorted(
            (node for node in self.nodes.values() if node.active and node.host == host),
            key=lambda node: node.name,
        )

    def hosts_of(self, group_id: int) -> list[str]:
        """Return the hosts with active nodes of a group that are not retired, sorted; empty if no run carries out
        requests into it."""
        return sorted(
            {
                node.host
                for node in self.nodes.values()
                if node.group_id == group_id and node.active and node.host and not node.retired
            }
        )

    def retired_in(self, group_id: int) -> list[str]:
        """Return the names of the retired nodes of a group, sorted."""
        return sorted(node.name for node in self.nodes.values() if node.group_id == group_id and node.retired)

    def called_as_in(self, before: Topology) -> Topology:
        """Return this topology with the names of nodes in `before`, so that a node renamed during a run keeps its name
        until the next run, which updates its marker."""
        names = {node_id: node.name for node_id, node in before.nodes.items()}
        renamed = {
            node_id: node._replace(name=names[node_id])
            for node_id, node in self.nodes.items()
            if names.get(node_id, node.name) != node.name
        }
        return self._replace(nodes=self.nodes | renamed)

    def named(self, names: Sequence[str]) -> list[NodeFact]:
        """Return the nodes with the names, each once.  Raises NotFound for the first unknown name."""
        by_name = {node.name: node for node in self.nodes.values()}
        for name in names:
            if name not in by_name:
                raise NotFound(
                    f"no node called {name!r}; {advice(name, by_name, 'see: alpenhorn node list')}"
                )
        return [by_name[name] for name in dict.fromkeys(names)]


def load(index: Index) -> Topology:
    in_bytes = index.dialect.in_bytes
    sql = NODES.format(
        recorded_host=in_bytes("s.host"),
        host=in_bytes("h.name"),
        recorded_root=in_bytes("s.root"),
        root=in_bytes("n.root"),
        site=SITE,
    )
    nodes = {
        node.id: _sortable(node)
        for node in index.facts(NodeFact, sql, separate=bool, retired=bool, releases=bool)
    }
    for row in _recorded_places(index, nodes.values()):
        if row.root != nodes[row.node_id].recorded_place:
            nodes[row.node_id] = nodes[row.node_id]._replace(manifest=None)
    groups = {
        group.id: group._replace(name=_called(group.id, group.name))
        for group in index.facts(GroupFact, "SELECT id, name, io_class, io_config FROM storagegroup")
    }
    return Topology(nodes, groups)


def _recorded_places(index: Index, nodes: Iterable[NodeFact]) -> list[_RecordedPlace]:
    """Return where the manifests of nodes were whose place is in their settings."""
    ids = [node.id for node in nodes if node.manifest is not None and '"remote"' in (node.io_config or "")]
    sql = "SELECT node_id, root FROM sync_node WHERE node_id IN ({marks})"
    return [
        row
        for marks, some in in_chunks(ids)
        for row in index.facts(_RecordedPlace, sql.format(marks=marks), some)
    ]


def _sortable(node: NodeFact) -> NodeFact:
    """Return the node; with wrong values it is not used, but still sorted, counted and shown."""
    if not node.fault:
        return node
    return node._replace(
        name=_called(node.id, node.name),
        group_id=node.group_id or 0,
        min_avail_gb=node.min_avail_gb or 0.0,
        auto_verify=node.auto_verify or 0,
    )


def _called(id: int, name: str) -> str:
    return f"({id})" if name == UNREADABLE else name
