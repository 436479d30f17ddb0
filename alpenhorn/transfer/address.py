"""Addresses of files on other hosts for rsync, ssh and bbcp.

User and host names come from the index and appear where a program could read an option or a second host.  So
only characters without another meaning are allowed; the same rules apply when a host is edited.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterable
from typing import NamedTuple

from alpenhorn.errors import StorageError
from alpenhorn.model.nodes import NodeFact
from alpenhorn.reasons import Code

# Logins of directory services have a realm after an @, or a domain before a backslash.  ssh rejects a
# trailing backslash.
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]*(?:\\[A-Za-z0-9_][A-Za-z0-9_.@+-]*)?")
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_IPV6 = re.compile(r"(?=.*:.*:)[0-9A-Fa-f:.]+(?:%[A-Za-z0-9_.-]+)?")
_PORT = re.compile(r"(?:([A-Za-z0-9_.-]+)|\[([^\]]+)\]):([0-9]+)")


class Login(NamedTuple):
    """A user, and an address as for ssh."""

    user: str
    address: str

    @property
    def host(self) -> str:
        """The address as before a path: an IPv6 address in brackets."""
        return f"[{self.address}]" if ":" in self.address else self.address

    def __str__(self) -> str:
        return f"{self.user}@{self.host}"


def login(node: NodeFact) -> Login:
    """Return the login for a node's host; raises StorageError if its address or username is missing or invalid."""
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
    """Return why the username is invalid, "" if it is valid."""
    if _USER.fullmatch(user):
        return ""
    return (
        f"the username {user!r} has invalid characters; use letters, digits and . _ - + @,"
        " with at most one backslash, between domain and user"
    )


def wrong_address(address: str) -> str:
    """Return why the address is invalid and what to use instead; "" if it is valid."""
    if _HOST.fullmatch(address) or _is_ipv6(address):
        return ""
    if match := _PORT.fullmatch(address):
        host, port = match[1] or match[2], match[3]
        return (
            f"the address {address!r} contains a port; use the address {host}, and set the port in ssh's configuration"
            f' (Host {host}, Port {port}) or in [transfer] ssh = ["ssh", "-p", "{port}"]'
        )
    if address[:1] == "[" and address[-1:] == "]" and _is_ipv6(address[1:-1]):
        return f"the address {address!r} is in brackets; use {address[1:-1]}"
    user, at, host = address.rpartition("@")
    if at and not wrong_address(host) and not wrong_user(user):
        return f"the address {address!r} contains a user name; use the address {host} and the username {user}"
    return f"the address {address!r} is not a host name or an IP address; use letters, digits and . _ -"


def _is_ipv6(address: str) -> bool:
    if not _IPV6.fullmatch(address):
        return False
    try:
        socket.inet_pton(socket.AF_INET6, address.partition("%")[0])
    except OSError:
        return False
    return True


def root_of(node: NodeFact) -> str:
    """Return a node's root, which must be an absolute path, since others could be read as a host or an option."""
    if not node.root or not node.root.startswith("/") or "\0" in node.root:
        raise StorageError(Code.NODE_ROOT_NOT_ABSOLUTE(root=node.root, node=node.name))
    return node.root


def name_list(paths: Iterable[str]) -> bytes:
    """Return relative paths for the standard input of rsync or tar, each ended by a NUL.

    "./" prevents that a name is read as an option, or as a comment if it begins with "#" or ";".
    """
    return b"".join(b"./" + os.fsencode(path) + b"\0" for path in paths)


def remote_path(node: NodeFact, path: str = "") -> str:
    """Return `address:/root/path`; without a path, the root with a trailing slash."""
    return f"{login(node).host}:{root_of(node).rstrip('/')}/{path}"
