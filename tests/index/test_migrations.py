"""Our own tables, created and brought up to date by steps, on both engines: nothing is lost, whenever it is cut
short."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from alpenhorn.errors import IndexUnusable, Refused
from alpenhorn.index import current, migrations, schema
from alpenhorn.index.check import Level, check, structure
from alpenhorn.index.connection import Index
from alpenhorn.index.migrations import ddl
from alpenhorn.index.migrations.ddl import AddColumn, AddIndex, Column, CreateTable, IndexOn, Migration, Table
from alpenhorn.index.migrations.steps import MIGRATIONS, missing
from alpenhorn.index.shapes import Shape
from alpenhorn.index.tables import ALPENHORN_TABLES, SYNC_TABLES
from alpenhorn.index.upgrade import TABLES, prepare, upgrade
from alpenhorn.index.upgrade_plan import RecordVersion, UpgradePlan
from alpenhorn.index.versions import SYNC_TABLE_NAMES, VERSIONS
from tests.index.daemon import DAEMON_TABLES, make_daemon_index
from tests.index.earlier import (
    EVIDENCE,
    LAST,
    OBSOLETE,
    SAID,
    STATES,
    add_our_tables,
    as_wide_as,
    contents,
    make_earlier_index,
    versions,
    widths,
)
from tests.index.older import RC2, assert_moved, kept, make_older_index, rows
from tests.index.test_dump import read_back

fork = multiprocessing.get_context("fork")

NEWEST = VERSIONS["sync"]

# A made-up step: columns for tables that have rows, a table, and indexes on new and on existing columns.
NEXT = Migration(
    number=NEWEST + 1,
    tables=(Table("sync_colour", (Column("id", ddl.AUTO), Column("name", "VARCHAR(8)"))),),
    columns=(
        ("sync_pin", Column("by", "VARCHAR(64)", default="it's")),
        ("sync_pin", Column("weight", ddl.BIGINT, default=-1)),
        ("sync_event", Column("colour_id", ddl.INTEGER, null=True)),
        ("sync_medium", Column("checked", ddl.DATETIME, null=True)),
    ),
    indexes=(
        IndexOn("sync_colour", "sync_colour_name", ("name",), True),
        IndexOn("sync_event", "sync_event_colour_id", ("colour_id",)),
        IndexOn("archivefile", "sync_file_by_sum", ("md5sum",)),
    ),
)
WITH_NEXT = (*MIGRATIONS, NEXT)


@pytest.fixture
def empty(index_url: str) -> Iterator[Index]:
    index = Index.open(index_url, create=True)
    yield index
    index.close()


@pytest.fixture
def earlier(empty: Index) -> Index:
    make_earlier_index(empty)
    return empty


@contextmanager
def another(url: str) -> Iterator[Index]:
    """An empty database on the same server as the one at `url`."""
    if url.startswith("sqlite"):
        other = Index.open(url.replace("index.db", "other.db"), create=True)
        yield other
        other.close()
        Path(url.removeprefix("sqlite:///").replace("index.db", "other.db")).unlink()
        return
    other = Index.open(url)
    name = f"{other.execute('SELECT DATABASE()').fetchone()[0]}_other"
    other.execute(f"CREATE DATABASE {name}")
    try:
        other.execute(f"USE {name}")
        yield other
    finally:
        other.execute(f"DROP DATABASE {name}")
        other.close()


def planned(index: Index, steps: Sequence[Migration] = MIGRATIONS) -> UpgradePlan:
    found = prepare(index, steps)[2]
    assert found is not None
    return found


def carry_out(index: Index, target: Path, steps: Sequence[Migration] = MIGRATIONS) -> None:
    for _ in upgrade(index, planned(index, steps), target, steps):
        pass


def columns(index: Index, tables: Sequence[str]) -> dict[str, Any]:
    """Names, types, whether null and whether in the key, in their order; on MariaDB also the collation and what numbers
    rows."""
    if index.dialect.in_a_file:
        return {
            table: [
                (one.name, one.data_type, one.null, one.primary_key) for one in index.db.get_columns(table)
            ]
            for table in tables
        }
    return {
        table: rows(
            index,
            "SELECT column_name, column_type, is_nullable, column_key = 'PRI', extra, collation_name "
            f"FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = '{table}' "
            "ORDER BY ordinal_position",
        )
        for table in tables
    }


def indexes(index: Index, tables: Sequence[str]) -> dict[str, set[Any]]:
    return {
        table: {
            (one.name, tuple(one.columns), one.unique)
            for one in index.db.get_indexes(table)
            if not one.name.startswith("sqlite_autoindex") and one.name != OBSOLETE
        }
        for table in tables
    }


ALL = (*DAEMON_TABLES, *SYNC_TABLE_NAMES)


# --- the steps themselves ------------------------------------------------------------------------------


def test_the_newest_step_is_the_version_that_this_program_needs() -> None:
    numbers = [step.number for step in MIGRATIONS]
    assert numbers == list(range(1, VERSIONS["sync"] + 1))


def test_every_file_of_a_step_is_used() -> None:
    files = {path.stem for path in Path(migrations.__path__[0]).glob("step_*.py")}
    assert files == {f"step_{step.number}" for step in MIGRATIONS}


def test_steps_are_frozen_in_their_files() -> None:
    """Migrations do not use the models of tables, which change."""
    code = "import sys, alpenhorn.index.migrations.steps; assert 'alpenhorn.index.tables' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_steps_add_nothing_but_what_has_our_name() -> None:
    for step in MIGRATIONS:
        assert all(table.name.startswith("sync_") for table in step.tables)
        assert all(table.startswith("sync_") and column.addable for table, column in step.columns)
        assert all(one.name.startswith("sync_") for one in step.indexes)
    assert sorted(table.name for step in MIGRATIONS for table in step.tables) == sorted(SYNC_TABLE_NAMES)


def test_all_steps_together_make_what_the_models_declare(index: Index, index_url: str) -> None:
    with another(index_url) as other:
        for table in (*ALPENHORN_TABLES, *SYNC_TABLES):
            schema.create_table(other, table)
        for one in schema.EXTRA_INDEXES:
            other.execute(one.ddl)
        assert set(index.db.get_tables()) == set(other.db.get_tables()) == set(ALL)
        # A column that came with a later step is the last.
        assert {table: sorted(found) for table, found in columns(index, ALL).items()} == {
            table: sorted(found) for table, found in columns(other, ALL).items()
        }
        assert indexes(index, ALL) == indexes(other, ALL)


def test_step_1_is_the_last_state_of_version_1(empty: Index, index_url: str) -> None:
    make_daemon_index(empty)
    for part in missing(empty, MIGRATIONS[:1]):
        ddl.apply(empty, part)
    later = {table.name for step in MIGRATIONS[1:] for table in step.tables}
    tables = [table for table in ALL if table not in later]
    with another(index_url) as other:
        make_earlier_index(other, LAST)
        assert set(empty.db.get_tables()) == set(other.db.get_tables()) == set(tables)
        assert columns(empty, tables) == columns(other, tables)
        assert indexes(empty, tables) == indexes(other, tables)
        assert missing(other, MIGRATIONS[:1]) == []


# --- each earlier state --------------------------------------------------------------------------------


@pytest.mark.parametrize("state", STATES)
def test_every_earlier_state_comes_up_to_date_without_loss(
    empty: Index, index_url: str, tmp_path: Path, state: str
) -> None:
    make_earlier_index(empty, state)
    before, width = contents(empty), widths(empty)
    carry_out(empty, tmp_path / "dump")
    current.require_current(empty)
    after = contents(empty)
    assert versions(empty) == VERSIONS
    left = as_wide_as(after, width)
    for table in before:
        assert table == "dataindexversion" or left[table] == before[table], table
    assert not any(after[table] for table in after.keys() - before.keys())
    assert set(after) == set(ALL)
    assert prepare(empty)[::2] == (Shape.CURRENT, None)
    assert schema.create(empty) == []
    assert [finding for finding in check(empty) if finding.level is Level.FAIL] == []
    with another(index_url) as new:
        make_daemon_index(new)
        schema.create(new)
        assert columns(empty, ALL) == columns(new, ALL)
        assert indexes(empty, ALL) == indexes(new, ALL)


@pytest.mark.parametrize("state", STATES)
def test_the_dump_restores_the_index(empty: Index, index_url: str, tmp_path: Path, state: str) -> None:
    make_earlier_index(empty, state)
    before = contents(empty)
    carry_out(empty, tmp_path / "dump")
    empty.execute("INSERT INTO sync_index (name, value) VALUES ('later', '')")
    if empty.dialect.in_a_file:
        back = Index.open(f"sqlite:///{tmp_path / 'dump'}")
        assert contents(back) == before
        back.close()
    else:
        read_back(index_url, tmp_path / "dump")
        empty.disconnect()
        assert contents(empty) == before


@pytest.mark.parametrize("state", STATES)
def test_index_of_an_earlier_version_is_refused_with_the_remedy_and_unchanged(
    empty: Index, state: str
) -> None:
    make_earlier_index(empty, state)
    before = contents(empty)
    for look in (current.require_current, schema.create, lambda index: schema.create(index, "sync")):
        with pytest.raises(
            IndexUnusable,
            match=rf"has version {SAID.get(state, 1)} of the component sync, this program needs version {NEWEST}; "
            "run `alpenhorn db upgrade`; nothing was changed$",
        ):
            look(empty)
    assert contents(empty) == before


def test_the_plan_of_an_upgrade_is_shown(earlier: Index) -> None:
    shape, why, plan = prepare(earlier)
    assert shape is Shape.CURRENT
    assert why == f"has version 1 of the component sync, this program needs version {NEWEST}"
    assert plan is not None and (plan.notes, plan.problems) == ((), ())
    texts = [str(step) for step in plan.steps]
    assert texts[:3] == [f"create the table {table}" for table in EVIDENCE]
    assert texts[-1] == f"record version {NEWEST} of the component sync"


def test_a_daemon_index_has_nothing_to_upgrade(empty: Index) -> None:
    make_daemon_index(empty)
    assert prepare(empty)[::2] == (Shape.CURRENT, None)


def test_an_older_release_with_some_of_our_tables_is_brought_up_too(empty: Index, tmp_path: Path) -> None:
    """The state after an interrupted upgrade by an earlier version of this program."""
    make_older_index(empty, RC2)
    add_our_tables(empty)
    empty.execute("INSERT INTO sync_pin (file_id, node_id, pinned) VALUES (1, 1, '2026-01-02 03:04:05')")
    before, pins = kept(empty), rows(empty, "SELECT * FROM sync_pin")
    with pytest.raises(IndexUnusable, match="`alpenhorn db upgrade`"):
        current.require_current(empty)
    carry_out(empty, tmp_path / "dump")
    current.require_current(empty)
    assert kept(empty) == before and rows(empty, "SELECT * FROM sync_pin") == pins
    assert_moved(empty)
    assert versions(empty) == VERSIONS
    assert missing(empty) == []


def test_tables_of_the_current_version_that_went_come_back(index: Index) -> None:
    index.execute("DROP TABLE sync_medium")
    index.execute("DROP INDEX sync_pin_file_id_node_id" + ("" if index.dialect.in_a_file else " ON sync_pin"))
    index.execute("ALTER TABLE sync_run DROP COLUMN counts")
    (finding,) = [one for one in structure(index) if "sync_run" in one.text]
    assert finding.remedy == "run `alpenhorn db init`"
    assert schema.create(index) == [
        "column sync_run.counts",
        "index sync_pin_file_id_node_id",
        "table sync_medium",
    ]
    assert schema.create(index) == [] and missing(index) == []


def test_a_table_without_a_column_of_its_own_is_damaged(earlier: Index, tmp_path: Path) -> None:
    earlier.execute("ALTER TABLE sync_run DROP COLUMN host")
    before = contents(earlier)
    words = "table sync_run: column host is missing and cannot be added; restore the index from a backup"
    assert planned(earlier).problems == (words,)
    with pytest.raises(Refused, match=words):
        carry_out(earlier, tmp_path / "dump")
    assert contents(earlier) == before
    earlier.execute(f"UPDATE dataindexversion SET version = {NEWEST} WHERE component = 'sync'")
    with pytest.raises(IndexUnusable, match=words):
        schema.create(earlier)
    assert not (tmp_path / "dump").exists()


def test_triggers_that_the_dump_does_not_contain_are_named(
    mariadb_index_url: str, sqlite_index_url: str
) -> None:
    for url in (mariadb_index_url, sqlite_index_url):
        index = Index.open(url, create=True)
        make_earlier_index(index)
        body = "BEGIN SELECT 1; END" if index.dialect.in_a_file else "SET @gone = OLD.id"
        index.execute(f"CREATE TRIGGER theirs AFTER DELETE ON archiveacq FOR EACH ROW {body}")
        notes = planned(index).notes
        assert notes == (
            ()
            if index.dialect.in_a_file
            else ("the dump does not contain the trigger theirs of the table archiveacq",)
        )
        index.close()


# --- cut short -----------------------------------------------------------------------------------------


def _die_after(url: str, number: int, target: Path, steps: Sequence[Migration]) -> None:
    index = Index.open(url)
    for count, _ in enumerate(upgrade(index, planned(index, steps), target, steps)):
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)


def kill_after(url: str, number: int, target: Path, steps: Sequence[Migration]) -> None:
    process = fork.Process(target=_die_after, args=(url, number, target, steps))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


@pytest.mark.parametrize("state", ["before pins", LAST, "cut short"])
@pytest.mark.parametrize("steps", [MIGRATIONS, WITH_NEXT], ids=["steps", "and a made-up one"])
def test_killed_between_any_two_parts_it_is_finished(
    index_url: str, tmp_path: Path, state: str, steps: Sequence[Migration], long: bool
) -> None:
    """Without --long, after every third part."""
    index = Index.open(index_url, create=True)
    make_earlier_index(index, state)
    before = contents(index)
    number = 0
    left = planned(index, steps).steps
    while left != (RecordVersion("sync", steps[-1].number),):
        # On SQLite all begins again, so that it is killed after more parts each time.
        done = number if index.dialect.in_a_file else 0
        more = min(1 if long else 3, len(left) - 1 - done)
        number += more
        kill_after(index_url, done + more, tmp_path / f"dump{number}", steps)
        assert versions(index)["sync"] == 1
        assert_kept(index, before)
        with pytest.raises(IndexUnusable, match="run `alpenhorn db upgrade`"):
            current.require_current(index)
        still = planned(index, steps).steps
        if index.dialect.in_a_file:
            assert still == left
            if number == len(left) - 1:
                break
        else:
            assert still == left[more:]
        left = still
    assert number >= 3
    carry_out(index, tmp_path / "dump", steps)
    assert_kept(index, before)
    assert missing(index, steps) == []
    assert versions(index)["sync"] == steps[-1].number
    index.close()


def assert_kept(index: Index, before: dict[str, list[tuple[Any, ...]]]) -> None:
    """Every row has its former values; it may have additional columns."""
    for table, found in before.items():
        if table != "dataindexversion":
            width = len(found[0]) if found else 0
            now = [row[:width] for row in rows(index, f"SELECT * FROM {table}")]
            assert sorted(now, key=repr) == found, table


def _wait_after(url: str, number: int, target: Path, begun: Any, go_on: Any) -> None:
    index = Index.open(url)
    for count, _ in enumerate(upgrade(index, planned(index), target)):
        if count == number:
            begun.set()
            go_on.wait(60)
    index.close()


def test_another_upgrade_at_the_same_time_changes_nothing(index_url: str, tmp_path: Path) -> None:
    """The second upgrade was planned before the first changed anything, waits for it, and is refused."""
    index = Index.open(index_url, create=True)
    make_earlier_index(index)
    shown = planned(index)
    begun, go_on = fork.Event(), fork.Event()
    first = fork.Process(target=_wait_after, args=(index_url, 2, tmp_path / "dump", begun, go_on))
    first.start()
    assert begun.wait(60)
    if index.dialect.in_a_file:
        index.execute("PRAGMA busy_timeout = 100")
        with pytest.raises(IndexUnusable, match="locked by another program"):
            next(upgrade(index, shown, tmp_path / "second"))
        index.execute("PRAGMA busy_timeout = 60000")
    go_on.set()
    with pytest.raises(Refused, match="another program changed the index"):
        next(upgrade(index, shown, tmp_path / "second"))
    first.join()
    assert first.exitcode == 0
    assert not (tmp_path / "second").exists()
    current.require_current(index)
    index.close()


def _upgrade(url: str, target: Path, answers: Any) -> None:
    index = Index.open(url)
    try:
        carry_out(index, target)
        answers.put(None)
    except Exception as error:
        answers.put(error)
    finally:
        index.close()


def test_a_second_upgrade_waits_before_it_looks(mariadb_index_url: str, tmp_path: Path) -> None:
    """On MariaDB, where no transaction excludes the second, the first has not changed anything yet."""
    index = Index.open(mariadb_index_url)
    make_earlier_index(index)
    begun, go_on, answers = fork.Event(), fork.Event(), fork.Queue()
    first = fork.Process(target=_wait_after, args=(mariadb_index_url, 0, tmp_path / "dump", begun, go_on))
    second = fork.Process(target=_upgrade, args=(mariadb_index_url, tmp_path / "second", answers))
    waiting = (
        "SELECT COUNT(*) FROM information_schema.processlist WHERE db = DATABASE() AND state = 'User lock'"
    )
    first.start()
    try:
        assert begun.wait(60)
        second.start()
        while rows(index, waiting) != [(1,)]:
            assert second.is_alive()
    finally:
        go_on.set()
        first.join()
    with pytest.raises(Refused, match="another program changed the index"):
        raise answers.get(timeout=60)
    second.join()
    assert first.exitcode == second.exitcode == 0
    assert not (tmp_path / "second").exists()
    current.require_current(index)
    index.close()


# --- a later step --------------------------------------------------------------------------------------


def test_a_step_that_adds_columns_to_tables_with_rows(empty: Index, index_url: str, tmp_path: Path) -> None:
    make_earlier_index(empty, "version 1 with the tables of version 2")
    carry_out(empty, tmp_path / "first")
    before = contents(empty)
    texts = [str(step) for step in planned(empty, WITH_NEXT).steps]
    assert texts == [
        "create the table sync_colour",
        "add the column by to the table sync_pin",
        "add the column weight to the table sync_pin",
        "add the column colour_id to the table sync_event",
        "add the column checked to the table sync_medium",
        "add the index sync_event_colour_id to the table sync_event",
        "add the index sync_file_by_sum to the table archivefile",
        f"record version {NEXT.number} of the component sync",
    ]
    carry_out(empty, tmp_path / "second", WITH_NEXT)
    after = contents(empty)
    assert after["sync_pin"] == [(*row, "it's", -1) for row in before["sync_pin"]] != []
    assert after["sync_event"] == [(*row, None) for row in before["sync_event"]] != []
    assert after["sync_medium"] == [(*row, None) for row in before["sync_medium"]] != []
    assert prepare(empty, WITH_NEXT)[2] is None and missing(empty, WITH_NEXT) == []
    # Made anew by the same steps, it is the same.
    with another(index_url) as new:
        make_daemon_index(new)
        for part in missing(new, WITH_NEXT):
            ddl.apply(new, part)
        tables = [*ALL, "sync_colour"]
        assert columns(empty, tables) == columns(new, tables)
        assert indexes(empty, tables) == indexes(new, tables)
    # This program, which does not know that step, leaves it alone.
    for look in (current.require_current, schema.create, prepare):
        with pytest.raises(
            IndexUnusable,
            match=f"has version {NEXT.number} of the component sync, this program needs version {NEWEST}; "
            "install a newer alpenhorn$",
        ):
            look(empty)
    assert contents(empty) == after


def test_rows_that_an_older_program_writes_fit_the_new_columns(earlier: Index, tmp_path: Path) -> None:
    """A run that began before the upgrade continues."""
    carry_out(earlier, tmp_path / "dump", WITH_NEXT)
    earlier.execute("INSERT INTO sync_pin (file_id, node_id, pinned) VALUES (9, 9, '2026-01-02 03:04:05')")
    quoted = '"by"' if earlier.dialect.in_a_file else "`by`"
    assert rows(earlier, f"SELECT {quoted}, weight FROM sync_pin WHERE file_id = 9") == [("it's", -1)]


def test_parts_that_are_there_are_not_missing(earlier: Index) -> None:
    parts = missing(earlier, WITH_NEXT)
    assert {type(part) for part in parts} == {CreateTable, AddColumn, AddIndex}
    for number, part in enumerate(parts):
        ddl.apply(earlier, part)
        assert missing(earlier, WITH_NEXT) == parts[number + 1 :]
    assert len(TABLES) == len(ALL)
