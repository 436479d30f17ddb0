"""Upgrade of an index of an older release, on both engines: no data is lost, even if it is interrupted."""

from __future__ import annotations

import multiprocessing
import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from alpenhorn.errors import IndexUnusable, Refused
from alpenhorn.index import current, schema
from alpenhorn.index.check import Level, check
from alpenhorn.index.connection import Index
from alpenhorn.index.shapes import Shape, describe, shape_of
from alpenhorn.index.upgrade import do, prepare, upgrade
from alpenhorn.index.upgrade_plan import UpgradePlan
from tests.index.daemon import DAEMON_TABLES
from tests.index.older import OLD, RC1, RELEASES, assert_moved, kept, make_older_index, old_values, rows

fork = multiprocessing.get_context("fork")


@pytest.fixture(params=RELEASES)
def older(index_url: str, request: pytest.FixtureRequest) -> Iterator[Index]:
    index = Index.open(index_url, create=True)
    make_older_index(index, request.param)
    yield index
    index.close()


@pytest.fixture
def rc2(index_url: str) -> Iterator[Index]:
    index = Index.open(index_url, create=True)
    make_older_index(index)
    yield index
    index.close()


def planned(index: Index) -> UpgradePlan:
    found = prepare(index)[2]
    assert found is not None
    return found


def carry_out(index: Index, target: Path) -> None:
    for _ in upgrade(index, planned(index), target):
        pass


def test_upgrade_moves_all_values_and_changes_nothing_else(older: Index, tmp_path: Path) -> None:
    before = kept(older)
    carry_out(older, tmp_path / "dump")
    current.require_current(older)
    assert schema.create(older) == []
    assert kept(older) == before
    assert_moved(older)
    assert [finding for finding in check(older) if finding.level is Level.FAIL] == []
    assert prepare(older)[::2] == (Shape.CURRENT, None)
    assert stat.S_IMODE((tmp_path / "dump").stat().st_mode) == 0o600


def test_upgraded_tables_are_those_of_a_new_index(rc2: Index, index_url: str, tmp_path: Path) -> None:
    """Except for the order of columns, defaults of added NOT NULL columns, and types of the older program."""
    carry_out(rc2, tmp_path / "dump")
    if rc2.dialect.in_a_file:
        fresh = Index.open(index_url.replace("index.db", "fresh.db"), create=True)
    else:
        fresh = Index.open(index_url)
        name = fresh.execute("SELECT DATABASE()").fetchone()[0]
        fresh.execute(f"CREATE DATABASE {name}_fresh")
        fresh.execute(f"USE {name}_fresh")
    try:
        schema.create(fresh)
        for table in DAEMON_TABLES:
            ours, theirs = (
                {column.name: (column.null, column.primary_key) for column in index.db.get_columns(table)}
                for index in (rc2, fresh)
            )
            assert ours == theirs, table
            indexes, others = (
                {(one.name, tuple(one.columns), one.unique) for one in index.db.get_indexes(table)}
                for index in (rc2, fresh)
            )
            assert indexes == others, table
            keys, more = (
                {(key.column, key.dest_table, key.dest_column) for key in index.db.get_foreign_keys(table)}
                for index in (rc2, fresh)
            )
            assert keys == more, table
    finally:
        if not fresh.dialect.in_a_file:
            fresh.execute(f"DROP DATABASE {name}_fresh")
        fresh.close()


def test_a_column_missing_from_a_large_table_is_added_with_its_default(rc2: Index, tmp_path: Path) -> None:
    rc2.execute("ALTER TABLE archivefilecopy DROP COLUMN ready")
    rc2.execute("ALTER TABLE storagegroup DROP COLUMN io_config")
    rc2.execute("DROP TABLE archivefileimportrequest")
    carry_out(rc2, tmp_path / "dump")
    current.require_current(rc2)
    assert set(rows(rc2, "SELECT ready FROM archivefilecopy")) == {(0,)}
    assert set(rows(rc2, "SELECT io_config FROM storagegroup")) == {(None,)}
    assert [finding for finding in check(rc2) if finding.level is Level.FAIL] == []


def test_indexes_of_others_over_old_columns_are_named_and_go(rc2: Index, tmp_path: Path) -> None:
    rc2.execute("CREATE UNIQUE INDEX by_host ON storagenode (host, name)")
    rc2.execute("CREATE INDEX by_root ON storagenode (root)")
    texts = [str(step) for step in planned(rc2).steps]
    assert "drop the index by_host of the table storagenode, on host, name" in texts
    carry_out(rc2, tmp_path / "dump")
    names = {one.name for one in rc2.db.get_indexes("storagenode")}
    assert "by_root" in names and "by_host" not in names


