"""The shape of an index: current, of an older release, partly upgraded, or unknown.

It is recognized by tables and columns, not by the version in `dataindexversion`: the release 2.0.0rc2 has version 2, as
the current index does, but other columns in `storagenode`; 2.0.0rc1 has no such table.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from alpenhorn.errors import IndexUnusable
from alpenhorn.index.connection import Index
from alpenhorn.index.tables import ALPENHORN_TABLES, TableModel
from alpenhorn.index.versions import OLD_COLUMNS

NEW_COLUMNS = ("host_id", "archive")
MODELS: dict[str, type[TableModel]] = {table._meta.table_name: table for table in ALPENHORN_TABLES}


class Shape(StrEnum):
    EMPTY = "no tables"
    CURRENT = "the current tables"
    RC1 = "2.0.0rc1"
    RC2 = "2.0.0rc2"
    HALF = "partly upgraded"
    UNKNOWN = "tables of an unknown release"


UPGRADABLE = (Shape.RC1, Shape.RC2, Shape.HALF)


class FoundTables(NamedTuple):
    """The tables found in an index.

    `tables`: all tables; `columns`: by alpenhorn table, the columns and whether a new row must have a value;
    `versions`: component to version, None without the table.
    """

    tables: frozenset[str]
    columns: Mapping[str, Mapping[str, bool]]
    versions: Mapping[str, int] | None

    @property
    def nodes(self) -> Mapping[str, bool]:
        return self.columns.get("storagenode", {})

    @property
    def lacking(self) -> list[tuple[str, str]]:
        """(table, column) of the current columns that existing tables lack."""
        return [
            (name, column)
            for name, present in self.columns.items()
            for column in MODELS[name]._meta.columns
            if column not in present
        ]


def describe(index: Index) -> FoundTables:
    """Read the names of tables and columns, and the versions."""
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
    """Return the shape, and how it was recognized, as a predicate of "the index"."""
    if not found.columns:
        return Shape.EMPTY, "has no tables"
    old = [column for column in OLD_COLUMNS if column in found.nodes]
    if "host" not in old and "storage_type" not in old:
        if found.lacking:
            return Shape.UNKNOWN, _lacks(found.lacking)
        return Shape.CURRENT, "has the current tables"
    unknown = [
        f"{name}.{column}"
        for name, present in found.columns.items()
        for column, needed in present.items()
        if needed and column not in MODELS[name]._meta.columns and column not in OLD_COLUMNS
    ]
    if unknown:
        return Shape.UNKNOWN, f"needs values in unknown columns: {', '.join(unknown)}"
    if len(old) < len(OLD_COLUMNS):
        missing = [column for column in OLD_COLUMNS if column not in old]
        return Shape.UNKNOWN, f"has {', '.join(old)} in the table storagenode, but not {', '.join(missing)}"
    not_addable = [(name, column) for name, column in found.lacking if not _can_be_added(name, column)]
    if not_addable:
        return Shape.UNKNOWN, _lacks(not_addable)
    recognised = f"has the columns {', '.join(old)} in the table storagenode"
    begun = [f"the column {column}" for column in NEW_COLUMNS if column in found.nodes]
    if "storagehost" in found.tables:
        begun.append("the table storagehost")
    if begun:
        return Shape.HALF, f"{recognised}, and also {' and '.join(begun)}"
    if (found.versions or {}).get("alpenhorn") is None:
        return Shape.RC1, f"{recognised}, no table storagehost, and no version"
    return Shape.RC2, f"{recognised} and no table storagehost"


def complaint(found: FoundTables, url: str) -> str:
    """Return why only `db upgrade` can use the index, and what to do; "" if other commands can."""
    shape, why = shape_of(found)
    if shape in (Shape.RC1, Shape.RC2):
        return f"index {url}: tables of alpenhorn {shape} ({why}); run `alpenhorn db upgrade`; nothing was changed"
    if shape is Shape.HALF:
        return f"index {url}: {shape} ({why}); run `alpenhorn db upgrade` again to complete it; nothing was changed"
    if shape is Shape.UNKNOWN:
        return (
            f"index {url}: {shape} ({why}); migrate it with the program that created it, or restore a backup;"
            " nothing was changed"
        )
    return ""


def refuse_other(index: Index, found: FoundTables) -> None:
    """Raise IndexUnusable if the index has the tables of an older release."""
    wrong = complaint(found, index.url)
    if wrong:
        raise IndexUnusable(wrong)


def _lacks(lacking: list[tuple[str, str]]) -> str:
    return "has no column " + ", ".join(f"{name}.{column}" for name, column in lacking)


def _can_be_added(table: str, column: str) -> bool:
    field = MODELS[table]._meta.columns[column]
    return bool(field.null) or field.default is not None
