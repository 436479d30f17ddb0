"""What differs between the engines: one object for SQLite, one for MariaDB and MySQL.

Queries ask `index.dialect` for the part of a statement that one engine needs and the other lacks.  No module outside
of `alpenhorn.index` asks which engine it is; a test enforces that.
"""

from __future__ import annotations

import functools
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

# What may stand in SQL text and holds or is a mark: a quoted string, a mark, a per cent sign.
_MARKS = re.compile(r"'(?:[^'\\]|''|\\.)*'|\?|%")


class Dialect(ABC):
    """The SQL of one engine.

    `in_a_file`: the index is a file of this host; there is no server with settings and a clock of its own.
    `compares_bytes`: names that differ in any byte are different names, and every character can be stored.
    `transactional_ddl`: changes of tables belong to a transaction, and a transaction keeps all other writers out.
    """

    in_a_file: bool
    compares_bytes: bool
    transactional_ddl: bool

    # How a transaction begins that will write; None: as the engine does by itself.
    begin: str | None
    # At the end of a SELECT: lock its rows until the transaction ends.  On SQLite the transaction has locked the index.
    for_update: str
    in_share_mode: str
    # A join whose right table is looked up for each row of the left one.  The engines would change the order.
    lookup_join: str
    # After a table: read it in the order of its primary key.
    by_primary_key: str
    # The tables' triggers as (name, table), and the views as (name, SQL text).
    triggers: str
    views: str

    @abstractmethod
    def statement(self, sql: str) -> str:
        """Return `sql`, which has a ? for each value, as the driver expects it."""

    @abstractmethod
    def unindexed(self, column: str) -> str:
        """Return the column so that no index on it is used, where the engine would take the wrong one."""

    @abstractmethod
    def in_bytes(self, text: str) -> str:
        """Return an expression that compares and sorts `text`, a column or a ?, by its bytes in UTF-8."""

    @abstractmethod
    def on_conflict(self, key: Sequence[str], update: Sequence[str]) -> str:
        """Return the end of an INSERT that, where a row with this unique `key` exists, sets its columns `update` to
        the values given."""

    @abstractmethod
    def otherwise_nothing(self, column: str) -> str:
        """Return the end of an INSERT that leaves an existing row alone; `column`: any of its columns."""

    @abstractmethod
    def update_selected(
        self,
        table: str,
        settings: Mapping[str, Any],
        state: str,
        row: str,
        selected: str,
        values: tuple[Any, ...],
    ) -> tuple[str, tuple[Any, ...]]:
        """Return an UPDATE of the rows that a query finds, and its values; see `alpenhorn.index.bulk.update`."""

    @abstractmethod
    def quoted(self, name: str) -> str:
        """Return the name of a table, column or index in quotes."""

    @abstractmethod
    def column_type(self, type: str) -> str:
        """Return the engine's name of a column type that is written as MariaDB has it."""

    @abstractmethod
    def drop_index(self, name: str, table: str) -> str:
        """Return the statement that drops an index of a table."""


