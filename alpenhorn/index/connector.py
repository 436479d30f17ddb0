"""Connections to the index that a package makes: what its entry point in the group `alpenhorn.database` names.

The package keeps the parameters of the connection, its password and a tunnel to it, if there is one.  alpenhorn opens
no connection of its own beside it, so that models of the package take part in alpenhorn's transactions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from alpenhorn.address import NOT_SHOWN, may_be_secret
from alpenhorn.errors import IndexUnusable
from alpenhorn.index.engines import IndexInterrupted
from alpenhorn.outside import exception, text

# A password beside its name, as in the text of a dictionary; the servers themselves say "using password: YES".
_SECRET = re.compile(r"(?:passw\w*|pwd|secret|token)[\"']?\s*[:=](?!\s*(?:YES|NO)\b)", re.IGNORECASE)
_OF_A_SIGNAL = 128  # exit statuses above this are those of a signal's handler


class Connector(NamedTuple):
    """How a package connects to the index.

    `connect`: returns the package's peewee database, connected or not: a SqliteDatabase, or a MySQLDatabase of
    mysqlclient or PyMySQL.  It is called at the start, and again each time that the connection was lost or closed, so
    it also restores what the connection needs, such as a tunnel.  It returns within seconds, or raises an exception.
    `close`: ends what `connect` has begun besides the connection; called once, when alpenhorn has closed that.
    """

    connect: Callable[[], Any]
    close: Callable[[], None] | None = None


def fault(found: Any) -> str:
    """Return why an object is not a valid connector; "" if it is valid."""
    if not isinstance(found, Connector):
        return f"{type(found).__name__} is not an alpenhorn.index.connector.Connector"
    if not callable(found.connect):
        return "its connect cannot be called"
    if found.close is not None and not callable(found.close):
        return "its close cannot be called"
    return ""


class Lender(NamedTuple):
    """An installed connector.  `name`: of its entry point; `package`: that provides it."""

    connector: Connector
    name: str
    package: str

    @property
    def shown(self) -> str:
        """What messages have after "index", in place of a URL."""
        return f"of the extension {self.name}"

    @property
    def remedy(self) -> str:
        return f"check how {self.package} is configured"

    def database(self) -> Any:
        """Ask the package for its database.  Raises IndexInterrupted if it cannot connect."""
        with self.called("cannot connect"):
            return self.connector.connect()

    def close(self) -> None:
        """End what the package has begun.  Raises IndexInterrupted if that fails."""
        if self.connector.close is not None:
            with self.called("cannot close its connection"):
                self.connector.close()

    @contextmanager
    def called(self, failure: str, password: str = "") -> Iterator[None]:
        """Turn what the package's code raises into IndexInterrupted, without text that may contain a password.

        `password`: the known one, which is not shown either.
        """
        try:
            yield
        except (KeyboardInterrupt, IndexUnusable):
            raise
        except BaseException as error:
            if isinstance(error, SystemExit) and isinstance(error.code, int) and error.code > _OF_A_SIGNAL:
                raise
            why = printable(error, password)
            # A traceback would show the package's text.
            raise IndexInterrupted(
                f"index {self.shown}: the package {failure}: {why}; {self.remedy}"
            ) from None

    def unusable(self, why: str) -> IndexUnusable:
        """Return the error for a database that alpenhorn cannot use."""
        return IndexUnusable(f"index {self.shown}: {why}")


def printable(error: BaseException, password: str = "") -> str:
    """Return type and text of an exception of a package; without its text if that may contain a password."""
    kind, _, said = exception(error).partition(": ")
    return f"{kind}: {harmless(said, password)}" if said else kind


def harmless(said: str, password: str = "") -> str:
    """Return a message of a package, a driver or a server; NOT_SHOWN if it may contain a password.

    `password`: the known one.
    """
    # A server names users in this form, which is not that of a URL.
    rest = re.sub(r"'[^'@]*'@'[^'@]*'", "", said)
    secret = (password and password in said) or _SECRET.search(said) or may_be_secret(rest)
    return NOT_SHOWN if secret else text(said)
