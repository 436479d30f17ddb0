"""Creation of the index, and refusal of unsuitable ones, on both engines."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import peewee as pw
import pytest

from alpenhorn.errors import IndexUnusable, Refused
from alpenhorn.index import current, schema, versions
from alpenhorn.index.connection import Index
from alpenhorn.index.tables import (
    ALPENHORN_TABLES,
    SYNC_TABLES,
    ArchiveAcq,
    ArchiveFile,
    ArchiveFileCopy,
    StorageGroup,
    StorageNode,
)
from tests.index.daemon import DAEMON_TABLES, make_daemon_index
from tests.index.older import RELEASES, make_older_index

fork = multiprocessing.get_context("fork")


@pytest.fixture
def empty(index_url: str) -> Any:
    index = Index.open(index_url, create=True)
    yield index
    index.close()


def columns(index: Index) -> dict[str, list[Any]]:
    """The engine's description of the columns of the daemon's tables."""
    return {table: index.db.get_columns(table) for table in DAEMON_TABLES}


def indexes(index: Index) -> dict[str, set[Any]]:
    return {
        table: {(found.name, tuple(found.columns), found.unique) for found in index.db.get_indexes(table)}
        for table in DAEMON_TABLES
    }


def test_a_fresh_index_has_all_tables_indexes_and_versions(index: Index) -> None:
    names = {table._meta.table_name for table in (*ALPENHORN_TABLES, *SYNC_TABLES)}
    assert set(index.db.get_tables()) == names
    assert set(DAEMON_TABLES) < names
    noted = index.execute("SELECT component, version FROM dataindexversion").fetchall()
    assert dict(noted) == versions.VERSIONS
    for table in (*ALPENHORN_TABLES, *SYNC_TABLES):
        assert schema.absent(index, schema.declared_indexes(table)) == []
    assert schema.absent(index, schema.EXTRA_INDEXES) == []
    current.require_current(index)


def test_a_fresh_index_is_that_of_the_daemon(index: Index, empty: Index, index_url: str) -> None:
    if index.dialect.in_a_file:
        other = Index.open(index_url.replace("index.db", "daemon.db"), create=True)
    else:
        other = Index.open(index_url)
        name = other.execute("SELECT DATABASE()").fetchone()[0]
        other.execute(f"CREATE DATABASE {name}_daemon")
        other.execute(f"USE {name}_daemon")
    try:
        make_daemon_index(other)
        assert columns(index) == columns(other)
        ours = {one for found in indexes(index).values() for one in found if not one[0].startswith("sync_")}
        assert ours == {one for found in indexes(other).values() for one in found}
    finally:
        if not other.dialect.in_a_file:
            other.execute(f"DROP DATABASE {name}_daemon")
        other.close()


def test_creating_again_adds_nothing(index: Index) -> None:
    assert schema.create(index) == []


def test_a_daemon_index_gains_only_additions(empty: Index) -> None:
    make_daemon_index(empty)
    empty.execute("INSERT INTO storagegroup (name) VALUES ('old')")
    columns_before, indexes_before = columns(empty), indexes(empty)
    with pytest.raises(IndexUnusable, match="sync; run `alpenhorn db init`"):
        current.require_current(empty)
    added = schema.create(empty)
    current.require_current(empty)
    assert {what.split()[1] for what in added if what.startswith("table")} == {
        table._meta.table_name for table in SYNC_TABLES
    }
    assert columns(empty) == columns_before
    gained = {name for table in DAEMON_TABLES for name, _, _ in indexes(empty)[table] - indexes_before[table]}
    assert gained == {extra.name for extra in schema.EXTRA_INDEXES}
    for table in DAEMON_TABLES:
        assert indexes_before[table] <= indexes(empty)[table]
    assert empty.execute("SELECT name FROM storagegroup").fetchall() in ([("old",)], (("old",),))
    assert schema.create(empty) == []


def test_components_are_created_one_at_a_time_the_daemons_first(empty: Index) -> None:
    with pytest.raises(Refused, match="without --only"):
        schema.create(empty, "sync")
    assert empty.db.get_tables() == []
    schema.create(empty, "alpenhorn")
    assert not any(name.startswith("sync_") for name in empty.db.get_tables())
    assert not any(name.startswith("sync_") for found in indexes(empty).values() for name, _, _ in found)
    schema.create(empty, "sync")
    current.require_current(empty)
    assert schema.create(empty) == []


def test_a_creation_that_was_cut_short_is_finished(index: Index) -> None:
    on = "" if index.dialect.in_a_file else " ON archiveacq"
    index.execute(f"DROP INDEX archiveacq_name{on}")
    index.execute("DROP TABLE sync_event")
    index.execute("DELETE FROM dataindexversion")
    with pytest.raises(IndexUnusable, match="no tables of the component alpenhorn"):
        current.require_current(index)
    added = schema.create(index)
    assert {"index archiveacq_name", "table sync_event"} < set(added)
    assert schema.absent(index, schema.declared_indexes(ArchiveAcq)) == []
    current.require_current(index)


def test_indexes_of_a_finished_daemon_index_are_left_as_they_are(empty: Index) -> None:
    make_daemon_index(empty)
    on = "" if empty.dialect.in_a_file else " ON archiveacq"
    empty.execute(f"DROP INDEX archiveacq_name{on}")
    schema.create(empty)
    assert [one.name for one in schema.absent(empty, schema.declared_indexes(ArchiveAcq))] == [
        "archiveacq_name"
    ]


def _create(url: str, barrier: Barrier, answers: Any) -> None:
    index = Index.open(url, create=True)
    try:
        barrier.wait(30)
        answers.put(schema.create(index))
    except Exception as error:
        answers.put(error)
    finally:
        index.close()


def test_several_creations_at_once_share_the_work(index_url: str) -> None:
    barrier, answers = fork.Barrier(4), fork.Queue()
    processes = [fork.Process(target=_create, args=(index_url, barrier, answers)) for _ in range(4)]
    for process in processes:
        process.start()
    found = [answers.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert all(isinstance(added, list) for added in found), found
    assert sorted(map(bool, found)) == [False, False, False, True]
    index = Index.open(index_url)
    current.require_current(index)
    index.close()


def test_an_empty_database_is_refused_with_the_remedy(empty: Index) -> None:
    with pytest.raises(IndexUnusable, match="no tables; run `alpenhorn db init`"):
        current.require_current(empty)


def test_a_missing_table_is_refused_with_the_remedy(index: Index) -> None:
    if not index.dialect.in_a_file:
        index.execute("SET FOREIGN_KEY_CHECKS = 0")
    index.execute("DROP TABLE storagegroup")
    with pytest.raises(IndexUnusable, match="missing tables: storagegroup; run `alpenhorn db init`"):
        current.require_current(index)


def test_our_tables_may_go_and_come_back(index: Index) -> None:
    names = [table._meta.table_name for table in SYNC_TABLES]
    for name in names:
        index.execute(f"DROP TABLE {name}")
    with pytest.raises(IndexUnusable, match=f"missing tables: {', '.join(names)}; run `alpenhorn db init`"):
        current.require_current(index)
    schema.create(index)
    current.require_current(index)


@pytest.mark.parametrize("release", RELEASES)
def test_an_older_release_is_named_and_refused_and_left_alone(empty: Index, release: str) -> None:
    make_older_index(empty, release)
    before = empty.db.get_tables()
    for look in (current.require_current, schema.create):
        with pytest.raises(
            IndexUnusable,
            match=rf"alpenhorn {release} \(.*host, username, address, storage_type .*`alpenhorn db upgrade`",
        ):
            look(empty)
    assert empty.db.get_tables() == before


@pytest.mark.parametrize("column", ["host", "storage_type"])
def test_old_columns_beside_the_new_ones_are_refused(index: Index, column: str) -> None:
    index.execute(f"ALTER TABLE storagenode ADD COLUMN {column} VARCHAR(64)")
    with pytest.raises(IndexUnusable, match="tables of an unknown release"):
        current.require_current(index)
    for other in {"host", "username", "address", "storage_type"} - {column}:
        index.execute(f"ALTER TABLE storagenode ADD COLUMN {other} VARCHAR(64)")
    for look in (current.require_current, schema.create):
        with pytest.raises(IndexUnusable, match=r"partly upgraded .*run `alpenhorn db upgrade` again"):
            look(index)


@pytest.mark.parametrize(
    ("component", "version", "remedy"),
    [
        ("alpenhorn", 3, "install a newer alpenhorn"),
        ("alpenhorn", 1, "migrate it with the program that created it"),
        ("sync", versions.VERSIONS["sync"] + 1, "install a newer alpenhorn"),
        ("sync", versions.VERSIONS["sync"] - 1, "run `alpenhorn db upgrade`; nothing was changed"),
    ],
)
def test_another_version_is_refused(index: Index, component: str, version: int, remedy: str) -> None:
    index.execute("UPDATE dataindexversion SET version = ? WHERE component = ?", (version, component))
    needed = versions.VERSIONS[component]
    for look in (current.require_current, schema.create):
        with pytest.raises(
            IndexUnusable,
            match=f"version {version} of the component {component}, .* version {needed}; .*{remedy}",
        ):
            look(index)


def test_a_newer_daemon_may_add_columns(index: Index) -> None:
    index.execute("ALTER TABLE storagenode ADD COLUMN colour VARCHAR(8)")
    current.require_current(index)


ALIKE = ("Data.h5", "data.h5", "café", "cafe", "sp", "sp ", "\N{SATELLITE}", "\N{ROCKET}", "a\u0301", "á")


def test_names_compare_byte_for_byte(index: Index) -> None:
    for name in ALIKE:
        ArchiveAcq.create(name=name)
    for name in ALIKE:
        assert [acq.name for acq in ArchiveAcq.select().where(ArchiveAcq.name == name)] == [name]
        assert index.execute("SELECT name FROM archiveacq WHERE name = ?", (name,)).fetchone() == (name,)


def test_enums_are_native_on_mariadb_and_checked_everywhere(index: Index) -> None:
    types = {column.name: column for column in index.db.get_columns("archivefilecopy")}
    if index.dialect.in_a_file:
        assert types["has_file"].data_type == types["wants_file"].data_type == "VARCHAR(1)"
    else:
        rows = index.execute(
            "SELECT column_name, column_type FROM information_schema.columns WHERE table_schema = DATABASE() "
            "AND table_name = 'archivefilecopy' AND column_name IN ('has_file', 'wants_file')"
        ).fetchall()
        assert set(rows) == {("has_file", "enum('N','Y','M','X')"), ("wants_file", "enum('Y','M','N')")}
    with pytest.raises(ValueError, match="'Q' is not one of N, Y, M, X"):
        ArchiveFileCopy.create(file=1, node=1, has_file="Q", last_update=index.now())


def test_rows_made_with_the_models_read_back(index: Index) -> None:
    group = StorageGroup.create(name="g")
    node = StorageNode.create(name="n", group=group)
    acq = ArchiveAcq.create(name="a")
    now = index.now().replace(microsecond=0)
    file = ArchiveFile.create(acq=acq, name="d/f", size_b=2**40, registered=now)
    ArchiveFileCopy.create(file=file, node=node, has_file="Y", last_update=now)
    row = index.execute(
        "SELECT c.has_file, c.wants_file, c.ready, f.size_b, f.registered "
        "FROM archivefilecopy c JOIN archivefile f ON f.id = c.file_id"
    ).fetchone()
    registered = str(now) if index.dialect.in_a_file else now
    assert row == ("Y", "Y", 0, 2**40, registered)
    with pytest.raises(pw.IntegrityError):
        ArchiveFileCopy.create(file=file, node=node, has_file="N", last_update=now)


# What runs ask of the tables that grow for ever, and the index that serves it.
PAGES = {
    "sync_request_by_group": "SELECT id, file_id, node_from_id FROM archivefilecopyrequest "
    "WHERE completed = 0 AND cancelled = 0 AND group_to_id = 1 AND id > 7000 ORDER BY id LIMIT 100",
    "sync_request_by_source": "SELECT id, file_id, group_to_id FROM archivefilecopyrequest "
    "WHERE completed = 0 AND cancelled = 0 AND node_from_id = 1 AND id > 7000 ORDER BY id LIMIT 100",
    "sync_copy_by_state": "SELECT id, file_id FROM archivefilecopy "
    "WHERE node_id = 1 AND has_file = 'M' AND wants_file = 'Y' AND id > 10 ORDER BY id LIMIT 100",
    "sync_import_by_node": "SELECT id, path FROM archivefileimportrequest "
    "WHERE node_id = 1 AND completed = 0 AND id > 10 ORDER BY id LIMIT 100",
}


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("pending", [0.01, 0.9])
def test_pages_of_pending_work_use_our_indexes_without_a_sort(
    index: Index, name: str, pending: float
) -> None:
    rows = 10_000
    now = index.now()
    states = [0 if number % 1000 < 1000 * pending else 1 for number in range(rows)]
    if not index.dialect.in_a_file:
        index.execute("SET FOREIGN_KEY_CHECKS = 0")
    with index.transaction():
        index.executemany(
            "INSERT INTO archivefilecopyrequest (file_id, group_to_id, node_from_id, completed, cancelled) "
            "VALUES (?, ?, ?, ?, ?)",
            [(n, n % 3 + 1, n % 4 + 1, done, 0) for n, done in enumerate(states)],
        )
        index.executemany(
            "INSERT INTO archivefilecopy (file_id, node_id, has_file, wants_file, ready, last_update) "
            "VALUES (?, ?, ?, ?, 0, ?)",
            [(n, n % 4 + 1, "Y" if done else "M", "Y", now) for n, done in enumerate(states)],
        )
        index.executemany(
            "INSERT INTO archivefileimportrequest (node_id, path, recurse, register, completed) "
            "VALUES (?, ?, 0, 0, ?)",
            [(n % 4 + 1, f"p{n}", done) for n, done in enumerate(states)],
        )
    if index.dialect.in_a_file:
        details = [row[3] for row in index.execute(f"EXPLAIN QUERY PLAN {PAGES[name]}").fetchall()]
        assert len(details) == 1 and name in details[0], details
    else:
        for table in ("archivefilecopyrequest", "archivefilecopy", "archivefileimportrequest"):
            index.execute(f"ANALYZE TABLE {table}").fetchall()
        ((*_, key, _, _, _, extra),) = index.execute(f"EXPLAIN {PAGES[name]}").fetchall()
        assert key == name, (key, extra)
        assert "filesort" not in extra


def test_the_check_at_each_start_looks_for_all_of_our_tables() -> None:
    assert set(versions.SYNC_TABLE_NAMES) == {table._meta.table_name for table in SYNC_TABLES}


def test_a_run_does_without_the_models_of_the_tables(tmp_path: Path) -> None:
    code = (
        "import sys; from alpenhorn.index.connection import Index\n"
        "from alpenhorn.index.current import require_current\n"
        f"require_current(Index.open('sqlite:///{tmp_path}/i.db'))\n"
        "assert 'alpenhorn.index.tables' not in sys.modules"
    )
    index = Index.open(f"sqlite:///{tmp_path}/i.db", create=True)
    schema.create(index)
    index.close()
    subprocess.run([sys.executable, "-c", code], check=True)
