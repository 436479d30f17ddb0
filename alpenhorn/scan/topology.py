"""Nodes, groups and hosts as facts: small tables, read whole at the start of each round."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from alpenhorn.errors import NotFound
from alpenhorn.index.connection import Index
from alpenhorn.model.nodes import GroupFact, NodeFact
from alpenhorn.outside import UNREADABLE
from alpenhorn.scan.values import fault

NODES = """
    SELECT n.id, n.name, n.root, n.group_id, h.name, h.username, h.address, n.active, n.archive,
           n.io_class, n.io_config, n.max_total_gb, n.min_avail_gb, n.avail_gb, n.auto_import, n.auto_verify,
           m.medium, COALESCE(m.separate, 0), s.manifest, s.host, s.root
    FROM storagenode n LEFT JOIN storagehost h ON h.id = n.host_id LEFT JOIN sync_node s ON s.node_id = n.id
    LEFT JOIN sync_medium m ON m.node_id = n.id
"""


class Topology(NamedTuple):
    """Every node and group by id."""

    nodes: dict[int, NodeFact]
    groups: dict[int, GroupFact]

    def here(self, host: str) -> list[NodeFact]:
        """The active nodes of a host, by name."""
        return sorted(
            (node for node in self.nodes.values() if node.active and node.host == host),
            key=lambda node: node.name,
        )

    def called_as_in(self, before: Topology) -> Topology:
        """With the names that nodes had then: a node's root is marked with its name, and when it is renamed the
        next run marks it anew."""
        nodes = {
            node_id: node._replace(name=before.nodes[node_id].name) if node_id in before.nodes else node
            for node_id, node in self.nodes.items()
        }
        return self._replace(nodes=nodes)

    def named(self, names: Sequence[str]) -> list[NodeFact]:
        """Each once.  Raises NotFound for the first name that no node has."""
        by_name = {node.name: node for node in self.nodes.values()}
        for name in names:
            if name not in by_name:
                from alpenhorn.scan.names import nearest  # only a wrong name needs it

                raise NotFound(f"no node called {name!r}; {nearest(name, by_name)}see: alpenhorn node list")
        return [by_name[name] for name in dict.fromkeys(names)]


def load(index: Index) -> Topology:
    nodes = {row[0]: _node(row) for row in index.execute(NODES)}
    groups = {
        row[0]: GroupFact(row[0], _called(row[0], row[1]), row[2], row[3], fault(row))
        for row in index.execute("SELECT id, name, io_class, io_config FROM storagegroup")
    }
    return Topology(nodes, groups)


def _node(row: Sequence[Any]) -> NodeFact:
    node = NodeFact._make((*row[:-5], _vouched(row), row[-5], bool(row[-4]), fault(row)))
    if node.fault:
        # Nothing is done with it, but all nodes are sorted, added up and named.
        node = node._replace(
            name=_called(node.id, node.name),
            group_id=node.group_id or 0,
            min_avail_gb=node.min_avail_gb or 0.0,
            auto_verify=node.auto_verify or 0,
        )
    return node


def _called(id: int, name: str) -> str:
    return f"({id})" if name == UNREADABLE else name


def _vouched(row: Sequence[Any]) -> str | None:
    """The token of the node's manifest, if it is where it was then."""
    manifest: str | None = row[-3]
    return manifest if (row[4], row[2]) == tuple(row[-2:]) else None


def stored_bytes(index: Index, node_id: int) -> int:
    """The length of all files that the index has, or may have, on a node."""
    row = index.execute(
        "SELECT SUM(f.size_b) FROM archivefilecopy c JOIN archivefile f ON f.id = c.file_id"
        " WHERE c.node_id = ? AND c.has_file IN ('Y', 'M', 'X')",
        (node_id,),
    ).fetchone()
    return int(row[0] or 0)
