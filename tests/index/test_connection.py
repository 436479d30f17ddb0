"""Opening of an index, error messages, and statements; on both engines unless a name says otherwise."""

from __future__ import annotations

import datetime
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import peewee as pw
import pytest

from alpenhorn.errors import IndexUnusable
from alpenhorn.index import current, schema
from alpenhorn.index.connection import Index
from alpenhorn.index.tables import ArchiveAcq
from tests.fixtures.index import MariaDBServer

fork = multiprocessing.get_context("fork")


@pytest.fixture
def nobody() -> Iterator[None]:
    """Run with the privileges of a user who owns nothing."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def shared_directory() -> Iterator[Path]:
    """A directory that every user can read."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


# --- opening -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["index.db", "with blank.db", "50%25.db", "a?b#c.db", "é.db", "~.db"])
def test_sqlite_takes_the_path_as_it_stands(tmp_path: Path, name: str) -> None:
    index = Index.open(f"sqlite:///{tmp_path}/new/{name}", create=True)
    schema.create(index)
    index.close()
    assert (tmp_path / "new" / name).is_file()
    Index.open(f"sqlite:///{tmp_path}/new/{name}").close()


def test_sqlite_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    index = Index.open("sqlite:///below/index.db", create=True)
    monkeypatch.chdir("/")
    index.disconnect()
    schema.create(index)
    index.close()
    assert (tmp_path / "below/index.db").stat().st_size


def test_sqlite_writes_durably_and_beside_readers(sqlite_index_url: str) -> None:
    index = Index.open(sqlite_index_url, create=True)
    found = [index.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]
    index.close()
    assert found == ["wal", 2]


def test_mariadb_session_is_strict_and_reads_what_is_committed(mariadb_index_url: str) -> None:
    index = Index.open(mariadb_index_url)
    mode, isolation, charset, optimizer = index.execute(
        "SELECT @@sql_mode, @@tx_isolation, @@character_set_connection, @@optimizer_switch"
    ).fetchone()
    index.close()
    assert "STRICT_ALL_TABLES" in mode
    assert (isolation, charset) == ("READ-COMMITTED", "utf8mb4")
    assert "exists_to_in=off" in optimizer


def refusal(url: str, password_file: Path | None = None, create: bool = False) -> str:
    with pytest.raises(IndexUnusable) as caught:
        Index.open(url, password_file, create=create).close()
    message = str(caught.value)
    assert "s3cret" not in message and "\n" not in message
    return message


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqlite:////no/such/dir/index.db", "no such directory: /no/such/dir; run `alpenhorn db init`"),
        ("sqlite:////etc/no-such.db", "no such file; run `alpenhorn db init`"),
        ("sqlite:////etc", "is a directory; name a file"),
        ("sqlite:////etc/passwd", ": not an SQLite database; name"),
        ("sqlite://", "names no file"),
        ("sqlite:///", "names no file"),
        ("sqlite://index.db", "four slashes"),
        ("postgresql://u:s3cret@h/db", "begins with neither sqlite:// nor mysql://; use sqlite:////"),
        ("index.db", "begins with neither sqlite:// nor mysql://"),
        ("", "begins with neither"),
        ("mysql://u:s3cret@127.0.0.1:1/db", "mysql://u@127.0.0.1:1/db: cannot be reached"),
        ("mysql://u:s3cret@host.invalid/db", "mysql://u@host.invalid/db: cannot be reached"),
        (
            "mysql://u:s3cret@/db?unix_socket=/no/such",
            "cannot be reached; check the address and that the server is running",
        ),
        ("mysql://u:s3cret@host", "names no database"),
        ("mysql://u:s3cret@host/", "names no database"),
        ("mysql://u:s3cret@host/a/b", "is not valid"),
        ("mysql://u:s3cret@host:port/db", "use sqlite:////absolute/path or mysql://user@host:port/database"),
        ("mysql://u:s3cret/x@host/db", "is not valid"),
        ("mysql://u:s3cret@host/db?ssl=1", "has an unknown option"),
    ],
)
def test_a_wrong_url_is_explained(url: str, said: str) -> None:
    assert said in refusal(url)


def test_a_directory_that_cannot_be_made_is_explained() -> None:
    assert "cannot create its directory" in refusal("sqlite:////proc/no/index.db", create=True)


@pytest.fixture
def user(mariadb: MariaDBServer, mariadb_index_url: str) -> Iterator[str]:
    """The URL of a user with a password and no privileges yet."""
    mariadb.run("CREATE USER `a@p p`@localhost IDENTIFIED BY 's3cret%é'")
    try:
        yield mariadb_index_url.replace("root@", f"{quote('a@p p')}@")
    finally:
        mariadb.run("DROP USER `a@p p`@localhost")


