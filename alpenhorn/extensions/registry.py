"""From the name in an `io_class` column to the storage class, built in or brought by a package.

Packages offer theirs as entry points in the group `alpenhorn.io`, each a `StorageClass` under the name
that `io_class` holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from alpenhorn.errors import StorageError
from alpenhorn.io.base import Group, Node, Remote, StorageClass, parse_settings
from alpenhorn.io.default import DEFAULT
from alpenhorn.io.lustre_quota import LUSTRE_QUOTA
from alpenhorn.io.transport import TRANSPORT
from alpenhorn.model import GroupFact, NodeFact

BUILT_IN = {"Default": DEFAULT, "LustreQuota": LUSTRE_QUOTA, "Transport": TRANSPORT}


@cache
def storage_class(name: str | None) -> StorageClass:
    """Return the class of that name; None means Default.

    Raises StorageError when there is none, or when the package that offers it cannot be loaded.
    """
    name = name or "Default"
    if name in BUILT_IN:
        return BUILT_IN[name]
    from importlib.metadata import entry_points  # slow, and most archives never need it

    for point in entry_points(group="alpenhorn.io", name=name):
        try:
            found = point.load()
        except (
            Exception,
            SystemExit,
        ) as error:  # whatever a stranger's package raises must not stop the other nodes
            raise StorageError(
                f"the storage class {name} cannot be loaded from {point.value}: {error!r}"
            ) from error
        if isinstance(found, StorageClass):
            return found
        raise StorageError(
            f"the storage class {name} in {point.value} is not an alpenhorn.io.base.StorageClass"
        )
    raise StorageError(
        f"there is no storage class {name!r}: this version knows {', '.join(sorted(BUILT_IN))}; install the package"
        " that brings it"
    )


def node_io(node: NodeFact) -> Node:
    """Raises StorageError for an unknown class or wrong settings."""
    cls = storage_class(node.io_class).node
    if cls is None:
        raise StorageError(f"the storage class {node.io_class} of node {node.name} is one for groups only")
    settings = parse_settings(f"node {node.name}", node.io_config)
    try:
        return cls(node, settings)
    except StorageError:
        raise
    except Exception as error:  # a stranger's class must not stop the other nodes
        raise StorageError(
            f"the storage class {node.io_class} refuses node {node.name}: {error!r}"
        ) from error


def group_io(group: GroupFact, nodes: Sequence[NodeFact]) -> Group:
    """`nodes`: the group's active nodes on this host.  Raises StorageError."""
    cls = storage_class(group.io_class).group
    if cls is None:
        raise StorageError(f"the storage class {group.io_class} of group {group.name} is one for nodes only")
    return cls(group, nodes, parse_settings(f"group {group.name}", group.io_config))


def remote_io(node: NodeFact) -> Remote:
    """Raises StorageError for an unknown class or wrong settings."""
    cls = storage_class(node.io_class).remote or DEFAULT.remote
    assert cls is not None
    return cls(node, parse_settings(f"node {node.name}", node.io_config))
