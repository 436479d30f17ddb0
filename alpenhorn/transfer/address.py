"""How a file on another host is named to rsync, ssh and bbcp.

User and host names come from the index and stand where a program may read an option or a second host, so
only characters that cannot mean anything else are let through; the same rules hold when a host is edited.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from alpenhorn.errors import StorageError
from alpenhorn.model.nodes import NodeFact
from alpenhorn.reasons import Code

# A directory service's logins have a realm behind an @, or a domain before a backslash.  ssh itself refuses a backslash
# at the end.
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]*(?:\\[A-Za-z0-9_][A-Za-z0-9_.@+-]*)?")
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_IPV6 = re.compile(r"(?=.*:.*:)[0-9A-Fa-f:.]+(?:%[A-Za-z0-9_.-]+)?")
_PORT = re.compile(r"(?:([A-Za-z0-9_.-]+)|\[([^\]]+)\]):([0-9]+)")


class Login(NamedTuple):
    """Whom to log in as, and where; `address` as ssh takes it."""

    user: str
    address: str

    @property
    def host(self) -> str:
        """The address as it stands before a path: an IPv6 address in brackets."""
        return f"[{self.address}]" if ":" in self.address else self.address

    def __str__(self) -> str:
        return f"{self.user}@{self.host}"


def login(node: NodeFact) -> Login:
    """How to log in on a node's host; raises StorageError when it has no address or login, or one that cannot work."""
    if not node.address:
        raise StorageError(Code.HOST_WITHOUT_ADDRESS(host=node.host, node=node.name))
    if not node.username:
        raise StorageError(Code.HOST_WITHOUT_USERNAME(host=node.host, node=node.name))
    user, address = node.username, node.address
    if fault := wrong_user(user):
        raise StorageError(Code.HOST_USERNAME_WRONG(host=node.host, fault=fault))
    if fault := wrong_address(address):
        raise StorageError(Code.HOST_ADDRESS_WRONG(host=node.host, fault=fault))
    return Login(user, address)


def wrong_user(user: str) -> str:
    """Why nobody can log in under that name, "" when it can be used."""
    if _USER.fullmatch(user):
        return ""
    return (
        f"the username {user!r} holds characters that are not allowed; allowed are letters, digits and . _ - + @,"
        " and one backslash between a domain and a user"
    )


def wrong_address(address: str) -> str:
    """Why no host can have that address, and what to use instead; "" when it can be used."""
    if _HOST.fullmatch(address) or _is_ipv6(address):
        return ""
    if match := _PORT.fullmatch(address):
        host, port = match[1] or match[2], match[3]
        return (
            f"the address {address!r} holds a port; use {host} as the address, and set the port in ssh's configuration"
            f' (Host {host}, Port {port}) or in [transfer] ssh = ["ssh", "-p", "{port}"]'
        )
    if address[:1] == "[" and address[-1:] == "]" and _is_ipv6(address[1:-1]):
        return f"the address {address!r} is in brackets; use {address[1:-1]}"
    user, at, host = address.rpartition("@")
    if at and not wrong_address(host) and not wrong_user(user):
        return f"the address {address!r} holds a user name; use the address {host} and the username {user}"
    return (
        f"the address {address!r} is not a host name or an IP address; the characters allowed in it are letters, digits"
        " and . _ -"
    )


def _is_ipv6(address: str) -> bool:
    if not _IPV6.fullmatch(address):
        return False
    import socket  # few addresses are of that kind

    try:
        socket.inet_pton(socket.AF_INET6, address.partition("%")[0])
    except OSError:
        return False
    return True


def root_of(node: NodeFact) -> str:
    """A node's root, which must be an absolute path: only that cannot be taken for a host or an option."""
    if not node.root or not node.root.startswith("/") or "\0" in node.root:
        raise StorageError(Code.NODE_ROOT_NOT_ABSOLUTE(root=node.root, node=node.name))
    return node.root


def remote_path(node: NodeFact, path: str = "") -> str:
    """`address:/root/path`; without a path the root itself, with a slash at its end."""
    return f"{login(node).host}:{root_of(node).rstrip('/')}/{path}"
