"""An index on a MariaDB or MySQL server through mysqlclient: connection parameters and error messages."""

from __future__ import annotations

import os
import socket
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
# Seconds to wait for the first byte of an answer, and for each further part of it.  Without a limit, a stopped server
# would block a run for ever, since the kernel keeps its connections alive.  The first one is long, because a statement
# may read a large table, and signals are handled meanwhile; `MariaDB.answer_within` changes it.
ANSWER_WITHIN = 1800.0
READ_TIMEOUT = 300
WRITE_TIMEOUT = 60
# With the server's defaults, a name that is too long could be truncated, and another session's lock could block this
# one for a day.  And MariaDB could evaluate an EXISTS for all rows of the archive to answer it for a few files.  MySQL
# has no such switch; it ignores the comment.
SESSION = (
    f"SET SESSION sql_mode = 'TRADITIONAL', lock_wait_timeout = {LOCK_WAIT}, "
    f"innodb_lock_wait_timeout = {LOCK_WAIT} /*M! , optimizer_switch = 'exists_to_in=off' */"
)

# Error codes of MariaDB and MySQL, client and server.
# Of a server in a Galera cluster: 1047, it does not accept statements, since the cluster has lost the majority of its
# servers, or it has just joined; 1180, a commit whose outcome is unknown, since the cluster broke apart meanwhile.
_CLUSTER = {1047, 1180}
_LOST = {1053, 1077, 1079, 1080, 1152, 1158, 1159, 1160, 1161, 1927, 2002, 2003, 2006, 2013, 2055, 4031}
_PASSING = _LOST | _CLUSTER | {1020, 1040, 1203, 1205, 1213}
_NO_SUCH = 1305  # function, or savepoint: a deadlock rolled back its whole transaction
_MISTAKEN = {1054, 1091, _NO_SUCH}  # OperationalErrors caused by an invalid statement
_TLS_WANTED = {3159}
_TLS_FAILED = {2026}
_PLUGIN = {2059, 2061}


class ServerErrors(Explained):
    """Mixin that explains errors of a MariaDB or MySQL server, and of characters that its tables cannot store."""

    dialect = MARIADB

    def readable(self, error: Exception) -> str:
        """Return the message of the server or the driver, without text that may be a password."""
        raise NotImplementedError

    def explain_refusal(self, code: object, text: str) -> AlpenhornError | None:
        """Return the error to raise if the server or the driver refused the connection; `text`: its message."""
        raise NotImplementedError

    def unbuffered(self) -> Any:
        """Return a cursor that fetches rows from the server while they are read."""
        raise NotImplementedError

    @cached_property
    def _narrow(self) -> tuple[str, ...]:
        return charset.narrow(self)

    def cannot_hold(self, texts: Iterable[str]) -> frozenset[str]:
        """Return the texts with a character that the tables cannot store; no query for ASCII texts."""
        other = [text for text in texts if not text.isascii()]
        return charset.cannot_hold(self, self._narrow, other) if other else frozenset()

    def execute_sql(self, sql: str, params: Any = None) -> Any:
        """Run a statement; a SELECT for a name that the tables cannot store finds no rows."""
        try:
            return super().execute_sql(sql, params)
        except charset.CannotCompare:
            if not params or not sql.lstrip().startswith("SELECT"):
                raise
            unheld = self.cannot_hold(value for value in params if isinstance(value, str))
            if not unheld:
                raise
            return super().execute_sql(sql, tuple(charset.comparable(params, unheld)))

    def explain(self, error: Exception) -> AlpenhornError | None:
        code = error.args[0] if error.args else None
        text = self.readable(error)
        kind = type(error).__name__
        if unheld := charset.explained(self.where, code, text):
            return unheld
        if refused := self.explain_refusal(code, text):
            return refused
        if code in (1044, 1142, 1143, 1227, 1370):
            return IndexUnusable(
                f"{self.where}: permission denied; grant this user the missing privilege ({text})"
            )
        if code in (2002, 2003, 2005):
            wrong = (
                f"{self.where}: cannot be reached; check the address and that the server is running ({text})"
            )
            return IndexUnusable(wrong) if code == 2005 else IndexInterrupted(wrong)
        if code in _LOST or (kind == "InterfaceError" and code in (0, None)):
            return IndexInterrupted(f"{self.where}: lost the connection to the server ({text or code})")
        if code in _PASSING or (code == _NO_SUCH and "SAVEPOINT" in text):
            return IndexInterrupted(f"{self.where}: busy ({text})")
        if code in (1290, 1836):
            return IndexUnusable(f"{self.where}: the server is read-only ({text})")
        if kind in ("OperationalError", "InternalError") and code not in _MISTAKEN:
            return IndexUnusable(f"{self.where}: database error: {text} (error {code})")
        return None


