"""An index on a MariaDB or MySQL server, through mysqlclient: how it is reached, and what its errors mean."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import peewee as pw

from alpenhorn.address import Server
from alpenhorn.config import Database
from alpenhorn.errors import AlpenhornError, IndexUnusable
from alpenhorn.index import charset
from alpenhorn.index.dialect import MARIADB
from alpenhorn.index.engines import Explained, IndexInterrupted

CONNECT_TIMEOUT = 10
LOCK_WAIT = 20
# Seconds for the first byte of an answer, and then for each further part of it: a server that was stopped keeps its
# connections open, and the kernel answers for it.  Generous, since a statement may go through a large table, and since
# signals are honoured meanwhile.  `MariaDB.answer_within` changes the first one.
ANSWER_WITHIN = 1800.0
READ_TIMEOUT = 300
WRITE_TIMEOUT = 60

# Codes of MariaDB and MySQL, client and server.
_LOST = {1053, 1077, 1079, 1080, 1152, 1158, 1159, 1160, 1161, 1927, 2002, 2003, 2006, 2013, 2055, 4031}
_PASSING = _LOST | {1020, 1040, 1203, 1205, 1213}
_NO_SUCH = 1305  # function, or savepoint: a deadlock rolled back its whole transaction
_MISTAKEN = {1054, 1091, _NO_SUCH}  # OperationalErrors that a wrong statement causes
_TLS_WANTED = {3159}
_TLS_FAILED = {2026}
_PLUGIN = {2059, 2061}


class MariaDB(Explained, pw.MySQLDatabase):
    """A session through mysqlclient, also where PyMySQL, which peewee prefers, is installed.

    READ COMMITTED: a scan of many pages sees what others have settled meanwhile, and the rows that an UPDATE
    looks at without changing them are not left locked.  What must not change is read with FOR UPDATE.

    `answer_within`: seconds after which a statement that is not answered counts as lost; None: never.
    `hurry`: asked while an answer is waited for; true cuts the waiting to a few seconds.
    `stalled`: the last statement that was given up had waited for its answer for longer than one that is merely slow.
    """

    dialect = MARIADB

    def __init__(self, server: Server, shown: str, wanted: Database) -> None:
        self.where = f"the index {shown}"
        self.answer_within: float | None = ANSWER_WITHIN
        self.hurry: Callable[[], bool] = lambda: False
        self.stalled = False
        self._hidden = "" if server.user_is_sure(wanted.credentials) else server.user
        self._tls = wanted.tls
        self._certificate = wanted.ssl_cert is not None
        super().__init__(
            server.name,
            connect_timeout=CONNECT_TIMEOUT,
            read_timeout=READ_TIMEOUT,
            write_timeout=WRITE_TIMEOUT,
            init_command="SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
            **_place(server, self._tls),
            **_password(server, wanted.password_file),
            **_client(wanted),
        )

    def _connect(self) -> Any:
        try:
            import MySQLdb  # an extra, and of no use with SQLite

            from alpenhorn.index.session import MariaDBSession
        except ImportError as error:
            raise IndexUnusable(
                f"{self.where} needs the Python package mysqlclient ({error}): "
                "run `pip install 'alpenhorn[mysql]'`"
            ) from error
        try:
            connection = MariaDBSession(self, database=self.database, autocommit=True, **self.connect_params)
            try:
                # Our own, whatever the server's settings are: a name that is too long must be refused and
                # not cut off, and a lock that another session keeps must not hold this one for a day.
                connection.query(
                    f"SET SESSION sql_mode = 'TRADITIONAL', lock_wait_timeout = {LOCK_WAIT}, "
                    f"innodb_lock_wait_timeout = {LOCK_WAIT}"
                )
                self._notice_dead_peer(connection)
            except BaseException:
                connection.close()
                raise
        except MySQLdb.Error as error:
            explanation = self.explain(error)
            if explanation is None:
                explanation = IndexUnusable(f"{self.where} cannot be opened: {self._text(error)}")
            # A traceback shows what the server said as well.
            raise explanation from (None if self._hidden else error)
        return connection

    def _notice_dead_peer(self, connection: Any) -> None:
        """Let a session whose server lost power end within about two minutes, and not never."""
        if "unix_socket" in self.connect_params:
            return
        import socket

        with socket.socket(fileno=os.dup(connection.fileno())) as peer:
            if peer.family in (socket.AF_INET, socket.AF_INET6):
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
                peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
                peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 6)

    @cached_property
    def _narrow(self) -> tuple[str, ...]:
        return charset.narrow(self)

    def cannot_hold(self, texts: Iterable[str]) -> frozenset[str]:
        """Those of the texts that have a character which the tables lack; no question for ASCII."""
        strange = [text for text in texts if not text.isascii()]
        return charset.cannot_hold(self, self._narrow, strange) if strange else frozenset()

    def execute_sql(self, sql: str, params: Any = None) -> Any:
        """A SELECT that asks for a name which the tables cannot hold finds none, as for any other that is not there."""
        try:
            return super().execute_sql(sql, params)
        except charset.CannotCompare:
            if not params or not sql.lstrip().startswith("SELECT"):
                raise
            unheld = self.cannot_hold(value for value in params if isinstance(value, str))
            if not unheld:
                raise
            return super().execute_sql(sql, tuple(charset.comparable(params, unheld)))

    def _text(self, error: Exception) -> str:
        """What the server or the library says, without what may be a password."""
        text = str(error.args[1] if len(error.args) > 1 else error)
        return text.replace(f"'{self._hidden}'", "'…'") if self._hidden else text

    def explain(self, error: Exception) -> AlpenhornError | None:
        code = error.args[0] if error.args else None
        text = self._text(error)
        kind = type(error).__name__
        if unheld := charset.explained(self.where, code, text):
            return unheld
        if code in (1045, 1698):
            return IndexUnusable(
                f"{self.where}: access denied; check the user name in [database] url and the password in "
                f"[database] password_file{self._perhaps_tls()} ({text})"
            )
        if code in _TLS_WANTED:
            return IndexUnusable(
                f"{self.where}: the server requires TLS; set [database] ssl_ca to the certificate of its authority, or "
                f'ssl_mode = "REQUIRED" for TLS without a look at its certificate ({text})'
            )
        if code in _TLS_FAILED:
            return IndexUnusable(
                f"{self.where}: no TLS connection can be made; {self._tls_remedy()} ({text})"
            )
        if code in _PLUGIN:
            return IndexUnusable(
                f"{self.where}: the login method that the server asks for does not work here; where it needs TLS, set"
                f' ssl_mode = "REQUIRED" in [database] ({text})'
            )
        if code in (1044, 1142, 1143, 1227, 1370):
            return IndexUnusable(f"{self.where}: this user lacks a right there; GRANT it ({text})")
        if code == 1049:
            return IndexUnusable(
                f"{self.where}: there is no such database; its administrator creates it with "
                f"CREATE DATABASE {self.database} CHARACTER SET utf8mb4"
            )
        if code in (2002, 2003, 2005):
            wrong = (
                f"{self.where} cannot be reached: is the server running, and is the address right? ({text})"
            )
            return IndexUnusable(wrong) if code == 2005 else IndexInterrupted(wrong)
        if code in _LOST or (kind == "InterfaceError" and code in (0, None)):
            return IndexInterrupted(
                f"{self.where} was lost: the connection to the server broke off ({text or code})"
            )
        if code in _PASSING or (code == _NO_SUCH and "SAVEPOINT" in text):
            return IndexInterrupted(f"{self.where} is busy ({text})")
        if code in (1290, 1836):
            return IndexUnusable(f"{self.where} cannot be written: the server is read-only ({text})")
        if kind in ("OperationalError", "InternalError") and code not in _MISTAKEN:
            return IndexUnusable(f"{self.where} does not work: {text} (error {code})")
        return None

    def _perhaps_tls(self) -> str:
        """A server that wants TLS, or a certificate, of one user answers as to a wrong password."""
        if self._tls in ("", "DISABLED"):
            return "; if the server requires TLS of this user, set ssl_mode or ssl_ca"
        if not self._certificate:
            return "; if the server requires a client certificate of this user, set ssl_cert and ssl_key"
        return "; if the server requires a certain client certificate, check ssl_cert"

    def _tls_remedy(self) -> str:
        if self._tls.startswith("VERIFY"):
            return (
                "the server's certificate must be signed by [database] ssl_ca and name the host of the URL, and "
                "ssl_cert must fit ssl_key"
            )
        return "check [database] ssl_mode, ssl_cert and ssl_key, and whether the server offers TLS"


def _place(server: Server, tls: str) -> dict[str, Any]:
    """Where to connect."""
    if server.socket:
        return {"unix_socket": server.socket}
    if server.port is None:
        return {"host": server.host} if server.host else {}
    if server.host not in ("", "localhost"):
        return {"host": server.host, "port": server.port}
    # The client libraries take "localhost", and no host, for the default socket, whatever the port.  Spelled in
    # capitals it is the name that a certificate has, but not the word that they look for.
    return {"host": "LOCALHOST" if tls.startswith("VERIFY") else "127.0.0.1", "port": server.port}


def _password(server: Server, password_file: Path | None) -> dict[str, Any]:
    found = {"user": server.user} if server.user else {}
    if password_file is not None:
        try:
            return found | {"password": password_file.read_text().rstrip("\r\n")}
        except UnicodeDecodeError:
            raise IndexUnusable(
                f"the password file {password_file} cannot be read: it is not UTF-8 text"
            ) from None
        except OSError as error:
            raise IndexUnusable(
                f"the password file {password_file} cannot be read: {error.strerror}"
            ) from error
    return found | {"password": server.password} if server.password else found


def _client(wanted: Database) -> dict[str, Any]:
    """What mysqlclient is told of TLS and option files."""
    for key in ("ssl_ca", "ssl_cert", "ssl_key", "read_default_file"):
        path = getattr(wanted, key)
        if path is not None:
            # The library takes a file that cannot be read for one that is not given, or says no more than "error".
            try:
                path.open("rb").close()
            except OSError as error:
                raise IndexUnusable(
                    f"the file {path} of [database] {key} cannot be read: {error.strerror}"
                ) from error
    found: dict[str, Any] = {}
    files = {"ca": wanted.ssl_ca, "cert": wanted.ssl_cert, "key": wanted.ssl_key}
    if any(files.values()):
        found["ssl"] = {name: str(path) for name, path in files.items() if path is not None}
    if wanted.tls:
        found["ssl_mode"] = wanted.tls
    if wanted.read_default_file is not None:
        found["read_default_file"] = str(wanted.read_default_file)
    if wanted.read_default_group:
        found["read_default_group"] = wanted.read_default_group
    return found