def test_mariadb_passwords_and_rights(
    mariadb: MariaDBServer, mariadb_index_url: str, user: str, tmp_path: Path
) -> None:
    name = mariadb_index_url.partition("?")[0].rpartition("/")[2]
    secret = tmp_path / "password"
    assert "access denied; check the user name" in refusal(user)
    assert f"{secret}: password file cannot be read" in refusal(user, secret)
    secret.write_text("wrong-s3cret\n")
    assert "access denied; check the user name" in refusal(user, secret)
    secret.write_text("s3cret%é\n")
    assert "permission denied; grant" in refusal(user, secret)
    mariadb.run(f"GRANT SELECT ON {name}.* TO `a@p p`@localhost")
    index = Index.open(user, secret)
    assert index.execute("SELECT 1").fetchone() == (1,)
    with pytest.raises(IndexUnusable, match="permission denied; grant"):
        schema.create(index)
    index.close()
    in_url = user.replace("@/", f":{quote('s3cret%é')}@/")
    index = Index.open(in_url)
    assert "s3cret" not in index.url
    index.close()
    assert "names no database" in refusal(in_url.replace(f"/{name}?", "/?"))


def test_mariadb_without_the_database(mariadb: MariaDBServer) -> None:
    assert "CREATE DATABASE nowhere CHARACTER SET utf8mb4" in refusal(mariadb.url("nowhere"))


def test_a_file_that_is_read_only_can_be_read_and_says_so_when_written(
    shared_directory: Path, request: pytest.FixtureRequest
) -> None:
    url = f"sqlite:///{shared_directory}/index.db"
    owner = Index.open(url, create=True)
    schema.create(owner)
    os.chmod(shared_directory / "index.db", 0o444)
    request.getfixturevalue("nobody")
    reader = Index.open(url)
    current.require_current(reader)
    for write in (
        lambda: reader.execute("DELETE FROM archiveacq"),
        lambda: ArchiveAcq.create(name="a"),
        lambda: reader.retry(lambda: reader.execute("DELETE FROM archiveacq")),
        lambda: reader.executemany("INSERT INTO archiveacq (name) VALUES (?)", [("a",)]),
    ):
        with pytest.raises(IndexUnusable, match="read-only; make the file and its directory"):
            write()
    reader.close()
    owner.close()


def test_a_damaged_file_is_explained(sqlite_index_url: str) -> None:
    index = Index.open(sqlite_index_url, create=True)
    schema.create(index)
    index.close()
    path = Path(sqlite_index_url.removeprefix("sqlite:///"))
    path.write_bytes(path.read_bytes()[:4096] + b"\xff" * (path.stat().st_size - 4096))
    with pytest.raises(IndexUnusable, match=r": damaged: .*; restore it from a backup"):
        Index.open(sqlite_index_url).execute("SELECT * FROM archiveacq").fetchall()