def test_tables_of_others_are_not_disturbed(rc2: Index, tmp_path: Path) -> None:
    rc2.execute(
        "CREATE TABLE theirs (id INTEGER NOT NULL PRIMARY KEY, node_id INTEGER REFERENCES storagenode (id))"
    )
    rc2.execute("INSERT INTO theirs VALUES (1, 4)")
    rc2.execute(
        "CREATE VIEW their_view AS SELECT t.id, n.name FROM theirs t JOIN storagenode n ON n.id = t.node_id"
    )
    keys = rc2.db.get_foreign_keys("theirs")
    carry_out(rc2, tmp_path / "dump")
    assert rows(rc2, "SELECT id, name FROM their_view") == [(1, "vault")]
    assert rc2.db.get_foreign_keys("theirs") == keys


def test_a_step_that_fails_loses_nothing(rc2: Index, tmp_path: Path) -> None:
    if rc2.dialect.in_a_file:
        rc2.execute("ALTER TABLE storagenode ADD COLUMN theirs INTEGER CHECK (theirs <> host)")
    else:
        rc2.execute("ALTER TABLE storagenode ADD CONSTRAINT theirs CHECK (host <> name)")
    before = kept(rc2), old_values(rc2)
    with pytest.raises(
        IndexUnusable, match=r"cannot drop the columns .*(nothing was changed|again to continue)"
    ):
        carry_out(rc2, tmp_path / "dump")
    assert (kept(rc2), old_values(rc2)) == before
    if rc2.dialect.in_a_file:
        assert "storagehost" not in rc2.db.get_tables()
        return
    rc2.execute("ALTER TABLE storagenode DROP CONSTRAINT theirs")
    carry_out(rc2, tmp_path / "again")
    assert kept(rc2) == before[0]
    assert_moved(rc2)


def refused(index: Index, tmp_path: Path, words: str) -> None:
    tables = index.db.get_tables()
    with pytest.raises(Refused, match=words):
        carry_out(index, tmp_path / "dump")
    assert index.db.get_tables() == tables
    assert not [name for name in os.listdir(tmp_path) if "dump" in name]


@pytest.mark.parametrize("host", ["ALP1", "alp1 ", "álp1"])
def test_hosts_that_the_server_takes_for_one_are_refused(
    mariadb_index_url: str, tmp_path: Path, host: str
) -> None:
    index = Index.open(mariadb_index_url)
    make_older_index(index)
    index.execute("UPDATE storagenode SET host = ? WHERE name = 'disk1'", (host,))
    refused(index, tmp_path, f"{host!r}.* equal for the server, but they would become 2")
    index.close()


def test_sqlite_compares_bytes_so_they_were_two_hosts_and_stay_two(
    sqlite_index_url: str, tmp_path: Path
) -> None:
    index = Index.open(sqlite_index_url, create=True)
    make_older_index(index)
    index.execute("UPDATE storagenode SET host = 'ALP1' WHERE name = 'disk1'")
    carry_out(index, tmp_path / "dump")
    assert {name for (name,) in rows(index, "SELECT name FROM storagehost")} == {"ALP1", "alp1", "alp2"}
    index.close()


def test_triggers_and_views_in_the_way_are_refused(rc2: Index, tmp_path: Path) -> None:
    body = "BEGIN SELECT 1; END" if rc2.dialect.in_a_file else "SET @gone = OLD.id"
    rc2.execute(f"CREATE TRIGGER t AFTER DELETE ON archiveacq FOR EACH ROW {body}")
    refused(rc2, tmp_path, "archiveacq: has the trigger t")
    rc2.execute("DROP TRIGGER t")
    rc2.execute("CREATE VIEW theirs AS SELECT n.host FROM storagenode n")
    refused(rc2, tmp_path, "view theirs: may use columns")


def test_a_change_since_the_plan_was_shown_is_refused(rc2: Index, tmp_path: Path) -> None:
    shown = planned(rc2)
    rc2.execute("UPDATE storagenode SET host = 'alp3' WHERE name = 'old'")
    with pytest.raises(Refused, match="another program changed the index"):
        next(upgrade(rc2, shown, tmp_path / "dump"))
    assert not (tmp_path / "dump").exists()


