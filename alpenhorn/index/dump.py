"""A copy of the whole index in a file, made before its tables are changed, and as a backup.

SQLite: a database file, page for page, by the backup interface.  SQL text as `iterdump` writes it loses what stands
behind a NUL in a text, and takes hours to read back where the file is just put into its place.
MariaDB: SQL text that the `mariadb` client reads back, from one consistent snapshot; the server writes the literals, so
that rows only pass through here, some thousand at a time.
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
from typing import Any, BinaryIO
from urllib.parse import quote

import peewee as pw

from alpenhorn.errors import Refused
from alpenhorn.index.connection import Index
from alpenhorn.sizes import size

PAGES = 4096  # of a SQLite file, copied at a time
STATEMENT = 65536  # characters of one INSERT, below every server's max_allowed_packet
ROWS = 5000
BUFFER = 1 << 20
COMPLETE = "-- complete\n"
_INSERT = re.compile(rb"INSERT INTO `((?:[^`]|``)+)` \(")
_COUNTED = re.compile(rb"-- rows ([0-9]+) `((?:[^`]|``)+)`\n")

# A text: the client drops a carriage return before a line feed, wherever they stand.
_TEXT = r"REPLACE(REPLACE(QUOTE({0}), '\n', '\\n'), '\r', '\\r')"

# How the server is asked to write a value of these types as a literal; {0} is the column.  A FLOAT as such is shown
# with 6 digits, of which another number would be read back.
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
    """A file that is not there yet: beside that of SQLite, or in the working directory."""
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


def way_back(index: Index, target: Path) -> str:
    """The command that puts the index back as the dump has it."""
    if index.dialect.in_a_file:
        path = shlex.quote(str(index.db.path.absolute()))
        return f"rm -f {path}-wal {path}-shm && cp {shlex.quote(str(target))} {path}"
    return f"mariadb {shlex.quote(index.db.database)} < {shlex.quote(str(target))}"


def write(index: Index, target: Path, tables: Sequence[str]) -> None:
    """Write those of `tables` that are there (SQLite: everything) to the new file `target`, mode 0600, and flush it.

    On SQLite to be called within a transaction that holds the write lock, so that it is the index as it stays until
    that one changes it.  `tables` are also what reading the text back removes first.
    Raises Refused, with nothing left behind, when the file is there already or there is no room for it.
    """
    refuse_taken(target)
    require_room(index, target, tables)
    with new_file(target, "the dump", "name another with --dump; nothing was changed") as (part, file):
        if index.dialect.in_a_file:
            copy_sqlite(index, part)
        else:
            write_text(index, file, tables)


@contextmanager
def new_file(
    target: Path, what: str, then: str, verify: Callable[[Path], None] = lambda path: None
) -> Iterator[tuple[Path, BinaryIO]]:
    """A new file, mode 0600, to be written under the name of `part_of(target)`, which is yielded with it open.

    On leaving it is flushed, handed to `verify`, and given its name.  `what` and `then`: what a message calls it, and
    what the user can do.  Raises Refused, with nothing left behind.
    """
    part = part_of(target)
    try:
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise Refused(f"{part} is there already, left by a dump that was cut short: remove it") from None
    except OSError as error:
        raise Refused(f"{what} {part} cannot be written: {error.strerror}; {then}") from error
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
            raise Refused(f"{what} {target} cannot be written: {error.strerror}; {then}") from error
        if isinstance(error, _SqliteFailed):
            raise Refused(f"{what} {target} cannot be written: {error}; {then}") from error
        raise


def refuse_taken(target: Path) -> None:
    """Raise Refused when the file is there already."""
    if os.path.lexists(target):
        raise Refused(
            f"{target} is there already, and a dump overwrites nothing: name another file with --dump"
        )


def require_room(index: Index, target: Path, tables: Collection[str]) -> None:
    """Raise Refused unless there is room for the dump and, on SQLite, for what the upgrade adds."""
    needed = [(target.absolute().parent, size_b(index, tables))]
    if index.dialect.in_a_file:
        # New indexes are written twice: into the write-ahead log and into the file.
        needed.append((index.db.path.absolute().parent, size_b(index, tables)))
    wanted: dict[int, int] = {}
    for directory, bytes_ in needed:
        try:
            device = os.stat(directory).st_dev
            found = os.statvfs(directory)
        except OSError as error:
            raise Refused(f"the dump {target} cannot be written: {directory}: {error.strerror}") from error
        wanted[device] = wanted.get(device, 0) + bytes_
        free = found.f_bavail * found.f_frsize
        if free < wanted[device]:
            raise Refused(
                f"{directory}: too little room for the dump: up to {size(wanted[device])} needed, {size(free)} free;"
                " nothing was changed; make room, or choose another file with --dump"
            )


def part_of(target: Path) -> Path:
    """The dump while it is not complete."""
    return target.with_name(f"{target.name}.part")


def size_b(index: Index, tables: Collection[str]) -> int:
    """Bytes that a dump takes at most, about."""
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
    """Give a complete file its name, which must be free, for good."""
    try:
        os.link(part, target)
    except FileExistsError:
        raise Refused(f"{target} is there already, and a dump overwrites nothing") from None
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
    """Copy the file of the index into the empty file `part`, page for page, while others go on writing.

    With `count`: how many rows each table has in what was copied; None where the file is not in WAL mode, so that
    others may have written since.  To be called within `new_file`.
    """
    from sqlite3 import Error, connect  # as in engines: of no use with MariaDB

    # By a connection of its own: one that is writing cannot be read from in this way.
    try:
        source = connect(uri(index.db.path, "ro"), uri=True, isolation_level=None)
        try:
            wal = source.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            if wal:
                # One snapshot for all pages.  Without it each commit of another program begins the copy anew,
                # and where there are many it never ends.  In WAL mode nobody waits for a reader.
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
    """How many rows each table has."""
    tables = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite^_%' ESCAPE '^' ORDER BY name"
    ).fetchall()
    return {
        name: connection.execute('SELECT COUNT(*) FROM "{}"'.format(name.replace('"', '""'))).fetchone()[0]
        for (name,) in tables
    }


def uri(path: Path, mode: str) -> str:
    """What sqlite3 opens a file by."""
    return f"file:{quote(os.fsencode(os.path.abspath(path)))}?mode={mode}"


# --- MariaDB -------------------------------------------------------------------------------------------


def write_text(index: Index, file: BinaryIO, tables: Sequence[str]) -> None:
    """Write those of `tables` that are there, as they are at one moment, and at the end how many rows each has."""
    there = set(index.db.get_tables())
    file.write(
        (
            f"-- The tables of the index {index.url}, by alpenhorn.\n"
            "-- Reading this back replaces them, and those that were added since: mariadb DATABASE < THIS_FILE\n"
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
    """How many rows of each table stand in a text that `write_text` wrote.

    Raises ValueError when it is not whole; OSError.
    """
    found: dict[str, int] = {}
    said: dict[str, int] = {}
    table, line = "", b""
    with path.open("rb", BUFFER) as file:
        for line in file:
            if table:
                # A row has a line of its own, since no literal holds a line feed.
                found[table] = found.get(table, 0) + 1
                table = "" if line.endswith(b");\n") else table
            elif insert := _INSERT.match(line):
                table = _plain(insert[1])
            elif counted := _COUNTED.fullmatch(line):
                said[_plain(counted[2])] = int(counted[1])
    if line != COMPLETE.encode():
        raise ValueError("its end is missing")
    wrong = [name for name in sorted(said.keys() | found.keys()) if said.get(name) != found.get(name, 0)]
    if wrong:
        name = wrong[0]
        raise ValueError(f"it has {found.get(name, 0)} rows of {name}, and says {said.get(name, 0)}")
    return said


def _plain(name: bytes) -> str:
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
                f"a row of {table} is too long for a dump: use the server's own tool; nothing was changed"
            )
        rows.append(row)
        length += len(row)
        if length > STATEMENT:
            yield insert + "(" + "),\n(".join(rows) + ");\n"
            rows, length = [], 0
    if rows:
        yield insert + "(" + "),\n(".join(rows) + ");\n"


def _rows(index: Index, sql: str) -> Iterator[str | None]:
    """The only column of a result that stays on the server until it is asked for."""
    from MySQLdb.cursors import SSCursor  # as in engines: an extra

    connection: Any = index.db.connection()
    with index.db.explained(), pw.__exception_wrapper__, connection.cursor(SSCursor) as cursor:  # type: ignore[attr-defined]
        cursor.execute(sql)
        while some := cursor.fetchmany(ROWS):
            for (row,) in some:
                yield row


def _name(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