def run_with(stub: str, text: str, program: str, url: str, directory: Path) -> str:
    """Run a program with a replacement for an installed module."""
    (directory / f"{stub}.py").write_text(text)
    done = subprocess.run(
        [sys.executable, "-c", program, url],
        env={**os.environ, "PYTHONPATH": f"{directory}:{os.getcwd()}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_mysqlclient_is_used_though_peewee_prefers_the_other_driver(
    mariadb_index_url: str, tmp_path: Path
) -> None:
    said = run_with(
        "pymysql",
        "",
        "import sys, peewee; from alpenhorn.index.connection import Index\n"
        "print(peewee.mysql.__name__, type(Index.open(sys.argv[1]).db.connection()).__base__)",
        mariadb_index_url,
        tmp_path,
    )
    assert said == "pymysql <class 'MySQLdb.connections.Connection'>\n"


def test_without_mysqlclient_the_extra_is_named(tmp_path: Path) -> None:
    said = run_with(
        "MySQLdb",
        "raise ImportError('no such thing')",
        "import sys; from alpenhorn.index.connection import Index\n"
        "from alpenhorn.errors import IndexUnusable\n"
        "try: Index.open(sys.argv[1])\n"
        "except IndexUnusable as error: print(error)",
        "mysql://u@host/db",
        tmp_path,
    )
    assert (
        "cannot load the Python package mysqlclient (no such thing); run `pip install 'alpenhorn[mysql]'`"
        in said
    )


def test_mysqlclient_is_not_imported_for_sqlite(sqlite_index_url: str, tmp_path: Path) -> None:
    said = run_with(
        "pymysql",  # peewee takes it and so leaves mysqlclient alone
        "",
        "import sys; from alpenhorn.index.connection import Index\n"
        "Index.open(sys.argv[1], create=True); print('MySQLdb' in sys.modules)",
        sqlite_index_url,
        tmp_path,
    )
    assert said == "False\n"


# --- statements ----------------------------------------------------------------------------------------


def test_marks_and_per_cent_signs(index: Index) -> None:
    row = index.execute("SELECT '100%?', 'it''s ?', ?, 5 % 3, 'a%c' LIKE 'a%', ?", ("%s", None)).fetchone()
    assert row == ("100%?", "it's ?", "%s", 2, 1, None)


def test_many_rows_upserted_and_ignored(index: Index) -> None:
    moment = datetime.datetime(2026, 1, 2, 3, 4, 5)
    columns = ("file_id", "node_id", "verified")
    upsert = index.upsert("sync_verification", columns, ("node_id", "file_id"), ("verified",))
    ignore = index.insert_ignore("sync_verification", columns)
    later = moment + datetime.timedelta(days=1)
    with index.transaction():
        index.executemany(upsert, [(n, 1, moment) for n in range(5000)])
        index.executemany(ignore, [(n, 1, later) for n in range(5001)])
        index.executemany(upsert, [(n, 1, later) for n in range(10)])
        index.executemany(upsert, [])
    rows = index.execute("SELECT verified, COUNT(*) FROM sync_verification GROUP BY verified").fetchall()
    assert {str(verified): count for verified, count in rows} == {str(moment): 4990, str(later): 11}


def test_mariadb_gets_many_rows_in_few_statements(mariadb_index_url: str) -> None:
    index = Index.open(mariadb_index_url)
    schema.create(index)

    def statements() -> int:
        return int(index.execute("SHOW SESSION STATUS LIKE 'Com_insert'").fetchone()[1])

    for sql in (
        "INSERT INTO sync_verification (file_id, node_id, verified) VALUES (?, ?, ?)",
        index.insert_ignore("sync_verification", ("file_id", "node_id", "verified")),
        index.upsert(
            "sync_verification", ("file_id", "node_id", "verified"), ("node_id", "file_id"), ("verified",)
        ),
    ):
        before = statements()
        index.execute("DELETE FROM sync_verification")
        index.executemany(sql, [(n, 1, datetime.datetime(2026, 1, 1)) for n in range(5000)])
        assert statements() - before < 10
    index.close()


def test_a_name_that_is_too_long_is_refused_and_not_cut_off(mariadb_index_url: str) -> None:
    index = Index.open(mariadb_index_url)
    schema.create(index)
    for sql in ("INSERT INTO archiveacq (name) VALUES (?)", index.insert_ignore("archiveacq", ("name",))):
        with pytest.raises(pw.DataError):
            index.execute(sql, ("x" * 65,))
    index.close()


def test_a_transaction_is_all_or_nothing(index: Index) -> None:
    with pytest.raises(KeyError), index.transaction():
        ArchiveAcq.create(name="outer")
        raise KeyError
    with index.transaction():
        ArchiveAcq.create(name="kept")
        with pytest.raises(KeyError), index.transaction():
            ArchiveAcq.create(name="inner")
            raise KeyError
    assert [acq.name for acq in ArchiveAcq.select()] == ["kept"]


def test_invalid_statements_raise_peewee_errors(index: Index) -> None:
    for sql in ("SELECT nothing FROM archiveacq", "SELECT * FROM nowhere", "SELEC"):
        with pytest.raises((pw.OperationalError, pw.ProgrammingError)):
            index.execute(sql)
    ArchiveAcq.create(name="a")
    with pytest.raises(pw.IntegrityError):
        index.executemany("INSERT INTO archiveacq (name) VALUES (?)", [("a",)])


def test_now_is_naive_utc(index: Index) -> None:
    now = index.now()
    assert now.tzinfo is None
    assert abs(now - datetime.datetime.now(datetime.UTC).replace(tzinfo=None)).total_seconds() < 5


# --- forks ---------------------------------------------------------------------------------------------


def test_a_connection_does_not_cross_a_fork(index: Index) -> None:
    def child(answers: multiprocessing.SimpleQueue[bool]) -> None:
        answers.put(index.db.is_closed())

    ArchiveAcq.create(name="before")
    answers = fork.SimpleQueue()
    process = fork.Process(target=child, args=(answers,))
    process.start()
    assert answers.get() is True
    process.join()
    assert [acq.name for acq in ArchiveAcq.select()] == ["before"]
