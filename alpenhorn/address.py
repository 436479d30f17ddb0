"""The URL of an index: what it says, and the one place that makes it printable.

A URL that is accepted is one whose password is known to stand where it belongs, so that the rest can be shown.  Of any
other one nothing is shown, since a password may be anywhere in it, and no error raised here holds a part of it.
"""

# Without `from __future__ import annotations`, as in `config`, which imports it at every start.

import re
from typing import NamedTuple

NOT_SHOWN = "(not shown: it may hold a password)"
EXPECTED = "sqlite:////absolute/path or mysql://user@host/name"

# Each part is percent-encoded, but for the password, in which only what would end it has to be.
_PART = r"(?:[A-Za-z0-9._~!$&'()*+,;=-]|[^\x00-\x7f]|%[0-9A-Fa-f]{2})"
_SERVER = (
    r"(?P<scheme>mysql|mariadb)://"
    rf"(?:(?P<user>{_PART}*)(?::(?P<password>[^/?#]*))?@)?"
    rf"(?P<host>\[[0-9A-Fa-f:.]+\]|{_PART}*)(?::(?P<port>[0-9]{{0,5}}))?"
    rf"/(?P<name>{_PART}+)"
    r"(?:\?unix_socket=(?P<socket>[^?&#=@:]+))?"
)
# What a URL with a password looks like, also one that was mistyped or put where another value belongs.
_SECRET = r"[A-Za-z]:/|:.*@|passw\w*\s*="


class Server(NamedTuple):
    """The parts of a mysql:// URL, decoded; "" for a text that is not there.

    `port` None: the default, which for the host localhost means the socket."""

    scheme: str
    user: str
    password: str
    host: str
    port: int | None
    name: str
    socket: str

    def shown(self, credentials: bool = False) -> str:
        """The URL without its password; without its user as well where that may be a mistyped password."""
        from urllib.parse import quote  # most runs that need it have SQLite

        user = f"{quote(self.user)}@" if self.user and self.user_is_sure(credentials) else ""
        host = f"[{self.host}]" if ":" in self.host else quote(self.host)
        port = f":{self.port}" if self.port is not None else ""
        socket = f"?unix_socket={quote(self.socket)}" if self.socket else ""
        return f"{self.scheme}://{user}{host}{port}/{quote(self.name)}{socket}"

    def user_is_sure(self, credentials: bool) -> bool:
        """Whether what stands in the user's place is a user: not where a password is due and none was found, as in
        mysql://userPASSWORD@host/name.  `credentials`: there are some outside of the URL."""
        return bool(self.password or self.socket or credentials)


def sqlite_path(url: str) -> str | None:
    """The path of an sqlite: URL as it stands; None for any other URL.

    Raises ValueError, with what is wrong, for one that has no path or looks like that of a server."""
    if not url.startswith("sqlite:"):
        return None
    path = url.removeprefix("sqlite://")
    if not path.startswith("/") or path == "/" or path == url:
        raise ValueError("names no file: use sqlite:////absolute/path, with four slashes")
    if re.search(r":.*@|\?.*=", path, re.DOTALL):
        raise ValueError("begins with sqlite: and goes on like that of a server, with a user or options")
    return path[1:]


def server(url: str) -> Server:
    """Take a mysql: or mariadb: URL apart.  Raises ValueError, with what is wrong, but with no part of the URL."""
    scheme, colon, rest = url.partition(":")
    if scheme not in ("mysql", "mariadb") or not colon:
        raise ValueError("begins with neither sqlite:// nor mysql://")
    match = re.fullmatch(_SERVER, url, re.DOTALL)
    if match is None:
        raise ValueError(_fault(rest))
    from urllib.parse import unquote  # as above

    found = {name: unquote(text or "") for name, text in match.groupdict().items()}
    port = int(found["port"]) if found["port"] else None
    if port is not None and not 0 < port < 65536:
        raise ValueError("cannot be read: a port is a number from 1 to 65535")
    host = found["host"].strip("[]")
    if any("/" in part or not part.isprintable() for part in (host, found["user"], found["name"])):
        raise ValueError("cannot be read: a user, a host or a database is no name")
    if found["socket"] and (port is not None or host not in ("", "localhost")):
        raise ValueError("names both a socket and a host or port: leave one of them out")
    return Server(
        found["scheme"], found["user"], found["password"], host, port, found["name"], found["socket"]
    )


def _fault(rest: str) -> str:
    """Of a URL that does not match; in words of our own alone."""
    if not rest.startswith("//"):
        return "has no // after its scheme"
    place, slash, name = rest[2:].partition("/")
    if not slash or not name or name.startswith("?"):
        return "names no database"
    if "?" in name and "?" not in place and "#" not in rest:
        return "has an option that is not known: only unix_socket is"
    return "cannot be read: special characters must be percent-encoded, and a port is a number"


def printable(url: str, credentials: bool = False) -> str:
    """A URL of an index without its password; NOT_SHOWN for one that cannot be read.

    `credentials`: a password, or what takes its place, is known from elsewhere."""
    try:
        return url if sqlite_path(url) is not None else server(url).shown(credentials)
    except ValueError:
        return NOT_SHOWN


def may_be_secret(text: str) -> bool:
    """Whether a text that is no URL by its place, such as a file's name, may be one with a password all the same."""
    # Compiled here, since only what is wrong is looked at.
    return re.search(_SECRET, text, re.DOTALL | re.IGNORECASE) is not None
