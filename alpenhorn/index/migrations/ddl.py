"""The parts of a step that changes our own tables, as plain data, and their DDL for both engines.

A step only adds tables, columns and indexes, so an older run that is still going on finds all that it knows. Whether a
part was applied can be seen in the index itself: on MariaDB, where each statement commits, an upgrade that was cut
short is finished by applying the missing parts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from alpenhorn.index.connection import Index
from alpenhorn.index.dialect import Dialect

# As MariaDB has them; `Dialect.column_type` gives the other engine's.
AUTO, BIG_AUTO = "INTEGER AUTO_INCREMENT", "BIGINT AUTO_INCREMENT"
BOOL, INTEGER, BIGINT, DATETIME, TEXT = "BOOL", "INTEGER", "BIGINT", "DATETIME", "TEXT"


class IndexOn(NamedTuple):
    """An index on a table.  It ends in `id` by itself, as every index does on both engines, so that pages
    are read in the order of ids without a sort."""

    table: str
    name: str
    columns: tuple[str, ...]
    unique: bool = False

    @property
    def ddl(self) -> str:
        unique = "UNIQUE " if self.unique else ""
        return f"CREATE {unique}INDEX {self.name} ON {self.table} ({', '.join(self.columns)})"


class Column(NamedTuple):
    """`default`: the value that existing rows get when the column is added to a table; None: NULL.

    A column that is neither `null` nor has a `default` can only be created together with its table.
    """

    name: str
    type: str
    null: bool = False
    default: int | str | None = None

    @property
    def addable(self) -> bool:
        return self.null or self.default is not None

    def definition(self, dialect: Dialect) -> str:
        kind = dialect.column_type(self.type)
        return f"{dialect.quoted(self.name)} {kind}" + ("" if self.null else " NOT NULL")

    @property
    def default_clause(self) -> str:
        if self.default is None:
            return ""
        value = str(self.default) if isinstance(self.default, int) else _literal(self.default)
        return f" DEFAULT {value}"


class Table(NamedTuple):
    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ("id",)


class Migration(NamedTuple):
    """A numbered step: what version `number` of the component `sync` adds to the version before.

    `columns`: (table, column), for tables of earlier steps; `indexes`: on tables of this step, of earlier ones, or of
    the daemon.
    """

    number: int
    tables: tuple[Table, ...] = ()
    columns: tuple[tuple[str, Column], ...] = ()
    indexes: tuple[IndexOn, ...] = ()


@dataclass(frozen=True)
class CreateTable:
    """`indexes`: those created together with the table."""

    table: Table
    indexes: tuple[IndexOn, ...] = ()

    def __str__(self) -> str:
        return f"create the table {self.table.name}"

    @property
    def added(self) -> str:
        return f"table {self.table.name}"


@dataclass(frozen=True)
class AddColumn:
    table: str
    column: Column

    def __str__(self) -> str:
        return f"add the column {self.column.name} to the table {self.table}"

    @property
    def added(self) -> str:
        return f"column {self.table}.{self.column.name}"


@dataclass(frozen=True)
class AddIndex:
    index: IndexOn

    def __str__(self) -> str:
        return f"add the index {self.index.name} to the table {self.index.table}"

    @property
    def added(self) -> str:
        return f"index {self.index.name}"


Part = CreateTable | AddColumn | AddIndex


def apply(index: Index, part: Part) -> None:
    """Apply one part, which must be missing: one statement on MariaDB, so that it is never half there."""
    match part:
        case CreateTable(table, indexes):
            _create_table(index, table, indexes)
        case AddColumn(table, column):
            definition = column.definition(index.dialect) + column.default_clause
            index.execute(f"ALTER TABLE {table} ADD COLUMN {definition}")
        case AddIndex(one):
            index.execute(one.ddl)


# Those that compare text byte for byte, the best first: of MariaDB, of MySQL 8 (both count trailing blanks), of any.
_BINARY = ("utf8mb4_nopad_bin", "utf8mb4_0900_bin", "utf8mb4_bin")


def binary_collation(index: Index) -> str:
    """The best collation of utf8mb4 that compares text byte for byte and that the server has."""
    marks = ", ".join("?" * len(_BINARY))
    rows = index.execute(
        f"SELECT collation_name FROM information_schema.collations WHERE collation_name IN ({marks})", _BINARY
    ).fetchall()
    there = {name for (name,) in rows}
    return next((name for name in _BINARY if name in there), _BINARY[-1])


def table_options(index: Index) -> str:
    """New tables compare text byte for byte."""
    if index.dialect.compares_bytes:
        return ""
    return f" ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE {binary_collation(index)}"


def _create_table(index: Index, table: Table, indexes: tuple[IndexOn, ...]) -> None:
    dialect = index.dialect
    key = ", ".join(dialect.quoted(column) for column in table.key)
    lines = [column.definition(dialect) for column in table.columns] + [f"PRIMARY KEY ({key})"]
    # One statement where each commits, so that the table is never there without its indexes.
    if not dialect.transactional_ddl:
        lines += [
            f"{'UNIQUE ' if one.unique else ''}INDEX {one.name} ({', '.join(one.columns)})" for one in indexes
        ]
    index.execute(f"CREATE TABLE {table.name} ({', '.join(lines)}){table_options(index)}")
    if dialect.transactional_ddl:
        for one in indexes:
            index.execute(one.ddl)


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
