"""What shape an index has: today's, that of an older release, between the two, or none that is known.

It is told by tables and columns.  The number in `dataindexversion` does not tell: the release 2.0.0rc2 says 2
there as today's index does, and has other columns in `storagenode`, and 2.0.0rc1 has no such table.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from alpenhorn.index.connection import Index
from alpenhorn.index.tables import ALPENHORN_TABLES, TableModel
from alpenhorn.index.versions import OLD_COLUMNS

NEW_COLUMNS = ("host_id", "archive")
MODELS: dict[str, type[TableModel]] = {table._meta.table_name: table for table in ALPENHORN_TABLES}


class Shape(StrEnum):
    EMPTY = "no tables yet"
    CURRENT = "today's tables"
    RC1 = "2.0.0rc1"
    RC2 = "2.0.0rc2"
    HALF = "half upgraded"
    UNKNOWN = "tables of no release that is known here"


UPGRADABLE = (Shape.RC1, Shape.RC2, Shape.HALF)


class FoundTables(NamedTuple):
    """`tables`: all tables; `columns`: of the alpenhorn tables, name to whether a row must bring a value;
    `versions`: component to version, None without the table."""

    tables: frozenset[str]
    columns: Mapping[str, Mapping[str, bool]]
    versions: Mapping[str, int] | None

    @property
    def nodes(self) -> Mapping[str, bool]:
        return self.columns.get("storagenode", {})

    @property
    def lacking(self) -> list[tuple[str, str]]:
        """(table, column) of what today's tables have and these, where they are there, have not."""
        return [
            (name, column)
            for name, present in self.columns.items()
            for column in MODELS[name]._meta.columns
            if column not in present
        ]


def describe(index: Index) -> FoundTables:
    """Look at the tables and columns."""
    tables = frozenset(index.db.get_tables())
    columns = {
        name: {
            column.name: not column.null and column.default is None and not column.primary_key
            for column in index.db.get_columns(name)
        }
        for name in MODELS
        if name in tables
    }
    versions = None
    if "dataindexversion" in tables:
        versions = dict(index.execute("SELECT component, version FROM dataindexversion").fetchall())
    return FoundTables(tables, columns, versions)


def shape_of(found: FoundTables) -> tuple[Shape, str]:
    """Return the shape and, in words that follow "the index", by what it was recognised."""
    if not found.columns:
        return Shape.EMPTY, "has no tables yet"
    old = [column for column in OLD_COLUMNS if column in found.nodes]
    if "host" not in old and "storage_type" not in old:
        if found.lacking:
            return Shape.UNKNOWN, _lacks(found.lacking)
        return Shape.CURRENT, "has today's tables"
    strange = [
        f"{name}.{column}"
        for name, present in found.columns.items()
        for column, needed in present.items()
        if needed and column not in MODELS[name]._meta.columns and column not in OLD_COLUMNS
    ]
    if strange:
        return Shape.UNKNOWN, f"needs values in columns that no known release has: {', '.join(strange)}"
    if len(old) < len(OLD_COLUMNS):
        missing = [column for column in OLD_COLUMNS if column not in old]
        return Shape.UNKNOWN, f"has {', '.join(old)} in its table storagenode, but not {', '.join(missing)}"
    hopeless = [(name, column) for name, column in found.lacking if not _can_be_added(name, column)]
    if hopeless:
        return Shape.UNKNOWN, _lacks(hopeless)
    recognised = f"has the columns {', '.join(old)} in its table storagenode"
    begun = [f"the column {column}" for column in NEW_COLUMNS if column in found.nodes]
    if "storagehost" in found.tables:
        begun.append("the table storagehost")
    if begun:
        return Shape.HALF, f"{recognised} and, beside them, {' and '.join(begun)}"
    if (found.versions or {}).get("alpenhorn") is None:
        return Shape.RC1, f"{recognised}, no table storagehost, and no version of its tables"
    return Shape.RC2, f"{recognised} and no table storagehost"


def complaint(found: FoundTables, url: str) -> str:
    """Why the index cannot be used by anything but `db upgrade`, and what to do; empty when it can."""
    shape, why = shape_of(found)
    if shape in (Shape.RC1, Shape.RC2):
        return (
            f"the index {url} is that of alpenhorn {shape}: it {why}. "
            "Run `alpenhorn db upgrade`, which brings it to today's tables; nothing was changed"
        )
    if shape is Shape.HALF:
        return (
            f"the index {url} is half upgraded: it {why}. "
            "Run `alpenhorn db upgrade` again, which does the rest; nothing is lost, and nothing was changed now"
        )
    if shape is Shape.UNKNOWN:
        return (
            f"the index {url} has {Shape.UNKNOWN}: it {why}. "
            "Migrate it with the program that made it, or restore a backup; nothing was changed"
        )
    return ""


def _lacks(lacking: list[tuple[str, str]]) -> str:
    return "has no column " + ", ".join(f"{name}.{column}" for name, column in lacking)


def _can_be_added(table: str, column: str) -> bool:
    field = MODELS[table]._meta.columns[column]
    return bool(field.null) or field.default is not None
