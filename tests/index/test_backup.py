"""A backup is a readable snapshot of the index; older backups are removed only when it is complete."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from alpenhorn.errors import Busy, Refused
from alpenhorn.index import backup, dump
from alpenhorn.index.connection import Index
from alpenhorn.index.schema import COMPONENTS
from tests.index.older import rows
from tests.index.test_dump import HOSTILE, read_back

TABLES = [table._meta.table_name for tables in COMPONENTS.values() for table in tables]


@pytest.fixture
def filled(index: Index) -> Index:
    index.executemany(
        "INSERT INTO archiveacq (name, comment) VALUES (?, ?)",
        [(f"a{number}", text) for number, text in enumerate(HOSTILE)],
    )
    index.executemany(
        "INSERT INTO archivefile (acq_id, name, size_b, md5sum, registered) VALUES (1, ?, ?, ?, ?)",
        [(f"f{n}", n, f"{n:032x}", "2026-01-02 03:04:05") for n in range(3000)],
    )
    return index


def everything(index: Index) -> dict[str, list[tuple[object, ...]]]:
    return {table: rows(index, f"SELECT * FROM {table} ORDER BY 1, 2") for table in TABLES}


def named(directory: Path) -> list[str]:
    return sorted(entry.name for entry in directory.iterdir() if entry.name != backup.LOCK)


def test_backup_reads_back_as_the_index_was(filled: Index, index_url: str, tmp_path: Path) -> None:
    directory = tmp_path / "kept"
    directory.mkdir()
    before = everything(filled)
    made = backup.write(filled, directory, TABLES, 10)
    assert named(directory) == [made.path.name]
    assert stat.S_IMODE(made.path.stat().st_mode) == 0o600 and made.size_b == made.path.stat().st_size
    assert {table: count for table, count in made.rows.items() if table in TABLES} == {
        table: len(found) for table, found in before.items()
    }
    filled.execute("DELETE FROM archivefile")
    if filled.dialect.in_a_file:
        copy = Index.open(f"sqlite:///{made.path}")
        assert everything(copy) == before
        copy.close()
    else:
        read_back(index_url, made.path)
        assert everything(filled) == before


def test_only_the_newest_stay_and_nothing_else_is_touched(filled: Index, tmp_path: Path) -> None:
    directory = tmp_path / "kept"
    directory.mkdir()
    suffix = "db" if filled.dialect.in_a_file else "sql"
    other = "sql" if filled.dialect.in_a_file else "db"
    foreign = (
        f"alpenhorn-index-20250101T000000Z.{other}",
        f"alpenhorn-index-20250101T000000Z.{suffix}.mine",
        f"my-alpenhorn-index-20250101T000000Z.{suffix}",
        f"alpenhorn-index-2025.{suffix}",
        "notes.part",
    )
    for name in foreign:
        (directory / name).write_text("mine")
    for day in range(1, 5):
        (directory / f"alpenhorn-index-2025010{day}T000000Z.{suffix}").write_text("older")
    made = backup.write(filled, directory, TABLES, 3)
    assert [path.name for path in made.removed] == [
        f"alpenhorn-index-2025010{day}T000000Z.{suffix}" for day in (2, 1)
    ]
    assert not made.not_removed
    stay = [f"alpenhorn-index-2025010{day}T000000Z.{suffix}" for day in (3, 4)]
    assert named(directory) == sorted([*foreign, *stay, made.path.name])


def test_two_in_one_second_and_one_dated_in_the_future_do_not_cost_the_new_one(
    filled: Index, tmp_path: Path
) -> None:
    directory = tmp_path / "kept"
    directory.mkdir()
    suffix = "db" if filled.dialect.in_a_file else "sql"
    (directory / f"alpenhorn-index-20990101T000000Z.{suffix}").write_text("by a clock that was wrong")
    first = backup.write(filled, directory, TABLES, 10)
    second = backup.write(filled, directory, TABLES, 10)
    assert first.path != second.path
    third = backup.write(filled, directory, TABLES, 1)
    assert named(directory) == [third.path.name] and len(third.removed) == 3
    assert abs(third.at - filled.now()) < timedelta(minutes=1)


def test_backup_removes_the_part_of_a_killed_backup_but_not_of_one_in_progress(
    filled: Index, tmp_path: Path
) -> None:
    import fcntl

    directory = tmp_path / "kept"
    directory.mkdir()
    part = directory / "alpenhorn-index-20260101T000000Z.db.part"
    part.write_text("half")
    with (directory / backup.LOCK).open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(Busy, match="another backup is in progress"):
            backup.write(filled, directory, TABLES, 10)
        assert part.read_text() == "half"
    made = backup.write(filled, directory, TABLES, 10)
    assert named(directory) == [made.path.name]


def test_a_directory_that_is_not_there_or_no_directory_is_refused(filled: Index, tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"none: no such directory; create it, or mount its disk"):
        backup.write(filled, tmp_path / "none", TABLES, 10)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(Refused, match="cannot write a backup: Not a directory"):
        backup.write(filled, tmp_path / "file", TABLES, 10)
    assert (tmp_path / "file").read_text() == "mine"


def test_backup_contains_no_password(mariadb_index_url: str, tmp_path: Path) -> None:
    from alpenhorn.index.schema import create

    scheme, rest = mariadb_index_url.split("root@")
    plain = Index.open(mariadb_index_url)
    create(plain)
    plain.execute("CREATE OR REPLACE USER keeper@localhost IDENTIFIED BY 'sesame'")
    plain.execute("GRANT ALL ON *.* TO keeper@localhost")
    index = Index.open(f"{scheme}keeper:sesame@{rest}")
    made = backup.write(index, tmp_path, TABLES, 10)
    assert b"sesame" not in made.path.read_bytes()
    index.close()
    plain.execute("DROP USER keeper@localhost")
    plain.close()


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda text: text[: len(text) // 2], "end of file missing"),
        (lambda text: text.replace(b"-- complete\n", b""), "end of file missing"),
        (lambda text: re.sub(rb".*'f77'.*\n", b"", text), "table archivefile: 2999 rows, expected 3000"),
        (lambda text: text.replace(b"-- rows 3000 `archivefile`\n", b"-- rows 3001 `archivefile`\n"), "3001"),
    ],
    ids=["cut", "end", "row", "count"],
)
def test_a_text_that_is_not_whole_is_noticed(
    mariadb_index_url: str, tmp_path: Path, spoil: Callable[[bytes], bytes], why: str
) -> None:
    from alpenhorn.index.schema import create

    index = Index.open(mariadb_index_url)
    create(index)
    index.executemany(
        "INSERT INTO archiveacq (name) VALUES (?)",
        [(f"a{n}",) for n in range(10)],
    )
    index.execute("INSERT INTO storagehost (name, notes) VALUES ('h', '-- complete\n),\n(')")
    index.executemany(
        "INSERT INTO archivefile (acq_id, name, registered) VALUES (1, ?, '2026-01-01')",
        [(f"f{n}",) for n in range(3000)],
    )
    made = backup.write(index, tmp_path, TABLES, 10)
    assert dump.read_through(made.path)["archivefile"] == 3000
    made.path.write_bytes(spoil(made.path.read_bytes()))
    with pytest.raises(ValueError, match=why):
        dump.read_through(made.path)
    index.close()
