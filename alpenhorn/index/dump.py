"""Copies of the whole index in a file, made before an upgrade and as backups.

SQLite: a database file, copied page by page with the backup interface.  The SQL text of `iterdump` would lose the rest
of a text after a NUL, and would take hours to read back.
MariaDB: SQL text for the `mariadb` client, from one consistent snapshot.  The server formats the literals, so rows
only pass through here, a few thousand at a time.
"""

from __future__ import annotations

import errno
import os
import re
import shlex
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from sqlite3 import Error, connect
from typing import Any, BinaryIO
from urllib.parse import quote

import peewee as pw

from alpenhorn.errors import Refused
from alpenhorn.formats import size
from alpenhorn.index.connection import Index

PAGES = 4096  # pages of an SQLite file copied at a time
STATEMENT = 65536  # characters of one INSERT, below every server's max_allowed_packet
ROWS = 5000
BUFFER = 1 << 20
COMPLETE = "-- complete\n"
_INSERT = re.compile(rb"INSERT INTO `((?:[^`]|``)+)` \(")
_COUNTED = re.compile(rb"-- rows ([0-9]+) `((?:[^`]|``)+)`\n")

# Text: escaped, because the client drops a carriage return before a line feed, even inside a literal.
_TEXT = r"REPLACE(REPLACE(QUOTE({0}), '\n', '\\n'), '\r', '\\r')"