class SQLiteDialect(Dialect):
    in_a_file = True
    compares_bytes = True
    transactional_ddl = True
    # One that reads first and writes later fails as soon as another writer came in between, whatever the time-out.
    begin = "IMMEDIATE"
    for_update = ""
    in_share_mode = ""
    lookup_join = "CROSS JOIN"
    by_primary_key = ""
    triggers = "SELECT name, tbl_name FROM sqlite_master WHERE type = 'trigger'"
    views = "SELECT name, sql FROM sqlite_master WHERE type = 'view'"

    def statement(self, sql: str) -> str:
        # SUM fails on lengths near 2^63, of which one row is enough; TOTAL adds up anything.
        return sql.replace("SUM(", "TOTAL(")

    def unindexed(self, column: str) -> str:
        return f"+{column}"

    def in_bytes(self, text: str) -> str:
        return text

    def on_conflict(self, key: Sequence[str], update: Sequence[str]) -> str:
        settings = ", ".join(f"{column} = excluded.{column}" for column in update)
        return f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET {settings}"

    def otherwise_nothing(self, column: str) -> str:
        return "ON CONFLICT DO NOTHING"

    def update_selected(
        self,
        table: str,
        settings: Mapping[str, Any],
        state: str,
        row: str,
        selected: str,
        values: tuple[Any, ...],
    ) -> tuple[str, tuple[Any, ...]]:
        columns = ", ".join(f"{column} = ?" for column in settings)
        sql = f"UPDATE {table} AS u SET {columns} WHERE {state} AND u.id IN (SELECT {row} {selected})"
        return sql, (*settings.values(), *values)

    def quoted(self, name: str) -> str:
        return '"' + name.replace('"', '""') + '"'

    def column_type(self, type: str) -> str:
        integer = type.endswith("AUTO_INCREMENT") or type in ("BOOL", "BIGINT")
        return "INTEGER" if integer else type

    def drop_index(self, name: str, table: str) -> str:
        return f"DROP INDEX {self.quoted(name)}"


class MariaDBDialect(Dialect):
    in_a_file = False
    compares_bytes = False
    transactional_ddl = False
    begin = None
    for_update = " FOR UPDATE"
    in_share_mode = " LOCK IN SHARE MODE"
    lookup_join = "STRAIGHT_JOIN"
    by_primary_key = " FORCE INDEX (PRIMARY)"
    triggers = (
        "SELECT trigger_name, event_object_table FROM information_schema.triggers "
        "WHERE trigger_schema = DATABASE()"
    )
    views = "SELECT table_name, view_definition FROM information_schema.views WHERE table_schema = DATABASE()"

    def statement(self, sql: str) -> str:
        return _percent_marks(sql)

    def unindexed(self, column: str) -> str:
        return column

    def in_bytes(self, text: str) -> str:
        # The index on the column is in the order of the column's collation.
        return f"CAST(CONVERT({text} USING utf8mb4) AS BINARY)"

    def on_conflict(self, key: Sequence[str], update: Sequence[str]) -> str:
        settings = ", ".join(f"{column} = VALUES({column})" for column in update)
        return f"ON DUPLICATE KEY UPDATE {settings}"

    def otherwise_nothing(self, column: str) -> str:
        # Not INSERT IGNORE, which would also cut off names that are too long.
        return f"ON DUPLICATE KEY UPDATE {column} = {column}"

    def update_selected(
        self,
        table: str,
        settings: Mapping[str, Any],
        state: str,
        row: str,
        selected: str,
        values: tuple[Any, ...],
    ) -> tuple[str, tuple[Any, ...]]:
        # STRAIGHT_JOIN has the rows looked up one by one: left to choose, MariaDB would go through the whole table, and
        # wait for rows that others have locked.  DISTINCT has them found before the first is changed.
        columns = ", ".join(f"u.{column} = ?" for column in settings)
        sql = (
            f"UPDATE (SELECT DISTINCT {row} AS id {selected}) s STRAIGHT_JOIN {table} u ON u.id = s.id"
            f" SET {columns} WHERE {state}"
        )
        return sql, (*values, *settings.values())

    def quoted(self, name: str) -> str:
        return "`" + name.replace("`", "``") + "`"

    def column_type(self, type: str) -> str:
        return type

    def drop_index(self, name: str, table: str) -> str:
        return f"DROP INDEX {self.quoted(name)} ON {table}"


SQLITE = SQLiteDialect()
MARIADB = MariaDBDialect()


@functools.lru_cache(maxsize=256)
def _percent_marks(sql: str) -> str:
    """Write the marks of `sql` as MySQLdb wants them: ? as %s outside of strings, % doubled everywhere."""

    def mark(match: re.Match[str]) -> str:
        text = match.group()
        return "%s" if text == "?" else text.replace("%", "%%")

    return _MARKS.sub(mark, sql)
