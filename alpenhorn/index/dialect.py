"""The differences between the engines: one object for SQLite, one for MariaDB and MySQL.

Queries take the engine-specific parts of a statement from `index.dialect`.  Modules outside `alpenhorn.index` never
ask which engine is in use; a test enforces that.
"""

from __future__ import annotations

import functools
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

# The parts of SQL text that matter for placeholders: a quoted string, a question mark, a per cent sign.
_MARKS = re.compile(r"'(?:[^'\\]|''|\\.)*'|\?|%")


class Dialect(ABC):
    """The SQL of one engine.

    `in_a_file`: the index is a file on this host; there is no server with its own settings and clock.
    `compares_bytes`: names that differ in any byte are different names, and every character can be stored.
    `transactional_ddl`: changes of tables are part of a transaction, and a transaction excludes all other writers.
    """

    in_a_file: bool
    compares_bytes: bool
    transactional_ddl: bool

    # The kind of a transaction that will write; None: the engine's default.
    begin: str | None
    # At the end of a SELECT: lock its rows until the transaction ends.  On SQLite the transaction locks the index.
    for_update: str
    in_share_mode: str
    # A join that looks up the right table for each row of the left one; the engines could choose another order.
    lookup_join: str
    # The tables' triggers as (name, table), and the views as (name, SQL text).
    triggers: str
    views: str

    @abstractmethod
    def statement(self, sql: str) -> str:
        """Convert `sql`, which has a ? for each value, to the driver's placeholders."""

    @abstractmethod
    def by_index(self, index: str) -> str:
        """Return what, after a table, has its rows found by this index.

        A table whose number of rows changes all the time, such as that of the claims, seems small enough to be scanned,
        and then the cost grows with the work of all hosts.  If the statement locks its rows, a scan also waits for
        those that others have locked, which may wait for the ones of this session: a deadlock.
        """

    @property
    def by_primary_key(self) -> str:
        """What, after a table, has it read in the order of its primary key."""
        return self.by_index("PRIMARY")

    @abstractmethod
    def delete_by(self, index: str, table: str) -> str:
        """Return the beginning of a DELETE, up to its WHERE, that finds the rows as in `by_index`."""

    @abstractmethod
    def unindexed(self, column: str) -> str:
        """Return an expression for the column that prevents the use of an index, where the engine picks a bad one."""

    @abstractmethod
    def in_bytes(self, text: str) -> str:
        """Return an expression that compares and sorts `text`, a column or a ?, by its bytes in UTF-8."""

    @abstractmethod
    def on_conflict(self, key: Sequence[str], update: Sequence[str]) -> str:
        """Return the end of an INSERT that updates the columns `update` of an existing row with this unique `key`."""

    @abstractmethod
    def otherwise_nothing(self, column: str) -> str:
        """Return the end of an INSERT that leaves an existing row unchanged; `column`: any of its columns."""

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
        """Return an UPDATE of the rows that a query selects, and its values; see `alpenhorn.index.bulk.update`."""

    @abstractmethod
    def distinct(self, table: str, column: str) -> str:
        """Return a table, for FROM, with the different values of an indexed column, found without reading all rows."""

    @abstractmethod
    def quoted(self, name: str) -> str:
        """Return the name of a table, column or index in quotes."""

    @abstractmethod
    def column_type(self, type: str) -> str:
        """Return the engine's name of a column type; `type`: MariaDB's name."""

    @abstractmethod
    def drop_index(self, name: str, table: str) -> str:
        """Return the statement that drops an index of a table."""


class SQLiteDialect(Dialect):
    in_a_file = True
    compares_bytes = True
    transactional_ddl = True
    # Otherwise a transaction that reads before it writes fails at once, despite the time-out, after another's commit.
    begin = "IMMEDIATE"
    for_update = ""
    in_share_mode = ""
    lookup_join = "CROSS JOIN"
    triggers = "SELECT name, tbl_name FROM sqlite_master WHERE type = 'trigger'"
    views = "SELECT name, sql FROM sqlite_master WHERE type = 'view'"

    def statement(self, sql: str) -> str:
        # SUM fails on overflow, for which one row with a length near 2^63 is enough; TOTAL does not.
        return sql.replace("SUM(", "TOTAL(")

    def by_index(self, index: str) -> str:
        return ""

    def delete_by(self, index: str, table: str) -> str:
        return f"DELETE FROM {table}"

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

    def distinct(self, table: str, column: str) -> str:
        # One look into the index for each value; SELECT DISTINCT would read all rows.
        larger = f"SELECT MIN(t.{column}) FROM {table} t WHERE t.{column} > v.{column}"
        return (
            f"(WITH RECURSIVE v ({column}) AS (SELECT MIN({column}) FROM {table}"
            f" UNION ALL SELECT ({larger}) FROM v WHERE v.{column} IS NOT NULL)"
            f" SELECT {column} FROM v WHERE {column} IS NOT NULL)"
        )

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
    triggers = (
        "SELECT trigger_name, event_object_table FROM information_schema.triggers "
        "WHERE trigger_schema = DATABASE()"
    )
    views = "SELECT table_name, view_definition FROM information_schema.views WHERE table_schema = DATABASE()"

    def statement(self, sql: str) -> str:
        return _percent_marks(sql)

    def by_index(self, index: str) -> str:
        return f" FORCE INDEX ({index})"

    def delete_by(self, index: str, table: str) -> str:
        # Only a DELETE that names its table twice takes an index.
        return f"DELETE {table} FROM {table}{self.by_index(index)}"

    def unindexed(self, column: str) -> str:
        return column

    def in_bytes(self, text: str) -> str:
        # The index on the column is sorted by the column's collation, which may not compare bytes.
        return f"CAST(CONVERT({text} USING utf8mb4) AS BINARY)"

    def on_conflict(self, key: Sequence[str], update: Sequence[str]) -> str:
        settings = ", ".join(f"{column} = VALUES({column})" for column in update)
        return f"ON DUPLICATE KEY UPDATE {settings}"

    def otherwise_nothing(self, column: str) -> str:
        # INSERT IGNORE would also truncate names that are too long.
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
        # Without STRAIGHT_JOIN, MariaDB may scan the whole table and wait for rows that others have locked.  DISTINCT
        # makes it find all rows before it changes the first.
        columns = ", ".join(f"u.{column} = ?" for column in settings)
        sql = (
            f"UPDATE (SELECT DISTINCT {row} AS id {selected}) s STRAIGHT_JOIN {table} u ON u.id = s.id"
            f" SET {columns} WHERE {state}"
        )
        return sql, (*values, *settings.values())

    def distinct(self, table: str, column: str) -> str:
        return f"(SELECT DISTINCT {column} FROM {table})"

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
    """Convert the placeholders of `sql` to MySQLdb's: ? outside of strings to %s, and every % to %%."""

    def mark(match: re.Match[str]) -> str:
        text = match.group()
        return "%s" if text == "?" else text.replace("%", "%%")

    return _MARKS.sub(mark, sql)
