"""How a file on another host is named to rsync, ssh and bbcp.

User and host names come from the index and stand where a program may read an option or a second host, so
only characters that cannot mean anything else are let through.
"""

from __future__ import annotations

import re

from alpenhorn.errors import StorageError
from alpenhorn.model import NodeFact

_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_IPV6 = re.compile(r"(?=.*:.*:)[0-9A-Fa-f:.]+(?:%[A-Za-z0-9_.-]+)?")


def host_spec(node: NodeFact) -> str:
    """`user@address` of a node's host, an IPv6 address in brackets; raises StorageError when it has none."""
    for what, value in (("username", node.username), ("address", node.address)):
        if not value:
            raise StorageError(
                f"host {node.host} of node {node.name} has no {what}; set it with:"
                f" alpenhorn host modify {node.host} --{what} …"
            )
    user, address = node.username or "", node.address or ""
    if not _USER.fullmatch(user):
        raise _refused(node, "username", user)
    if _IPV6.fullmatch(address):
        return f"{user}@[{address}]"
    if not _HOST.fullmatch(address):
        raise _refused(node, "address", address)
    return f"{user}@{address}"


def _refused(node: NodeFact, what: str, value: str) -> StorageError:
    return StorageError(
        f"the {what} {value!r} of host {node.host} holds characters not allowed there; correct it with:"
        f" alpenhorn host modify {node.host} --{what} …"
    )


def root_of(node: NodeFact) -> str:
    """A node's root, which must be an absolute path: only that cannot be taken for a host or an option."""
    if not node.root or not node.root.startswith("/") or "\0" in node.root:
        raise StorageError(
            f"the root {node.root!r} of node {node.name} is not an absolute path; correct it with:"
            f" alpenhorn node modify {node.name} --root DIR"
        )
    return node.root


def remote_path(node: NodeFact, path: str = "") -> str:
    """`user@address:/root/path`; without a path the root itself, with a slash at its end."""
    return f"{host_spec(node)}:{root_of(node).rstrip('/')}/{path}"
