"""Find the storage class for a name in `io_class`: a built-in one, or one of a package.

Packages offer theirs as entry points in the group `alpenhorn.io`, each a `StorageClass` under the name used
in `io_class`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from alpenhorn.errors import StorageError
from alpenhorn.extensions import points
from alpenhorn.extensions.guard import GuardedGroup, GuardedRemote, check_node, guarded, is_built_in
from alpenhorn.io.base import DirectoryNode, Group, Node, Remote, StorageClass, parse_settings
from alpenhorn.io.builtin import BUILT_IN, built_in
from alpenhorn.model.nodes import GroupFact, NodeFact
from alpenhorn.reasons import Code, Reason, Why


def storage_class(name: str | None) -> StorageClass:
    """Return the storage class with that name; None means Default.

    Raises StorageError if there is none, or if its package cannot be loaded.
    """
    name = name or "Default"
    if name in BUILT_IN:
        return built_in(name)
    found = _of_package(name)
    if found is None:
        raise StorageError(Code.STORAGE_CLASS_UNKNOWN(name=repr(name), known=", ".join(BUILT_IN)))
    if found.loaded is None:
        raise StorageError(Code.STORAGE_CLASS_UNUSABLE(name=name, origin=found.origin, why=found.error))
    loaded: StorageClass = found.loaded
    return loaded


@cache  # failures too, or loading would be tried again for each node
def _of_package(name: str) -> points.Plugin | None:
    return points.named(points.IO, name, _fault)


def storage_classes() -> list[points.Plugin]:
    """Return the storage classes of packages, loaded."""
    return [
        found._replace(loaded=None, error=Code.PLUGIN_NAME_BUILT_IN()) if found.name in BUILT_IN else found
        for found in points.plugins(points.IO, _fault)
    ]


def node_io(node: NodeFact) -> Node:
    """Return the node's object.  Raises StorageError for an unknown class or invalid settings."""
    _refuse(node.fault)
    cls = storage_class(node.io_class).node
    if cls is None:
        raise StorageError(Code.STORAGE_CLASS_FOR_GROUPS(name=node.io_class, node=node.name))
    owner = f"node {node.name}"
    with guarded(node.io_class, owner, Code.STORAGE_CLASS_REFUSES):
        made = cls(node, parse_settings(owner, node.io_config))
        if not is_built_in(cls):
            check_node(made)
        return made


def directory_io(node: NodeFact, what: str) -> DirectoryNode:
    """Return the object of a node whose copies are files in a directory.  Raises StorageError for any other.

    `what`: the work that needs one, for the message.
    """
    made = node_io(node)
    if not isinstance(made, DirectoryNode):
        raise StorageError(Code.NODE_WITHOUT_DIRECTORY(node=node.name, what=what))
    return made


def group_io(group: GroupFact, nodes: Sequence[NodeFact]) -> Group:
    """Return the group's object; `nodes`: its active nodes on this host.  Raises StorageError."""
    cls, settings = _group_class(group)
    with guarded(group.io_class, f"group {group.name}", Code.STORAGE_CLASS_REFUSES):
        made = cls(group, nodes, settings)
        return made if is_built_in(cls) else GuardedGroup(made)


def check_group(group: GroupFact) -> None:
    """Raise StorageError for an unknown class or settings that are invalid for any nodes."""
    cls, settings = _group_class(group)
    with guarded(group.io_class, f"group {group.name}", Code.STORAGE_CLASS_REFUSES):
        cls.check_settings(group, settings)


def remote_io(node: NodeFact) -> Remote:
    """Return the node's remote.  Raises StorageError for an unknown class or invalid settings."""
    _refuse(node.fault)
    cls = storage_class(node.io_class).remote or built_in("Default").remote
    assert cls is not None
    owner = f"node {node.name}"
    with guarded(node.io_class, owner, Code.STORAGE_CLASS_REFUSES):
        made = cls(node, parse_settings(owner, node.io_config))
        return made if is_built_in(cls) else GuardedRemote(made)


def has_objects(node: NodeFact) -> bool:
    """Return whether the copies of a node are objects; False for an unknown class or invalid settings."""
    try:
        return remote_io(node).objects
    except StorageError:
        return False


def _refuse(fault: Why) -> None:
    if fault:
        raise StorageError(fault)


def _group_class(group: GroupFact) -> tuple[type[Group], Mapping[str, Any]]:
    _refuse(group.fault)
    cls = storage_class(group.io_class).group
    if cls is None:
        raise StorageError(Code.STORAGE_CLASS_FOR_NODES(name=group.io_class, group=group.name))
    return cls, parse_settings(f"group {group.name}", group.io_config)


def _fault(found: Any) -> Why:
    """Return why an object is not a storage class; "" if it is one."""
    if not isinstance(found, StorageClass):
        return _invalid(f"it is {type(found).__name__}, not an alpenhorn.io.base.StorageClass")
    if found == (None, None, None):
        return _invalid("its StorageClass has no node, group or remote")
    for part, kind in (("node", Node), ("group", Group), ("remote", Remote)):
        cls = getattr(found, part)
        if cls is None:
            continue
        if not (isinstance(cls, type) and issubclass(cls, kind)):
            return _invalid(f"its {part} is not a subclass of alpenhorn.io.base.{kind.__name__}")
        if part == "node" and not hasattr(cls, "storage"):
            return _invalid(
                f"its node {cls.__name__} is neither a DirectoryNode nor an ObjectNode;"
                " if its files are in a directory, derive it from alpenhorn.io.base.DirectoryNode"
            )
        if lacking := sorted(getattr(cls, "__abstractmethods__", ())):
            return _invalid(f"its {part} {cls.__name__} does not define {', '.join(lacking)}")
    return ""


def _invalid(detail: str) -> Reason:
    return Code.PLUGIN_NOT_A_STORAGE_CLASS(detail=detail)