class MariaDB(ServerErrors, pw.MySQLDatabase):
    """A database reached through mysqlclient, even if PyMySQL, which peewee prefers, is installed.

    Isolation level READ COMMITTED: a listing in many pages sees the commits of others, and an UPDATE does not keep
    locks on rows that it examined but did not change.  Rows that must not change are read with FOR UPDATE.

    `answer_within`: seconds after which a statement without an answer counts as lost; None: never.
    `hurry`: called while waiting for an answer; if it returns true, the wait ends after a few seconds.
    `stalled`: the last abandoned statement had waited so long that the server seems stopped.
    `galera`: the server of the current session belongs to a Galera cluster.
    """

    def __init__(self, server: Server, shown: str, wanted: Database) -> None:
        self.where = f"index {shown}"
        self.answer_within: float | None = ANSWER_WITHIN
        self.hurry: Callable[[], bool] = lambda: False
        self.stalled = False
        self.galera = False
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
            import MySQLdb  # an extra; not needed with SQLite

            from alpenhorn.index.session import MariaDBSession
        except ImportError as error:
            raise IndexUnusable(
                f"{self.where}: cannot load the Python package mysqlclient ({error}); "
                "run `pip install 'alpenhorn[mysql]'`"
            ) from error
        try:
            connection = MariaDBSession(self, database=self.database, autocommit=True, **self.connect_params)
            try:
                connection.query(SESSION)
                cursor = connection.cursor()
                self.galera = wait_for_cluster(cursor)
                cursor.close()
                self._notice_dead_peer(connection)
            except BaseException:
                connection.close()
                raise
        except MySQLdb.Error as error:
            explanation = self.explain(error)
            if explanation is None:
                explanation = IndexUnusable(f"{self.where}: cannot be opened: {self.readable(error)}")
            # A traceback would show the server's message, which may contain a password.
            raise explanation from (None if self._hidden else error)
        return connection

    def _notice_dead_peer(self, connection: Any) -> None:
        """Set keepalive options, so that a session ends about two minutes after its server lost power."""
        if "unix_socket" in self.connect_params:
            return
        with socket.socket(fileno=os.dup(connection.fileno())) as peer:
            if peer.family in (socket.AF_INET, socket.AF_INET6):
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
                peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
                peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 6)

    def unbuffered(self) -> Any:
        from MySQLdb.cursors import SSCursor  # an extra

        return self.connection().cursor(SSCursor)

    def readable(self, error: Exception) -> str:
        text = str(error.args[1] if len(error.args) > 1 else error)
        return text.replace(f"'{self._hidden}'", "'…'") if self._hidden else text

    def explain_refusal(self, code: object, text: str) -> AlpenhornError | None:
        if code in (1045, 1698):
            return IndexUnusable(
                f"{self.where}: access denied; check the user name in [database] url and the password in "
                f"[database] password_file{self._perhaps_tls()} ({text})"
            )
        if code in _TLS_WANTED:
            return IndexUnusable(
                f"{self.where}: the server requires TLS; set [database] ssl_ca to its CA certificate, or "
                f'ssl_mode = "REQUIRED" for TLS without verification ({text})'
            )
        if code in _TLS_FAILED:
            return IndexUnusable(f"{self.where}: TLS connection failed; {self._tls_remedy()} ({text})")
        if code in _PLUGIN:
            return IndexUnusable(
                f"{self.where}: cannot use the server's authentication method; if it needs TLS, set"
                f' ssl_mode = "REQUIRED" in [database] ({text})'
            )
        if code == 1049:
            return IndexUnusable(
                f"{self.where}: no such database; create it with "
                f"CREATE DATABASE {self.database} CHARACTER SET utf8mb4"
            )
        return None

    def _perhaps_tls(self) -> str:
        """Return a hint: a server that requires TLS or a certificate of a user reports a wrong password."""
        if self._tls in ("", "DISABLED"):
            return "; if the server requires TLS of this user, set ssl_mode or ssl_ca"
        if not self._certificate:
            return "; if the server requires a client certificate of this user, set ssl_cert and ssl_key"
        return "; if the server requires a particular client certificate, check ssl_cert"

    def _tls_remedy(self) -> str:
        if self._tls.startswith("VERIFY"):
            return (
                "check that the server's certificate is signed by [database] ssl_ca and names the host of the URL, and "
                "that ssl_cert matches ssl_key"
            )
        return "check [database] ssl_mode, ssl_cert and ssl_key, and that the server supports TLS"


def wait_for_cluster(cursor: Any) -> bool:
    """Have each query of a server in a Galera cluster wait for what was committed through the others before.

    Otherwise, a copy could be deleted although it was recorded long ago that another one is corrupt, and a medium
    would seem to be ahead of the index.  `cursor`: that of a new session; return whether it is one of a cluster.
    """
    cursor.execute("SHOW VARIABLES LIKE 'wsrep_on'")  # @@wsrep_on would be an error on MySQL
    found = any(value == "ON" for _, value in cursor.fetchall())
    if found:
        cursor.execute("SET SESSION wsrep_sync_wait = 1")
    return found


def _place(server: Server, tls: str) -> dict[str, Any]:
    """Return the parameters of the server's address."""
    if server.socket:
        return {"unix_socket": server.socket}
    if server.port is None:
        return {"host": server.host} if server.host else {}
    if server.host not in ("", "localhost"):
        return {"host": server.host, "port": server.port}
    # The client libraries connect to the default socket for "localhost" or no host, whatever the port.  In capitals,
    # the name still matches a certificate, but not the libraries' test.
    return {"host": "LOCALHOST" if tls.startswith("VERIFY") else "127.0.0.1", "port": server.port}


def _password(server: Server, password_file: Path | None) -> dict[str, Any]:
    found = {"user": server.user} if server.user else {}
    if password_file is not None:
        try:
            return found | {"password": password_file.read_text().rstrip("\r\n")}
        except UnicodeDecodeError:
            raise IndexUnusable(f"{password_file}: password file cannot be read: not UTF-8 text") from None
        except OSError as error:
            raise IndexUnusable(f"{password_file}: password file cannot be read: {error.strerror}") from error
    return found | {"password": server.password} if server.password else found


def _client(wanted: Database) -> dict[str, Any]:
    """Return mysqlclient's parameters for TLS and option files."""
    for key in ("ssl_ca", "ssl_cert", "ssl_key", "read_default_file"):
        path = getattr(wanted, key)
        if path is not None:
            # The library ignores an unreadable file, or reports only "error".
            try:
                path.open("rb").close()
            except OSError as error:
                raise IndexUnusable(
                    f"{path}: file of [database] {key} cannot be read: {error.strerror}"
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