def test_a_change_by_another_program_in_the_middle_is_not_lost(
    mariadb_index_url: str, tmp_path: Path
) -> None:
    """On MariaDB, where other programs are not always excluded: the old columns stay, the next upgrade moves it."""
    rc2 = Index.open(mariadb_index_url)
    make_older_index(rc2)
    other = Index.open(mariadb_index_url)
    with pytest.raises(IndexUnusable, match="another program changed a node"):
        for step in upgrade(rc2, planned(rc2), tmp_path / "dump"):
            if str(step).startswith("set host_id"):
                other.execute("UPDATE storagenode SET host = 'alp2' WHERE name = 'disk1'")
    assert shape_of(describe(rc2))[0] is Shape.HALF
    carry_out(rc2, tmp_path / "again")
    assert rows(
        rc2, "SELECT h.name FROM storagenode n JOIN storagehost h ON h.id = n.host_id WHERE n.name = 'disk1'"
    ) == [("alp2",)]
    other.close()
    rc2.close()


def test_a_table_in_use_is_reported_before_any_change(index_url: str, tmp_path: Path) -> None:
    index = Index.open(index_url, create=True)
    make_older_index(index)
    other = Index.open(index_url)
    tables = index.db.get_tables()
    if index.dialect.in_a_file:
        index.execute("PRAGMA busy_timeout = 100")
    else:
        index.execute("SET SESSION lock_wait_timeout = 1")
    with other.transaction():
        other.execute("UPDATE storagenode SET avail_gb = 1")
        with pytest.raises(IndexUnusable, match=r"locked by another program|: busy"):
            carry_out(index, tmp_path / "dump")
    assert index.db.get_tables() == tables
    assert not (tmp_path / "dump").exists()
    other.close()
    index.close()


def test_a_newer_index_is_not_touched(rc2: Index, tmp_path: Path) -> None:
    rc2.execute("UPDATE dataindexversion SET version = 3")
    with pytest.raises(IndexUnusable, match=r"version 3 of the component alpenhorn.*newer alpenhorn"):
        prepare(rc2)


def test_an_empty_database_has_nothing_to_upgrade(index_url: str) -> None:
    index = Index.open(index_url, create=True)
    with pytest.raises(IndexUnusable, match="no tables; run `alpenhorn db init`"):
        prepare(index)
    index.close()


def test_upgrade_that_stops_half_way_changes_nothing_on_sqlite(sqlite_index_url: str, tmp_path: Path) -> None:
    index = Index.open(sqlite_index_url, create=True)
    make_older_index(index)
    before = kept(index), old_values(index), index.db.get_tables()
    going = upgrade(index, planned(index), tmp_path / "dump")
    for step in going:
        if str(step).startswith("set host_id"):
            break
    going.close()  # type: ignore[attr-defined]
    assert (kept(index), old_values(index), index.db.get_tables()) == before
    index.close()


def _die_after(url: str, number: int, target: Path) -> None:
    index = Index.open(url)
    for count, _ in enumerate(upgrade(index, planned(index), target)):
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("release", RELEASES)
def test_killed_between_any_two_steps_it_is_refused_and_finished(
    index_url: str, release: str, tmp_path: Path
) -> None:
    """Each upgrade is killed after its first step, and the next one continues from there."""
    index = Index.open(index_url, create=True)
    make_older_index(index, release)
    before, moved = kept(index), old_values(index)
    steps = len(planned(index).steps)
    for number in range(1, steps + 1):
        # On SQLite all begins again, so that it is killed one step later each time.
        process = fork.Process(
            target=_die_after,
            args=(index_url, number if index.dialect.in_a_file else 1, tmp_path / f"dump{number}"),
        )
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert kept(index) == before
        shape, _ = shape_of(describe(index))
        if shape is Shape.CURRENT:
            break
        assert old_values(index) == moved
        assert shape is (Shape.HALF if not index.dialect.in_a_file else Shape(release))
        for look in (current.require_current, schema.create):
            with pytest.raises(IndexUnusable, match="`alpenhorn db upgrade`"):
                look(index)
    if shape is not Shape.CURRENT:
        # What is there already is not planned again, but filling the nodes always is.
        carry_out(index, tmp_path / "dump")
    current.require_current(index)
    assert kept(index) == before
    assert_moved(index)
    index.close()


def test_without_the_last_look_a_change_would_be_lost(mariadb_index_url: str) -> None:
    """The mutant of the rule above: only the statement of the last step."""
    index = Index.open(mariadb_index_url)
    make_older_index(index, RC1)
    *steps, last = planned(index).steps
    for step in steps:
        do(index, step)
    index.execute("UPDATE storagenode SET storage_type = 'F' WHERE name = 'vault'")
    with pytest.raises(IndexUnusable, match="another program changed a node"):
        do(index, last)
    index.execute("ALTER TABLE storagenode " + ", ".join(f"DROP COLUMN {column}" for column in OLD))
    with pytest.raises(AssertionError):
        assert rows(index, "SELECT archive FROM storagenode WHERE name = 'vault'") == [(0,)]
    index.close()
