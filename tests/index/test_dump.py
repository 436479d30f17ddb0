"""The dump restores the index, whatever its values."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from alpenhorn.errors import Refused
from alpenhorn.index import dump
from alpenhorn.index.connection import Index
from alpenhorn.index.upgrade import TABLES, prepare, upgrade
from tests.fixtures.index import program
from tests.index.older import RC1, make_older_index, rows

HOSTILE = (
    "it's",
    '"quoted"',
    "`back`",
    "back\\slash\\",
    "\\' OR 1=1; -- ",
    "line\nfeed\r\nreturn\r",
    "back\\\nslash \\n \\r",
    "nul\0inside\0",
    "\x1a\x08\x7f",
    "\N{SATELLITE}\N{ROCKET} a\u0301 á",
    "%s %d ? :a",
    "); DROP TABLE archiveacq; --",
    "/* */ # -- \\g \\q",
    "",
    " ",
    "x" * 60,
)
FLOATS = (0.1, 1 / 3, 16777217.0, 1234567.9, 3.4e38, 1e-37, -1.5, 0.0, 1e15)


@pytest.fixture
def index(index_url: str) -> Iterator[Index]:
    opened = Index.open(index_url, create=True)
    make_older_index(opened, files=50)
    opened.executemany(
        "INSERT INTO archiveacq (name, comment) VALUES (?, ?)",
        [(f"a{n}", text) for n, text in enumerate(HOSTILE)],
    )
    opened.executemany(
        "INSERT INTO archivefile (acq_id, name, size_b, md5sum, registered) VALUES (1, ?, ?, NULL, ?)",
        [
            (f"{n}{text}", 2**62 + n if n % 2 else None, f"{1000 + 500 * n}-02-28 23:59:59")
            for n, text in enumerate(HOSTILE)
        ],
    )
    opened.execute("UPDATE storagenode SET group_id = 1 WHERE id = 1")
    for number, value in enumerate(FLOATS):
        opened.execute(
            "INSERT INTO storagenode (name, group_id, active, auto_import, auto_verify, storage_type, max_total_gb, "
            "min_avail_gb) VALUES (?, 1, 0, 0, -1, 'F', ?, ?)",
            (f"float{number}", value, -value),
        )
    opened.execute(
        "INSERT INTO archivefileimportrequest (node_id, path, recurse, register, completed) "
        "VALUES (1, ?, 0, 0, 0)",
        ("long/" * 200,),
    )
    yield opened
    opened.close()


def everything(index: Index) -> dict[str, list[tuple[Any, ...]]]:
    """All rows; FLOATs in full precision, not with the six digits that MariaDB shows."""
    there = set(index.db.get_tables())
    found = {table: rows(index, f"SELECT * FROM {table} ORDER BY id") for table in TABLES if table in there}
    exact = "CAST(max_total_gb AS DOUBLE), CAST(min_avail_gb AS DOUBLE)"
    found["floats"] = rows(
        index, f"SELECT {'id' if index.dialect.in_a_file else exact} FROM storagenode ORDER BY id"
    )
    return found


def write(index: Index, target: Path) -> None:
    if index.dialect.in_a_file:
        with index.transaction():
            dump.write(index, target, list(TABLES))
    else:
        dump.write(index, target, list(TABLES))


def read_back(url: str, target: Path) -> None:
    """Read the dump back as a user does on MariaDB."""
    parts = urlsplit(url)
    (socket,) = parse_qs(parts.query)["unix_socket"]
    with target.open("rb") as text:
        subprocess.run(
            [program("mariadb"), "--no-defaults", f"--socket={socket}", "--user=root", parts.path[1:]],
            stdin=text,
            check=True,
        )


def test_it_reads_back_into_an_empty_database(index: Index, index_url: str, tmp_path: Path) -> None:
    target = tmp_path / "the dump"
    write(index, target)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert not target.with_name("the dump.part").exists()
    before = everything(index)
    assert len(before["archiveacq"]) == 1 + len(HOSTILE)
    if index.dialect.in_a_file:
        copy = Index.open(f"sqlite:///{target}")
        schema = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name"
        assert rows(copy, schema) == rows(index, schema)
        assert rows(copy, "PRAGMA integrity_check") == [("ok",)]
    else:
        name = rows(index, "SELECT DATABASE()")[0][0]
        index.execute(f"CREATE DATABASE {name}_copy")
        url = index_url.replace(name, f"{name}_copy")
        read_back(url, target)
        copy = Index.open(url)
        for table in before:
            if table != "floats":
                shown = f"SHOW CREATE TABLE {table}"
                assert rows(copy, shown) == rows(index, shown)
    try:
        assert everything(copy) == before
    finally:
        copy.close()
        if not index.dialect.in_a_file:
            index.execute(f"DROP DATABASE {name}_copy")


@pytest.mark.parametrize("release", [RC1, "2.0.0rc2"])
def test_it_restores_the_index_after_an_upgrade(index_url: str, tmp_path: Path, release: str) -> None:
    index = Index.open(index_url, create=True)
    make_older_index(index, release)
    before = everything(index)
    target = tmp_path / "dump"
    planned = prepare(index)[2]
    assert planned is not None
    for _ in upgrade(index, planned, target):
        pass
    assert prepare(index)[2] is None
    command = dump.restore_command(index, target)
    if index.dialect.in_a_file:
        index.close()
        subprocess.run(["sh", "-c", command], check=True)
    else:
        assert command == f"mariadb {rows(index, 'SELECT DATABASE()')[0][0]} < {target}"
        index.close()
        read_back(index_url, target)
    index = Index.open(index_url)
    assert str(prepare(index)[0]) == release
    assert everything(index) == before
    index.close()


def test_it_shows_one_moment_while_others_write(mariadb_index_url: str, tmp_path: Path) -> None:
    """Another program adds a file and its copy between two tables: the dump has neither."""
    index = Index.open(mariadb_index_url)
    make_older_index(index, files=20)
    other = Index.open(mariadb_index_url)
    text: list[str] = []
    index.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    index.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT")
    for table in ("archivefile", "archivefilecopy"):
        other.execute(
            "INSERT INTO archivefile (acq_id, name, registered) VALUES (1, ?, '2026-01-01')",
            (f"late in {table}",),
        )
        text += dump._table(index, table)
    index.execute("COMMIT")
    assert "late in" not in "".join(text)
    other.close()
    index.close()


def test_nothing_is_overwritten(index: Index, tmp_path: Path) -> None:
    (tmp_path / "dump").write_text("mine")
    with pytest.raises(Refused, match="exists already, will not overwrite it"):
        write(index, tmp_path / "dump")
    (tmp_path / "other.part").symlink_to(tmp_path / "dump")
    with pytest.raises(Refused, match=r"other\.part: exists already, left by an interrupted dump"):
        write(index, tmp_path / "other")
    assert (tmp_path / "dump").read_text() == "mine"
    assert (tmp_path / "other.part").is_symlink()


def test_a_directory_that_is_not_there_is_refused(index: Index, tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"cannot be written: .*none: No such file"):
        write(index, tmp_path / "none" / "dump")


def test_too_little_room_is_refused_beforehand(index: Index, tmp_path: Path) -> None:
    if os.geteuid():
        pytest.fail("this test mounts a small tmpfs: run it as root, as CI does")
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "none", str(small)], check=True)
    try:
        with pytest.raises(Refused, match=r"small.*: too little room .*nothing was changed.*--dump"):
            write(index, small / "dump")
        assert os.listdir(small) == []
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_default_name_is_a_free_one(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    when = index.now().replace(2026, 7, 22, 11, 12, 13)
    first = dump.default_target(index, when)
    assert "20260722T111213Z" in first.name and first.parent == tmp_path
    first.touch()
    second = dump.default_target(index, when)
    second.with_name(f"{second.name}.part").touch()
    assert len({first, second, dump.default_target(index, when)}) == 3