# Expressions with which the server formats values of these types as literals; {0} is the column.  Without the CAST, a
# FLOAT would be written with 6 digits and read back as another number.
_LITERALS = {
    "float": "IFNULL(CAST({0} AS DOUBLE), 'NULL')",
    **dict.fromkeys(
        ("tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "double", "year"),
        "IFNULL({0}, 'NULL')",
    ),
    **dict.fromkeys(
        ("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob", "bit"),
        "IFNULL(CONCAT('x''', HEX({0}), ''''), 'NULL')",
    ),
}


def default_target(index: Index, when: datetime) -> Path:
    """Return the path of a new file: next to the SQLite file, or in the working directory."""
    stamp = when.strftime("%Y%m%dT%H%M%SZ")
    if index.dialect.in_a_file:
        path = index.db.path.absolute()
        directory, name, suffix = path.parent, f"{path.name}.{stamp}", ""
    else:
        directory, name, suffix = Path.cwd(), f"{index.db.database}.{stamp}", ".sql"
    target = Path(directory, name + suffix)
    number = 1
    while os.path.lexists(target) or os.path.lexists(part_of(target)):
        number += 1
        target = Path(directory, f"{name}-{number}{suffix}")
    return target


def restore_command(index: Index, target: Path) -> str:
    """Return the shell command that restores the index from the dump."""
    if index.dialect.in_a_file:
        path = shlex.quote(str(index.db.path.absolute()))
        return f"rm -f {path}-wal {path}-shm && cp {shlex.quote(str(target))} {path}"
    return f"mariadb {shlex.quote(index.db.database)} < {shlex.quote(str(target))}"


def write(index: Index, target: Path, tables: Sequence[str]) -> None:
    """Write the existing tables among `tables` (SQLite: everything) to the new file `target`, mode 0600, and flush it.

    On SQLite, call it within a transaction that holds the write lock, so that the dump is the state before the
    transaction.  Reading the text back drops `tables` first.
    Raises Refused, and leaves no file behind, if the file exists or does not fit on the disk.
    """
    refuse_taken(target)
    require_room(index, target, tables)
    with new_file(target, "name another file with --dump; nothing was changed") as (part, file):
        if index.dialect.in_a_file:
            copy_sqlite(index, part)
        else:
            write_text(index, file, tables)


@contextmanager
def new_file(
    target: Path, remedy: str, verify: Callable[[Path], None] = lambda path: None
) -> Iterator[tuple[Path, BinaryIO]]:
    """Create a file, mode 0600, under the name of `part_of(target)`; yield the name and the open file.

    On exit, flush it, pass it to `verify`, and rename it to `target`.  `remedy`: the end of the error messages.
    Raises Refused, and leaves no file behind.
    """
    part = part_of(target)
    try:
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise Refused(f"{part}: exists already, left by an interrupted dump; remove it") from None
    except OSError as error:
        raise Refused(f"{part}: cannot be written: {error.strerror}; {remedy}") from error
    try:
        with os.fdopen(fd, "wb", BUFFER) as file:
            yield part, file
            file.flush()
            os.fsync(file.fileno())
        verify(part)
        _publish(part, target)
    except BaseException as error:
        with suppress(FileNotFoundError):
            part.unlink()
        if isinstance(error, OSError):
            raise Refused(f"{target}: cannot be written: {error.strerror}; {remedy}") from error
        if isinstance(error, _SqliteFailed):
            raise Refused(f"{target}: cannot be written: {error}; {remedy}") from error
        raise


def refuse_taken(target: Path) -> None:
    """Raise Refused if the file exists."""
    if os.path.lexists(target):
        raise Refused(f"{target}: exists already, will not overwrite it; name another file with --dump")


def require_room(index: Index, target: Path, tables: Collection[str]) -> None:
    """Raise Refused unless the dump and, on SQLite, the growth of the index by the upgrade fit on their disks."""
    needed = [(target.absolute().parent, size_b(index, tables))]
    if index.dialect.in_a_file:
        # The upgrade writes new indexes twice: into the write-ahead log and into the file.
        needed.append((index.db.path.absolute().parent, size_b(index, tables)))
    wanted: dict[int, int] = {}
    for directory, bytes_ in needed:
        try:
            device = os.stat(directory).st_dev
            found = os.statvfs(directory)
        except OSError as error:
            raise Refused(f"{target}: cannot be written: {directory}: {error.strerror}") from error
        wanted[device] = wanted.get(device, 0) + bytes_
        free = found.f_bavail * found.f_frsize
        if free < wanted[device]:
            raise Refused(
                f"{directory}: too little room for the dump: up to {size(wanted[device])} needed, {size(free)} free;"
                " nothing was changed; make room, or choose another file with --dump"
            )


def part_of(target: Path) -> Path:
    """Return the name under which a file is written until it is complete."""
    return target.with_name(f"{target.name}.part")


def size_b(index: Index, tables: Collection[str]) -> int:
    """Estimate the maximum size of a dump in bytes."""
    if index.dialect.in_a_file:
        return int(index.db.pragma("page_count")) * int(index.db.pragma("page_size"))
    marks = ", ".join("?" * len(tables))
    (size,) = index.execute(
        "SELECT COALESCE(SUM(data_length), 0) FROM information_schema.tables "
        f"WHERE table_schema = DATABASE() AND table_name IN ({marks})",
        list(tables),
    ).fetchone()
    return int(size) * 3 // 2


def _publish(part: Path, target: Path) -> None:
    """Rename a complete file to `target`, which must not exist, and flush the directory."""
    try:
        os.link(part, target)
    except FileExistsError:
        raise Refused(f"{target}: exists already, will not overwrite it") from None
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        part.rename(target)  # a file system without hard links
    else:
        part.unlink()
    directory = os.open(target.absolute().parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


class _SqliteFailed(Exception):
    """SQLite could not read the index or write the copy."""


def copy_sqlite(index: Index, part: Path, count: bool = False) -> dict[str, int] | None:
    """Copy the file of the index into the empty file `part`, page by page, while other programs may write.

    With `count`, return the number of rows of each table in the copy; None if the file is not in WAL mode, as others
    may have written since.  Call it within `new_file`.
    """
    # A separate connection: the backup interface cannot read from one that is writing.
    try:
        source = connect(uri(index.db.path, "ro"), uri=True, isolation_level=None)
        try:
            wal = source.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            if wal:
                # One snapshot for all pages: otherwise each commit of another program restarts the copy, which may
                # then never end.  In WAL mode a reader blocks no writer.
                source.execute("BEGIN")
                source.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
            copy = connect(uri(part, "rw"), uri=True, isolation_level=None)
            try:
                copy.execute("PRAGMA journal_mode = OFF")
                copy.execute("PRAGMA synchronous = OFF")
                source.backup(copy, pages=PAGES)
            finally:
                copy.close()
            return count_sqlite(source) if wal and count else None
        finally:
            source.close()
    except Error as error:
        raise _SqliteFailed(str(error)) from error


def count_sqlite(connection: Any) -> dict[str, int]:
    """Return the number of rows of each table."""
    tables = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite^_%' ESCAPE '^' ORDER BY name"
    ).fetchall()
    return {
        name: connection.execute('SELECT COUNT(*) FROM "{}"'.format(name.replace('"', '""'))).fetchone()[0]
        for (name,) in tables
    }


def uri(path: Path, mode: str) -> str:
    """Return the URI of an SQLite file."""
    return f"file:{quote(os.fsencode(os.path.abspath(path)))}?mode={mode}"


# --- MariaDB -------------------------------------------------------------------------------------------


def write_text(index: Index, file: BinaryIO, tables: Sequence[str]) -> None:
    """Write a snapshot of the existing tables among `tables`, followed by the number of rows of each."""
    there = set(index.db.get_tables())
    file.write(
        (
            f"-- Tables of the index {index.url}, written by alpenhorn.\n"
            "-- To restore (replaces these tables and drops newer ones): mariadb DATABASE < THIS_FILE\n"
            "SET NAMES utf8mb4;\n"
            "SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO', foreign_key_checks = 0, unique_checks = 0, "
            "time_zone = '+00:00';\n"
            f"DROP TABLE IF EXISTS {', '.join(_name(table) for table in tables)};\n"
        ).encode()
    )
    index.execute("SET SESSION time_zone = '+00:00'")
    index.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    index.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT")
    try:
        for table in tables:
            if table in there:
                for statement in _table(index, table):
                    file.write(statement.encode())
        for table in tables:
            if table in there:
                (rows,) = index.execute(f"SELECT COUNT(*) FROM {_name(table)}").fetchone()
                file.write(f"-- rows {rows} {_name(table)}\n".encode())
    finally:
        index.execute("COMMIT")
    file.write(COMPLETE.encode())


def read_through(path: Path) -> dict[str, int]:
    """Read a text that `write_text` wrote, and return the number of rows of each table.

    Raises ValueError if it is incomplete; OSError.
    """
    found: dict[str, int] = {}
    recorded: dict[str, int] = {}
    table, line = "", b""
    with path.open("rb", BUFFER) as file:
        for line in file:
            if table:
                # Each row is one line, since literals contain no line feeds.
                found[table] = found.get(table, 0) + 1
                table = "" if line.endswith(b");\n") else table
            elif insert := _INSERT.match(line):
                table = _unquoted(insert[1])
            elif counted := _COUNTED.fullmatch(line):
                recorded[_unquoted(counted[2])] = int(counted[1])
    if line != COMPLETE.encode():
        raise ValueError("end of file missing")
    names = sorted(recorded.keys() | found.keys())
    wrong = [name for name in names if recorded.get(name) != found.get(name, 0)]
    if wrong:
        name = wrong[0]
        raise ValueError(f"table {name}: {found.get(name, 0)} rows, expected {recorded.get(name, 0)}")
    return recorded


def _unquoted(name: bytes) -> str:
    return name.decode().replace("``", "`")


def _table(index: Index, table: str) -> Iterator[str]:
    (_, ddl) = index.execute(f"SHOW CREATE TABLE {_name(table)}").fetchone()
    yield f"{ddl};\n"
    columns = index.execute(
        "SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = DATABASE() "
        "AND table_name = ? AND extra NOT LIKE '%GENERATED%' ORDER BY ordinal_position",
        (table,),
    ).fetchall()
    literals = [_LITERALS.get(kind, _TEXT).format(_name(name)) for name, kind in columns]
    insert = f"INSERT INTO {_name(table)} ({', '.join(_name(name) for name, _ in columns)}) VALUES\n"
    rows: list[str] = []
    length = 0
    for row in _rows(index, f"SELECT CONCAT_WS(',', {', '.join(literals)}) FROM {_name(table)}"):
        if row is None:  # longer than the server's max_allowed_packet
            raise Refused(
                f"table {table}: a row exceeds max_allowed_packet; make the dump with mariadb-dump; nothing was changed"
            )
        rows.append(row)
        length += len(row)
        if length > STATEMENT:
            yield insert + "(" + "),\n(".join(rows) + ");\n"
            rows, length = [], 0
    if rows:
        yield insert + "(" + "),\n(".join(rows) + ");\n"


def _rows(index: Index, sql: str) -> Iterator[str | None]:
    """Yield the values of a one-column result, fetched from the server in small batches."""
    with index.db.explained(), pw.__exception_wrapper__, index.db.unbuffered() as cursor:  # type: ignore[attr-defined]
        cursor.execute(sql)
        while batch := cursor.fetchmany(ROWS):
            for (row,) in batch:
                yield row


def _name(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
