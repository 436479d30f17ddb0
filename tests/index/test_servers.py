"""Connections to servers: ports, TLS and certificates, option files, and error messages."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from alpenhorn.config import Database
from alpenhorn.errors import IndexUnusable
from alpenhorn.index import schema
from alpenhorn.index.check import Level
from alpenhorn.index.connection import Index
from alpenhorn.index.durability import durability
from tests.fixtures.index import MariaDBServer
from tests.fixtures.server import NetworkServer

# --- situation 3 ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["localhost", ""])
def test_situation_03_a_port_means_tcp_to_that_port(
    mariadb: MariaDBServer,
    mariadb_index_url: str,
    network_server: NetworkServer,
    network_database: str,
    host: str,
) -> None:
    """Another server, with a database of that name, listens on the socket that clients take by default."""
    mariadb.run(f"CREATE DATABASE {network_database}")
    try:
        done = subprocess.run(
            [sys.executable, "-m", "alpenhorn", "db", "init"],
            env={
                **os.environ,
                "MYSQL_UNIX_PORT": str(mariadb.socket),
                "ALPENHORN_DATABASE_URL": network_server.tcp(network_database, host=host),
            },
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert "archivefile" in tables(network_server, network_database)
        assert tables(mariadb, network_database) == set()
    finally:
        mariadb.run(f"DROP DATABASE {network_database}")


def tables(server: MariaDBServer, database: str) -> set[str]:
    connection = server.connect()
    try:
        cursor = connection.cursor()
        cursor.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = %s", (database,)
        )
        return {name for (name,) in cursor.fetchall()}
    finally:
        connection.close()


def test_situation_03_a_socket_and_a_port_are_not_both_taken(network_server: NetworkServer) -> None:
    url = f"{network_server.tcp('far')}?unix_socket={network_server.socket}"
    with pytest.raises(IndexUnusable, match="names both a socket and a host or port"):
        Index.open(url)


# --- situation 4 ---------------------------------------------------------------------------------------


class Far(NamedTuple):
    server: NetworkServer
    certified: (
        str  # URLs of a user who must have a certificate, of one who must use TLS, of one with a password
    )
    encrypted: str
    known: str


@pytest.fixture
def far(network_server: NetworkServer, network_database: str) -> Iterator[Far]:
    users = {"certified": "REQUIRE X509", "encrypted": "REQUIRE SSL", "known": "IDENTIFIED BY 'pass word'"}
    for name, how in users.items():
        network_server.run(
            f"CREATE USER {name}@localhost {how}", f"GRANT ALL ON {network_database}.* TO {name}@localhost"
        )
    try:
        yield Far(network_server, *(network_server.tcp(network_database, name) for name in users))
    finally:
        network_server.run(
            "SET GLOBAL require_secure_transport = OFF", f"DROP USER {', '.join(map(_at, users))}"
        )


def _at(name: str) -> str:
    return f"{name}@localhost"


def session(wanted: Database) -> tuple[str, bool]:
    """The user of a session, and whether it is encrypted."""
    index = Index.configured(wanted)
    try:
        (user,) = index.execute("SELECT CURRENT_USER()").fetchone()
        return user.partition("@")[0], bool(index.execute("SHOW STATUS LIKE 'Ssl_cipher'").fetchone()[1])
    finally:
        index.close()


def refusal(wanted: Database) -> str:
    with pytest.raises(IndexUnusable) as refused:
        session(wanted)
    return str(refused.value)


def test_situation_04_a_private_authority_and_a_client_certificate(far: Far) -> None:
    ca, cert, key = far.server.pem("ca"), far.server.pem("client"), far.server.key("client")
    assert session(Database(far.encrypted, ssl_mode="REQUIRED")) == ("encrypted", True)
    assert session(Database(far.encrypted, ssl_ca=ca)) == ("encrypted", True)
    assert session(Database(far.certified, ssl_ca=ca, ssl_cert=cert, ssl_key=key)) == ("certified", True)
    assert session(Database(far.certified, ssl_cert=cert, ssl_key=key)) == ("certified", True)


def test_situation_04_the_message_names_tls_where_that_may_be_missing(far: Far) -> None:
    ca, cert, key = far.server.pem("ca"), far.server.pem("client"), far.server.key("client")
    assert "if the server requires TLS of this user, set ssl_mode or ssl_ca" in refusal(
        Database(far.encrypted)
    )
    assert "set ssl_cert and ssl_key" in refusal(Database(far.certified, ssl_ca=ca))
    stranger = far.server.pem("stranger")
    for wrong in (
        Database(far.encrypted, ssl_ca=stranger),
        Database(
            far.encrypted.replace("localhost", "127.0.0.1"), ssl_ca=ca
        ),  # not the name in the certificate
        Database(far.certified, ssl_ca=ca, ssl_cert=cert, ssl_key=far.server.key("server")),
    ):
        said = refusal(wrong)
        assert "TLS connection failed; check that the server's certificate is signed by" in said
    gone = refusal(Database(far.encrypted, ssl_ca=far.server.directory / "gone.pem"))
    assert "gone.pem: file of [database] ssl_ca cannot be read: No such file or directory" in gone
    del key


def test_situation_04_a_server_that_requires_tls_of_all(far: Far, network_database: str) -> None:
    url = far.server.tcp(network_database)
    far.server.run("SET GLOBAL require_secure_transport = ON")
    assert "TLS" in refusal(Database(url))
    assert "TLS" in refusal(Database(url, ssl_mode="DISABLED"))
    assert session(Database(url, ssl_ca=far.server.pem("ca"))) == ("root", True)


def test_situation_04_an_option_file_is_read_where_it_is_named(far: Far, tmp_path: Path) -> None:
    file = tmp_path / "my.cnf"
    file.write_text(
        "[client]\nuser = known\npassword = 'pass word'\ndefault-character-set = latin1\n"
        f"[lab]\nuser = certified\npassword =\nssl-ca = {far.server.pem('ca')}\n"
        f"ssl-cert = {far.server.pem('client')}\nssl-key = {far.server.key('client')}\n"
    )
    nobody = far.known.replace("known@", "")
    assert session(Database(nobody, read_default_file=file)) == ("known", False)
    assert session(Database(nobody, read_default_file=file, read_default_group="lab")) == ("certified", True)
    index = Index.configured(Database(nobody, read_default_file=file))
    assert index.execute("SELECT 'Ω'").fetchone() == ("Ω",)  # in UTF-8, whatever the file says
    index.close()
    assert "access denied" in refusal(Database(far.known))


def test_situation_04_an_option_file_in_the_home_directory_is_not_read(
    far: Far, network_database: str, tmp_path: Path
) -> None:
    (tmp_path / ".my.cnf").write_text("[client]\nuser = known\npassword = 'pass word'\n")
    program = (
        "import sys; from alpenhorn.index.connection import Index\n"
        "print(Index.open(sys.argv[1]).execute('SELECT CURRENT_USER()').fetchone()[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, far.server.tcp(network_database)],
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "root@localhost\n", done.stderr


def test_situation_04_doctor_shows_what_is_set(far: Far, tmp_path: Path) -> None:
    key = far.server.key("client")
    key.chmod(0o644)
    conf = tmp_path / "alpenhorn.toml"
    conf.write_text(
        f'[database]\nurl = "{far.certified}"\nssl_ca = "{far.server.pem("ca")}"\n'
        f'ssl_cert = "{far.server.pem("client")}"\nssl_key = "{key}"\n'
    )
    done = subprocess.run(
        [sys.executable, "-m", "alpenhorn", "-c", str(conf), "doctor"],
        env={name: value for name, value in os.environ.items() if not name.startswith("ALPENHORN_")},
        capture_output=True,
        text=True,
    )
    said = " ".join(done.stdout.split())
    assert f"TLS to the server of the index: ssl_mode VERIFY_IDENTITY; ssl_ca {far.server.pem('ca')}" in said
    assert f"the private key {key} can be read by others" in said
    assert ": no tables; run" in said


# --- situation 26 ---------------------------------------------------------------------------------------


def test_situation_26_a_refused_login_does_not_show_what_may_be_a_password(
    network_server: NetworkServer, network_database: str
) -> None:
    url = network_server.tcp(network_database, user="userS3CRET")
    done = subprocess.run(
        [sys.executable, "-m", "alpenhorn", "-vv", "db", "check"],
        env={**os.environ, "ALPENHORN_DATABASE_URL": url},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 3 and "access denied" in done.stderr and "Traceback" in done.stderr
    assert "S3CRET" not in done.stdout + done.stderr


# --- situation 19 --------------------------------------------------------------------------------------


@pytest.fixture
def made(network_server: NetworkServer, network_database: str) -> Iterator[Index]:
    index = Index.open(network_server.tcp(network_database))
    schema.create(index)
    yield index
    index.close()
    network_server.run(
        "SET GLOBAL innodb_flush_log_at_trx_commit = 1",
        "SET GLOBAL sync_binlog = 1",
        "SET GLOBAL read_only = OFF",
    )


def test_situation_19_server_with_durable_settings_passes(made: Index) -> None:
    assert [finding.level for finding in durability(made)] == [Level.PASS]


@pytest.mark.parametrize(
    ("statement", "level", "said", "remedy"),
    [
        (
            "SET GLOBAL innodb_flush_log_at_trx_commit = 2",
            Level.WARN,
            "may list copies as good that were deleted in the last second",
            "innodb_flush_log_at_trx_commit = 1",
        ),
        (
            "SET GLOBAL sync_binlog = 0",
            Level.WARN,
            "replicas and point-in-time restores lack",
            "sync_binlog = 1",
        ),
        (
            "SET GLOBAL read_only = ON",
            Level.FAIL,
            "deletions would rely on copies that no longer exist",
            "primary server",
        ),
        (
            "ALTER TABLE far.sync_claim ENGINE=MyISAM",
            Level.FAIL,
            "sync_claim (MyISAM); two hosts that delete copies of a file at the same time may delete the last ones",
            "ALTER TABLE sync_claim ENGINE=InnoDB",
        ),
    ],
)
def test_situation_19_what_a_setting_means_for_deletions_is_told(
    made: Index, network_server: NetworkServer, statement: str, level: Level, said: str, remedy: str
) -> None:
    network_server.run(statement)
    (finding,) = durability(made)
    assert (finding.level, said in finding.text, remedy in finding.remedy) == (level, True, True), finding


def test_situation_19_db_check_and_doctor_report_settings_that_endanger_commits(
    made: Index, network_server: NetworkServer, tmp_path: Path
) -> None:
    network_server.run("SET GLOBAL innodb_flush_log_at_trx_commit = 0", "SET GLOBAL read_only = ON")
    conf = tmp_path / "alpenhorn.toml"
    conf.write_text(f'[database]\nurl = "{network_server.tcp("far")}"\n')
    for command in (["db", "check"], ["doctor"]):
        done = subprocess.run(
            [sys.executable, "-m", "alpenhorn", "-c", str(conf), *command],
            env={name: value for name, value in os.environ.items() if not name.startswith("ALPENHORN_")},
            capture_output=True,
            text=True,
        )
        said = " ".join(done.stdout.split())
        assert "innodb_flush_log_at_trx_commit = 0" in said and "the server is read-only (read_only)" in said
        assert done.returncode == 1
    assert made.execute("SELECT 1").fetchone() == (1,)
