"""Tables that packages add to the data index; each set of tables is a component with its own version.

A package offers its component as an entry point in the group `alpenhorn.index`.  A faulty component does not affect
other components or alpenhorn itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import peewee as pw

from alpenhorn.index import current, schema
from alpenhorn.index.connection import Index
from alpenhorn.index.tables import ALPENHORN_TABLES, TableModel
from alpenhorn.index.versions import VERSIONS

RESERVED_PREFIX = "sync_"  # of alpenhorn's own tables
NAME_LENGTH = 256


class PackageTable(TableModel):
    """Base class of the models of packages.  Give each a `table_name` that begins with the package's name."""

    class Meta:
        # Names of indexes begin with the table's name: SQLite has one namespace for the indexes of all tables.
        legacy_table_names = False


class Component(NamedTuple):
    """The tables of a package.  `models`: subclasses of PackageTable; their indexes are created with them.

    Refer to rows of alpenhorn by plain integers (`file_id`), not by foreign keys, which would prevent other programs
    from deleting them.  Increase `version` if an older package cannot use the tables; alpenhorn never alters them.
    """

    name: str
    version: int
    models: tuple[type[PackageTable], ...]


class Created(NamedTuple):
    """`added`: descriptions of created tables and indexes; `refused`: (component, reason)."""

    added: list[str]
    refused: list[tuple[str, str]]


def fault(found: Any) -> str:
    """Return why an object is not a valid component; "" if it is valid."""
    if not isinstance(found, Component):
        return f"{type(found).__name__} is not an alpenhorn.index.components.Component"
    if not isinstance(found.name, str) or not found.name or len(found.name) > NAME_LENGTH:
        return f"component name {found.name!r}: must be text of 1 to {NAME_LENGTH} characters"
    if found.name in VERSIONS:
        return f"component name {found.name}: reserved by alpenhorn; use the package's name"
    if type(found.version) is not int or found.version < 1:
        return f"component version {found.version!r}: must be an integer of at least 1"
    if not isinstance(found.models, tuple | list) or not found.models:
        return "the component has no models"
    for model in found.models:
        if not (isinstance(model, type) and issubclass(model, PackageTable)):
            return f"{model!r} is not a subclass of alpenhorn.index.components.PackageTable"
    names = [name.lower() for name in _tables(found)]
    taken = {table._meta.table_name for table in ALPENHORN_TABLES}
    for name in names:
        if name in taken or name.startswith(RESERVED_PREFIX):
            return f"table {name}: reserved by alpenhorn; give the model another table_name"
    return "two models have the same table" if len(set(names)) < len(names) else ""


def clashes(components: Sequence[Component]) -> dict[int, str]:
    """Return the positions of components that conflict with others, and the reasons; both sides are refused."""
    found = {}
    for number, one in enumerate(components):
        for other in (*components[:number], *components[number + 1 :]):
            shared = {name.lower() for name in _tables(one)} & {name.lower() for name in _tables(other)}
            if one.name == other.name:
                found[number] = f"component {one.name}: also in another package; uninstall one of them"
            elif shared:
                found[number] = f"table {min(shared)}: also in the component {other.name}"
    return found


def create(index: Index, components: Sequence[Component]) -> Created:
    """Add the missing tables.  Raises IndexUnusable if the index lacks alpenhorn's own tables."""
    current.require_current(index)
    made = Created([], [])
    with schema.exclusive(index):
        for component in components:
            versions = _versions(index)
            why = _other_version(component, versions) or _taken(index, component, versions)
            if not why:
                try:
                    made.added.extend(_create(index, component, versions))
                except pw.PeeweeException as error:
                    why = f"cannot create its tables: {error}"
            if why:
                made.refused.append((component.name, why))
    return made


def obstacle(index: Index, component: Component) -> str:
    """Return why the component cannot be used on this index, with the remedy; "" if it can."""
    versions = _versions(index)
    if why := _other_version(component, versions):
        return why
    existing = _existing(index)
    missing = [name for name in _tables(component) if name.lower() not in existing]
    if missing or component.name not in versions:
        return "the index lacks its tables; run `alpenhorn db init`"
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
        "install a newer package"
        if there > component.version
        else "migrate its tables as the package's documentation says"
    )
    return f"the index has version {there}, the package needs version {component.version}; {remedy}"


def _taken(index: Index, component: Component, versions: dict[str, int]) -> str:
    """Return why existing tables cannot belong to the component; "" if they can.

    An interrupted creation leaves tables without a version.
    """
    if component.name in versions:
        return ""
    existing = _existing(index)
    for model in component.models:
        name = model._meta.table_name
        if name.lower() in existing:
            there = {column.name for column in index.db.get_columns(existing[name.lower()])}
            lacking = sorted(set(model._meta.columns) - there)
            if lacking:
                return f"table {name}: exists, but has no column {', '.join(lacking)}"
    return ""


def _existing(index: Index) -> dict[str, str]:
    return {name.lower(): name for name in index.db.get_tables()}


def _tables(component: Component) -> list[str]:
    return [model._meta.table_name for model in component.models]


def _versions(index: Index) -> dict[str, int]:
    return dict(index.execute("SELECT component, version FROM dataindexversion").fetchall())
