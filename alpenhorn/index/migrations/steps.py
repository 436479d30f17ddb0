"""The list of all steps, and the parts of them that an index lacks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

from alpenhorn.index.connection import Index
from alpenhorn.index.migrations import (
    step_1,
    step_2,
    step_3,
    step_4,
    step_5,
    step_6,
    step_7,
    step_8,
    step_9,
    step_10,
    step_11,
    step_12,
    step_13,
    step_14,
)
from alpenhorn.index.migrations.ddl import AddColumn, AddIndex, CreateTable, Migration, Part

MIGRATIONS: tuple[Migration, ...] = (
    step_1.MIGRATION,
    step_2.MIGRATION,
    step_3.MIGRATION,
    step_4.MIGRATION,
    step_5.MIGRATION,
    step_6.MIGRATION,
    step_7.MIGRATION,
    step_8.MIGRATION,
    step_9.MIGRATION,
    step_10.MIGRATION,
    step_11.MIGRATION,
    step_12.MIGRATION,
    step_13.MIGRATION,
    step_14.MIGRATION,
)


def missing(index: Index, migrations: Sequence[Migration] = MIGRATIONS) -> list[Part]:
    """Return the parts that the index lacks, in the order in which they must be applied.

    The daemon's tables must exist, or be created first.
    """
    tables = set(index.db.get_tables())

    @cache
    def columns(table: str) -> set[str]:
        return {column.name for column in index.db.get_columns(table)} if table in tables else set()

    @cache
    def indexes(table: str) -> set[str]:
        return {one.name for one in index.db.get_indexes(table)} if table in tables else set()

    parts: list[Part] = []
    for migration in migrations:
        lacking = [one for one in migration.indexes if one.name not in indexes(one.table)]
        created = {table.name for table in migration.tables} - tables
        for table in migration.tables:
            if table.name in created:
                own = tuple(one for one in lacking if one.table == table.name)
                parts.append(CreateTable(table, own))
            else:
                parts += [
                    AddColumn(table.name, column)
                    for column in table.columns
                    if column.name not in columns(table.name)
                ]
        for name, column in migration.columns:
            made = next(
                (part for part in parts if isinstance(part, CreateTable) and part.table.name == name), None
            )
            if made is not None and column.default is None:
                # A new table is created with the column.
                whole = made.table._replace(columns=(*made.table.columns, column))
                parts[parts.index(made)] = CreateTable(whole, made.indexes)
            elif column.name not in columns(name):
                parts.append(AddColumn(name, column))
        parts += [AddIndex(one) for one in lacking if one.table not in created]
    return parts


def problems(parts: Iterable[Part]) -> list[str]:
    """Describe the parts that cannot be applied, with remedies: columns without a default in existing tables."""
    return [
        f"table {part.table}: column {part.column.name} is missing and cannot be added; restore the index from a backup"
        for part in parts
        if isinstance(part, AddColumn) and not part.column.addable
    ]
