"""Statements of runs and of daily commands read no table as a whole that grows with the archive.

They are taken from the server's log while real commands run, and are executed again with their real values.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.fixtures.archive import Archive
from tests.fixtures.index import MariaDBServer

FILES = 20_000
READ_AT_MOST = 3_000
OLD = "2026-01-01 00:00:00"
GROWING = {
    "archiveacq",
    "archivefile",
    "archivefilecopy",
    "archivefilecopyrequest",
    "sync_event",
    "sync_verification",
}
FILL = f"""
INSERT INTO archiveacq (id, name) SELECT 1000 + seq, CONCAT('old', seq) FROM seq_1_to_2000;
INSERT INTO archivefile (id, acq_id, name, size_b, md5sum, registered)
    SELECT 1000 + seq, 1001 + seq MOD 2000, CONCAT('f', seq), 10, MD5(seq), '{OLD}' FROM seq_1_to_{FILES};
INSERT INTO archivefilecopy (file_id, node_id, has_file, wants_file, ready, size_b, last_update)
    SELECT 1000 + seq, n.id, 'Y', 'Y', 1, 10, '{OLD}' FROM seq_1_to_{FILES} JOIN storagenode n ON n.name LIKE 'far%';
INSERT INTO sync_verification (file_id, node_id, verified)
    SELECT 1000 + seq, n.id, '{OLD}' FROM seq_1_to_{FILES} JOIN storagenode n ON n.name LIKE 'far%';
INSERT INTO archivefilecopyrequest (file_id, group_to_id, node_from_id, completed, cancelled, timestamp)
    SELECT 1000 + seq, g.id, n.id, 1, 0, '{OLD}' FROM seq_1_to_{FILES}
    JOIN storagenode n ON n.name = 'far' JOIN storagegroup g ON g.name = 'far_too';
INSERT INTO sync_event (at, file_id, node_id, what, why)
    SELECT '{OLD}', 1000 + seq, n.id, 'pulled', '' FROM seq_1_to_{FILES} JOIN storagenode n ON n.name = 'far_too'
"""


@pytest.fixture
def large(mariadb_archive: Archive, mariadb: MariaDBServer) -> Archive:
    """Nodes field and safe of host here with a few files, and far and far_too of another host with very many."""
    archive = mariadb_archive
    archive.node("field", auto_import=1)
    archive.node("safe", archive=1, auto_verify=2)
    archive.node("far", archive=1, host="there")
    archive.node("far_too", archive=1, host="there")
    for statement in FILL.split(";"):
        archive.do(statement)
    for table in GROWING:
        archive.all(f"ANALYZE TABLE {table}")
    return archive


@contextmanager
def logged(server: MariaDBServer, archive: Archive) -> Iterator[list[str]]:
    """Collect the statements that the server executes."""
    server.run("SET GLOBAL log_output = 'TABLE'", "TRUNCATE mysql.general_log", "SET GLOBAL general_log = ON")
    found: list[str] = []
    try:
        yield found
    finally:
        server.run("SET GLOBAL general_log = OFF")
    rows = archive.all(
        "SELECT CONVERT(argument USING utf8mb4) FROM mysql.general_log WHERE command_type = 'Query'"
    )
    found += dict.fromkeys(str(sql) for (sql,) in rows)


def rows_read(archive: Archive, sql: str) -> int:
    """The number of rows and entries of indexes that a SELECT reads."""
    archive.do("FLUSH STATUS")
    archive.all(re.sub(r"(FOR UPDATE|LOCK IN SHARE MODE)\s*$", "", sql))
    return sum(int(value) for _, value in archive.all("SHOW SESSION STATUS LIKE 'Handler_read%'"))


def rows_to_change(archive: Archive, sql: str) -> int:
    """The number of rows that an UPDATE or DELETE reads, as the server estimates it."""
    found = archive.all(f"EXPLAIN {sql}")
    return sum(int(row[8]) for row in found if row[2] in GROWING and row[8] is not None)


def checked(archive: Archive, statements: list[str]) -> int:
    """Execute the logged SELECTs of growing tables again, and explain the changes; return the number of both."""
    number = 0
    for sql in statements:
        kind = sql.split(maxsplit=1)[0]
        if kind in ("SELECT", "UPDATE", "DELETE") and any(table in sql for table in GROWING):
            number += 1
            read = rows_read(archive, sql) if kind == "SELECT" else rows_to_change(archive, sql)
            assert read < READ_AT_MOST, (read, " ".join(sql.split()))
    return number


def test_a_run_reads_only_rows_of_its_work(large: Archive, mariadb: MariaDBServer) -> None:
    archive = large
    known = [archive.file(f"acq/{name}", None, "field") for name in ("pull", "delete", "check", "moved")]
    archive.put("field", "acq/new", b"new")
    archive.synced()  # counts and compares what is counted and compared once a day
    archive.request(known[0], "field", "safe")
    archive.set_copy(known[2], "field", "MY")
    for node in ("far", "far_too"):
        archive.insert(
            "archivefilecopy", file_id=known[1], node_id=archive.id("storagenode", node), has_file="Y",
            wants_file="Y", ready=1, size_b=1, last_update=OLD,
        )  # fmt: skip
    archive.set_copy(known[1], "field", "YN")
    with logged(mariadb, archive) as statements:
        archive.synced()
    assert archive.copy(known[0], "safe") == "YY" and archive.copy(known[1], "field") == "NN"
    assert archive.copy(known[2], "field") == "YY"
    assert checked(archive, statements) > 20
    with logged(mariadb, archive) as statements:
        archive.synced()
    assert checked(archive, statements) > 5


@pytest.mark.parametrize(
    "command",
    [
        ("status",),
        ("plan",),
        ("doctor",),
        ("node", "stats"),
        ("node", "list"),
        ("file", "show", "old1/f2000", "--all"),
        ("file", "find", "--suspect"),
        ("file", "find", "--corrupt", "--limit", "5"),
        ("request", "list"),
        ("request", "list", "--limit", "5"),
        ("history", "--limit", "5"),
        ("acq", "list", "--limit", "5"),
    ],
    ids=" ".join,
)
def test_a_daily_command_reads_few_rows(
    large: Archive, mariadb: MariaDBServer, command: tuple[str, ...]
) -> None:
    large.file("acq/a", None, "field")
    large.do("DELETE FROM sync_index WHERE name = 'tallies'")
    large.synced()
    with logged(mariadb, large) as statements:
        large.run(*command)
    assert checked(large, statements) > 0
