"""Findings of `db check`, and none in a good index."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from alpenhorn.errors import IndexUnusable
from alpenhorn.index import schema
from alpenhorn.index.check import Finding, Level, check, orphans, structure
from alpenhorn.index.connection import Index
from tests.index.daemon import make_daemon_index


@pytest.fixture
def daemon(index_url: str) -> Iterator[Index]:
    """An index that the daemon created, with the `sync_` tables added."""
    index = Index.open(index_url, create=True)
    make_daemon_index(index)
    schema.create(index)
    yield index
    index.close()


def faults(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.level is not Level.PASS]


def test_a_new_index_is_good(index: Index) -> None:
    findings = check(index)
    assert faults(findings) == []
    assert len(findings) == 5


def test_the_collation_of_a_daemon_index_is_reported(daemon: Index) -> None:
    found = faults(check(daemon))
    if daemon.dialect.in_a_file:
        assert found == []
        return
    (finding,) = found
    assert finding.level is Level.WARN
    assert "archivefile.name (utf8mb4_general_ci)" in finding.text
    assert "sync_" not in finding.text
    # The remedy does what it says.
    daemon.execute("SET FOREIGN_KEY_CHECKS = 0")
    for statement in finding.remedy.partition(": ")[2].split("; "):
        daemon.execute(statement)
    assert faults(check(daemon)) == []


def test_padding_and_narrow_collations_are_reported(mariadb_index_url: str) -> None:
    index = Index.open(mariadb_index_url)
    schema.create(index)
    index.execute("ALTER TABLE archiveacq CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
    index.execute("ALTER TABLE storagehost CONVERT TO CHARACTER SET latin1 COLLATE latin1_bin")
    texts = [finding.text for finding in faults(check(index))]
    index.close()
    assert texts == [
        "names that differ only in trailing blanks are treated as equal in archiveacq.name (utf8mb4_bin)",
        "names with some characters are rejected, and different names may be treated as equal, in"
        " storagehost.name (latin1_bin)",
    ]


@pytest.mark.parametrize(
    ("name", "table", "level"),
    [
        ("sync_request_by_group", "archivefilecopyrequest", Level.WARN),
        ("archiveacq_name", "archiveacq", Level.FAIL),
        ("sync_claim_run_id", "sync_claim", Level.WARN),
    ],
)
def test_a_missing_index_is_reported_with_the_remedy(
    index: Index, name: str, table: str, level: Level
) -> None:
    index.execute(f"DROP INDEX {name}" + ("" if index.dialect.in_a_file else f" ON {table}"))
    (finding,) = structure(index)
    assert finding.level is level
    assert table in finding.text
    if name == "sync_request_by_group":
        assert "db init" in finding.remedy
        assert schema.create(index) == [f"index {name}"]
    else:
        index.execute(finding.remedy)
    assert faults(structure(index)) == []


def test_an_index_by_another_name_serves_as_well(index: Index) -> None:
    index.execute("DROP INDEX archiveacq_name" + ("" if index.dialect.in_a_file else " ON archiveacq"))
    index.execute("CREATE UNIQUE INDEX other ON archiveacq (name)")
    assert faults(structure(index)) == []


def test_missing_tables_and_columns_are_reported(index: Index) -> None:
    index.execute("DROP TABLE sync_event")
    index.execute("ALTER TABLE archivefile DROP COLUMN md5sum")
    assert [(finding.level, finding.text) for finding in structure(index)] == [
        (Level.FAIL, "table archivefile has no column md5sum"),
        (Level.FAIL, "table sync_event does not exist"),
    ]


def test_orphans_are_counted_by_kind_and_can_be_listed(index: Index) -> None:
    if not index.dialect.in_a_file:
        index.execute("SET FOREIGN_KEY_CHECKS = 0")
    now = index.now()
    index.execute("INSERT INTO archivefile (acq_id, name, registered) VALUES (7, 'f', ?)", (now,))
    index.executemany(
        "INSERT INTO archivefilecopy (file_id, node_id, has_file, wants_file, ready, last_update) "
        "VALUES (?, 5, 'Y', 'Y', 0, ?)",
        [(1, now), (98, now), (99, now)],
    )
    index.execute(
        "INSERT INTO archivefilecopyrequest (file_id, group_to_id, node_from_id, completed, cancelled) "
        "VALUES (1, 3, 4, 0, 0)"
    )
    index.execute(
        "INSERT INTO archivefileimportrequest (node_id, path, recurse, register, completed) "
        "VALUES (4, 'p', 0, 0, 0)"
    )
    found = orphans(index)
    assert [finding.text.partition(":")[0] for finding in found] == [
        "1 files of no acquisition",
        "2 copies of no file",
        "3 copies on no node",
        "1 copy requests from no node",
        "1 copy requests to no group",
        "1 import requests for no node",
    ]
    assert {finding.level for finding in found} == {Level.WARN}
    listing = found[1].remedy.partition("or delete these: ")[2]
    assert sorted(row[1] for row in index.execute(listing).fetchall()) == [98, 99]


def test_a_node_without_a_host_is_no_orphan(index: Index) -> None:
    index.execute("INSERT INTO storagegroup (name) VALUES ('g')")
    index.execute(
        "INSERT INTO storagenode (name, group_id, active, auto_import, auto_verify, archive, min_avail_gb) "
        "SELECT 'n', id, 0, 0, 0, 0, 0 FROM storagegroup"
    )
    assert faults(orphans(index)) == []


@pytest.mark.parametrize(("offset", "level"), [(30, Level.WARN), (-30, Level.WARN), (3600, Level.FAIL)])
def test_a_server_with_a_wrong_clock_is_reported(mariadb_index_url: str, offset: int, level: Level) -> None:
    index = Index.open(mariadb_index_url)
    schema.create(index)
    # The session's own clock, which UTC_TIMESTAMP follows.
    index.execute(f"SET SESSION timestamp = UNIX_TIMESTAMP() + ({offset})")
    (finding,) = faults(check(index))
    index.close()
    assert finding.level is level
    assert "clocks" in finding.text


def test_an_index_of_another_version_is_not_looked_at(index: Index) -> None:
    index.execute("UPDATE dataindexversion SET version = 9")
    with pytest.raises(IndexUnusable, match="version 9"):
        check(index)


def test_damaged_sha256_sums_are_counted_and_the_remedy_deletes_them(index: Index) -> None:
    columns = "INSERT INTO sync_digest (file_id, size_b, md5sum, sha256) VALUES (?, 1, ?, ?)"
    index.execute(columns, (1, "a" * 32, "b" * 64))
    index.execute(columns, (2, "a" * 32, "b" * 63))
    (found,) = faults(check(index))
    assert found.level is Level.WARN and found.text.endswith(": 1")
    index.execute(found.remedy.partition(": ")[2])
    assert faults(check(index)) == [] and index.value("SELECT file_id FROM sync_digest") == 1
