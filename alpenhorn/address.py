"""The URLs of an index and of notifications: parse them, and make them printable.

In a valid URL the place of the password is known, so that the rest can be shown.  Nothing is shown of an
invalid one, since any part may be a password, and no error raised here contains a part of it.
"""

# No `from __future__ import annotations`, as in `config`, which imports this module at every start.

import re
from typing import NamedTuple

NOT_SHOWN = "(not shown: it may hold a password)"
PING_EXPECTED = "https://HOST/PATH"
EXPECTED = "sqlite:////absolute/path or mysql://user@host/name"

# Each part is percent-encoded, except the password, where only characters that would end it must be.
_PART = r"(?:[A-Za-z0-9._~!$&'()*+,;=-]|[^\x00-\x7f]|%[0-9A-Fa-f]{2})"
_SERVER = (
    r"(?P<scheme>mysql|mariadb)://"
    rf"(?:(?P<user>{_PART}*)(?::(?P<password>[^/?#]*))?@)?"
    rf"(?P<host>\[[0-9A-Fa-f:.]+\]|{_PART}*)(?::(?P<port>[0-9]{{0,5}}))?"
    rf"/(?P<name>{_PART}+)"
    r"(?:\?unix_socket=(?P<socket>[^?&#=@:]+))?"
)
# The form of a URL with a password, even if mistyped or in place of another value.
_SECRET = r"[A-Za-z]:/|:.*@|passw\w*\s*="


class Server(NamedTuple):
    """The parts of a mysql:// URL, decoded; "" for a missing one.

    `port`: None for the default, which means the socket for the host localhost.
    """

    scheme: str
    user: str
    password: str
    host: str
    port: int | None
    name: str
    socket: str

    def shown(self, credentials: bool = False) -> str:
        """Return the URL without its password, and without its user if that could be a mistyped password."""
        from urllib.parse import quote  # most runs use SQLite

        user = f"{quote(self.user)}@" if self.user and self.user_is_sure(credentials) else ""
        host = f"[{self.host}]" if ":" in self.host else quote(self.host)
        port = f":{self.port}" if self.port is not None else ""
        socket = f"?unix_socket={quote(self.socket)}" if self.socket else ""
        return f"{self.scheme}://{user}{host}{port}/{quote(self.name)}{socket}"

    def user_is_sure(self, credentials: bool) -> bool:
        """Return whether the user is certainly a user, and not user and password as in mysql://userPASSWORD@host/name.

        `credentials`: the password, or a replacement for it, is configured outside of the URL.
        """
        return bool(self.password or self.socket or credentials)


def sqlite_path(url: str) -> str | None:
    """Return the path in an sqlite: URL; None for any other URL.

    Raises ValueError with the fault if it has no path or looks like the URL of a server.
    """
    if not url.startswith("sqlite:"):
        return None
    path = url.removeprefix("sqlite://")
    if not path.startswith("/") or path == "/" or path == url:
        raise ValueError("names no file: use sqlite:////absolute/path, with four slashes")
    if re.search(r":.*@|\?.*=", path, re.DOTALL):
        raise ValueError("begins with sqlite: but has a user or options, like the URL of a server")
    return path[1:]


def server(url: str) -> Server:
    """Parse a mysql: or mariadb: URL.  Raises ValueError with the fault, but with no part of the URL."""
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
        raise ValueError("has an invalid port: use a number from 1 to 65535")
    host = found["host"].strip("[]")
    if any("/" in part or not part.isprintable() for part in (host, found["user"], found["name"])):
        raise ValueError("has an invalid user, host or database name")
    if found["socket"] and (port is not None or host not in ("", "localhost")):
        raise ValueError("names both a socket and a host or port: remove one of them")
    return Server(
        found["scheme"], found["user"], found["password"], host, port, found["name"], found["socket"]
    )


def _fault(rest: str) -> str:
    """Return the fault of an invalid URL, without any part of it."""
    if not rest.startswith("//"):
        return "has no // after its scheme"
    place, slash, name = rest[2:].partition("/")
    if not slash or not name or name.startswith("?"):
        return "names no database"
    if "?" in name and "?" not in place and "#" not in rest:
        return "has an unknown option: only unix_socket is supported"
    return "is not valid: percent-encode special characters, and use a number as the port"


def printable(url: str, credentials: bool = False) -> str:
    """Return the URL of an index without its password; NOT_SHOWN if it is invalid.

    `credentials`: the password, or a replacement for it, is configured outside of the URL.
    """
    try:
        return url if sqlite_path(url) is not None else server(url).shown(credentials)
    except ValueError:
        return NOT_SHOWN


def ping(url: str) -> tuple[str, str]:
    """Return scheme and place (host and port) of the URL of a dead man's switch, whose path is a secret.

    Raises ValueError with the fault, but with no part of the URL.
    """
    match = re.fullmatch(
        r"(https?)://((?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?)(?:[/?][!-~]*)?", url
    )
    if match is None or "#" in url:
        fault = "has a user or password" if "@" in url else "is not valid"
        raise ValueError(fault if re.match("https?://", url) else "begins with neither https:// nor http://")
    if match[3] and not 0 < int(match[3]) < 65536:
        raise ValueError("has an invalid port: use a number from 1 to 65535")
    return match[1], match[2]


def printable_ping(url: str) -> str:
    """Return the URL of a dead man's switch without its path, which is a secret."""
    scheme, place = ping(url)
    return f"{scheme}://{place}/…"


def apprise_service(url: str) -> str:
    """Return the service that an Apprise URL names, such as "mailto".  Any other part may be a secret, also the host.

    Raises ValueError with the fault, but with no part of the URL.
    """
    match = re.fullmatch(r"([A-Za-z][A-Za-z0-9+.-]{0,30})://.+", url, re.DOTALL)
    if match is None:
        raise ValueError("does not begin with a service, as in mailto://")
    return match[1].lower()


def may_be_secret(text: str) -> bool:
    """Return whether a text that is not meant as a URL, such as a file's name, may be one with a password."""
    # Compiled here, since only faulty values are searched.
    return re.search(_SECRET, text, re.DOTALL | re.IGNORECASE) is not None
