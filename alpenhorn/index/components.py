"""Tables that packages add to the data index, each set a component with a version of its own.

A package offers its component as an entry point in the group `alpenhorn.index`.  What is wrong with one keeps the
others, and alpenhorn itself, from nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import peewee as pw

from alpenhorn.index import current, schema
from alpenhorn.index.connection import Index
from alpenhorn.index.tables import ALPENHORN_TABLES, TableModel
from alpenhorn.index.versions import VERSIONS

OURS = "sync_"  # what our own tables begin with
NAME_LENGTH = 256


class PackageTable(TableModel):
    """What the models of packages are subclasses of.  Give each a `table_name` that begins with the package's name."""

    class Meta:
        legacy_table_names = (
            False  # names of indexes begin with the table's, for on SQLite all are in one space
        )


class Component(NamedTuple):
    """`models` are subclasses of PackageTable, whose indexes are created with them.

    Refer to rows of alpenhorn by plain integers (`file_id`) and not by foreign keys, which would keep other programs
    from deleting them.  A new version is for tables that an older package cannot use; alpenhorn alters none.
    """

    name: str
    version: int
    models: tuple[type[PackageTable], ...]


class Created(NamedTuple):
    """`added`: what was created, in words; `refused`: (component, why)."""

    added: list[str]
    refused: list[tuple[str, str]]


def fault(found: Any) -> str:
    """Why an object is no component that could be added to any index; "" when it is one."""
    if not isinstance(found, Component):
        return f"it is {type(found).__name__}, not an alpenhorn.index.components.Component"
    if not isinstance(found.name, str) or not found.name or len(found.name) > NAME_LENGTH:
        return f"the component's name {found.name!r} is no text of 1 to {NAME_LENGTH} characters"
    if found.name in VERSIONS:
        return f"the component {found.name} is alpenhorn's own: give it the package's name"
    if type(found.version) is not int or found.version < 1:
        return f"the component's version {found.version!r} is no whole number from 1 on"
    if not isinstance(found.models, tuple | list) or not found.models:
        return "the component has no models"
    for model in found.models:
        if not (isinstance(model, type) and issubclass(model, PackageTable)):
            return f"{model!r} is no subclass of alpenhorn.index.components.PackageTable"
    names = [name.lower() for name in _tables(found)]
    taken = {table._meta.table_name for table in ALPENHORN_TABLES}
    for name in names:
        if name in taken or name.startswith(OURS):
            return f"the table {name} is alpenhorn's own: give its model another table_name"
    return "two of its models have the same table" if len(set(names)) < len(names) else ""


def clashes(components: Sequence[Component]) -> dict[int, str]:
    """Positions of components that cannot be there beside others, and why: neither is taken by chance."""
    found = {}
    for number, one in enumerate(components):
        for other in (*components[:number], *components[number + 1 :]):
            shared = {name.lower() for name in _tables(one)} & {name.lower() for name in _tables(other)}
            if one.name == other.name:
                found[number] = f"another package brings a component {one.name} too: uninstall one of them"
            elif shared:
                found[number] = f"the component {other.name} has a table {min(shared)} too"
    return found


def create(index: Index, components: Sequence[Component]) -> Created:
    """Add the tables that are missing, to an index that has alpenhorn's own.  Raises IndexUnusable without those."""
    current.require_current(index)
    made = Created([], [])
    with schema.alone(index):
        for component in components:
            versions = _versions(index)
            why = _other_version(component, versions) or _taken(index, component, versions)
            if not why:
                try:
                    made.added.extend(_create(index, component, versions))
                except pw.PeeweeException as error:
                    why = f"its tables cannot be created: {error}"
            if why:
                made.refused.append((component.name, why))
    return made


def obstacle(index: Index, component: Component) -> str:
    """Why the component cannot be used on this index as it is, with the remedy; "" when it can."""
    versions = _versions(index)
    if why := _other_version(component, versions):
        return why
    existing = _existing(index)
    missing = [name for name in _tables(component) if name.lower() not in existing]
    if missing or component.name not in versions:
        return "its tables are not in the index yet: run `alpenhorn db init`"
    return ""


def _create(index: Index, component: Component, versions: dict[str, int]) -> list[str]:
    existing = _existing(index)
    added = []
    for model in component.models:
        if model._meta.table_name.lower() not in existing:
            schema.create_table(index, model)
            added.append(f"table {model._meta.table_name}")
        else:
            missing = schema.absent(index, schema.declared_indexes(model))
            for one in missing:
                index.execute(one.ddl)
                added.append(f"index {one.name}")
    if component.name not in versions:
        index.execute(
            index.insert_ignore("dataindexversion", ("component", "version")),
            (component.name, component.version),
        )
        added.append(f"version {component.version} of the component {component.name}")
    return added


def _other_version(component: Component, versions: dict[str, int]) -> str:
    there = versions.get(component.name, component.version)
    if there == component.version:
        return ""
    remedy = (
        "install a newer package" if there > component.version else "migrate its tables as the package says"
    )
    return f"the index has version {there} of it, and the package needs version {component.version}: {remedy}"


def _taken(index: Index, component: Component, versions: dict[str, int]) -> str:
    """Why tables that are there already cannot be the component's own; "" when they can: a creation that was cut
    short leaves tables and no version."""
    if component.name in versions:
        return ""
    existing = _existing(index)
    for model in component.models:
        name = model._meta.table_name
        if name.lower() in existing:
            there = {column.name for column in index.db.get_columns(existing[name.lower()])}
            lacking = sorted(set(model._meta.columns) - there)
            if lacking:
                return f"there is another table {name}, without a column {', '.join(lacking)}"
    return ""


def _existing(index: Index) -> dict[str, str]:
    return {name.lower(): name for name in index.db.get_tables()}


def _tables(component: Component) -> list[str]:
    return [model._meta.table_name for model in component.models]


def _versions(index: Index) -> dict[str, int]:
    return dict(index.execute("SELECT component, version FROM dataindexversion").fetchall())
