"""Creation of the index's tables.

`create` adds missing tables and indexes and never alters or drops existing ones, so an index of the alpenhorn daemon
can be used as it is, and still by the daemon afterwards.  The `sync_` tables are created by the steps of
`alpenhorn.index.migrations`, in a new index as well as in an upgrade.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from alpenhorn.errors import IndexUnusable, Refused
from alpenhorn.index.connection import Index
from alpenhorn.index.current import refuse_other_versions
from alpenhorn.index.migrations import ddl, steps
from alpenhorn.index.migrations.ddl import IndexOn
from alpenhorn.index.shapes import FoundTables, describe, refuse_other
from alpenhorn.index.tables import ALPENHORN_TABLES, SYNC_TABLES, TableModel
from alpenhorn.index.versions import VERSIONS

COMPONENTS: dict[str, tuple[type[TableModel], ...]] = {"alpenhorn": ALPENHORN_TABLES, "sync": SYNC_TABLES}

# Seconds for which a second `db init` waits for the first.
CREATION_TIMEOUT = 60

# Additional indexes on the daemon's tables, which have none for pending work.
EXTRA_INDEXES = (
    IndexOn("archivefilecopyrequest", "sync_request_by_group", ("group_to_id", "completed", "cancelled")),
    IndexOn("archivefilecopyrequest", "sync_request_by_source", ("node_from_id", "completed", "cancelled")),
    IndexOn("archivefilecopy", "sync_copy_by_state", ("node_id", "has_file", "wants_file")),
    IndexOn("archivefileimportrequest", "sync_import_by_node", ("node_id", "completed")),
    IndexOn("archivefilecopy", "sync_copy_by_update", ("last_update", "file_id")),
)


def create(index: Index, only: str | None = None) -> list[str]:
    """Add the missing tables and indexes of the component `only`, or of all, and return descriptions of them.

    Raises IndexUnusable for the tables of an older release or of another version, Refused for the component
    sync without alpenhorn.
    """
    components = list(VERSIONS) if only is None else [only]
    with exclusive(index):
        found = describe(index)
        versions = found.versions or {}
        refuse_other_versions(index, versions)
        refuse_other(index, found)
        if only == "sync" and not found.tables.issuperset(_names("alpenhorn")):
            raise Refused(
                "component sync: needs the component alpenhorn, which is missing; "
                "run `alpenhorn db init` without --only"
            )
        added = []
        for component in components:
            unfinished = component not in versions
            added += _add_sync(index) if component == "sync" else _add_alpenhorn(index, found, unfinished)
            # Last, since `require_current` takes the version as proof that all tables exist.
            if unfinished:
                record_version(index, component, VERSIONS[component])
                added.append(f"version {VERSIONS[component]} of the component {component}")
    return added


def _add_alpenhorn(index: Index, found: FoundTables, unfinished: bool) -> list[str]:
    added = []
    for table in ALPENHORN_TABLES:
        if table._meta.table_name not in found.tables:
            create_table(index, table)
            added.append(f"table {table._meta.table_name}")
        elif unfinished:
            # On MariaDB an interrupted creation leaves a table without its indexes, and no version.
            added += _create_indexes(index, absent(index, declared_indexes(table)))
    return added


def _add_sync(index: Index) -> list[str]:
    parts = steps.missing(index)
    if wrong := steps.problems(parts):
        raise IndexUnusable(f"index {index.url}: damaged: {'; '.join(wrong)}")
    for part in parts:
        ddl.apply(index, part)
    return [part.added for part in parts]


def create_table(index: Index, table: type[TableModel]) -> None:
    """Create a table and its indexes."""
    sql, params = table._schema._create_table(safe=True).query()  # type: ignore[attr-defined]
    index.db.execute_sql(sql + ddl.table_options(index), params)
    _create_indexes(index, declared_indexes(table))


def record_version(index: Index, component: str, version: int) -> None:
    """Record that all tables of this version of a component exist."""
    if index.execute("SELECT 1 FROM dataindexversion WHERE component = ?", (component,)).fetchone():
        index.execute("UPDATE dataindexversion SET version = ? WHERE component = ?", (version, component))
    else:
        index.execute("INSERT INTO dataindexversion (component, version) VALUES (?, ?)", (component, version))


def declared_indexes(table: type[TableModel]) -> list[IndexOn]:
    """Return the indexes of a table's model, without its primary key."""
    return [
        IndexOn(
            table._meta.table_name,
            declared._name,
            tuple(field.column_name for field in declared._expressions),
            bool(declared._unique),
        )
        for declared in table._meta.fields_to_index()
    ]


def absent(index: Index, wanted: Sequence[IndexOn]) -> list[IndexOn]:
    """Return the indexes among `wanted` whose names do not exist; their tables must exist."""
    present = {
        table: {found.name for found in index.db.get_indexes(table)}
        for table in {one.table for one in wanted}
    }
    return [one for one in wanted if one.name not in present[one.table]]


def _names(component: str) -> list[str]:
    return [table._meta.table_name for table in COMPONENTS[component]]


@contextmanager
def exclusive(index: Index) -> Iterator[None]:
    """Exclude a second creation or upgrade: with the write lock on SQLite, and with a named lock on MariaDB, where
    every CREATE commits."""
    if index.dialect.transactional_ddl:
        with index.transaction():
            yield
        return
    # SHA2 shortens the name: locks have at most 64 characters.  MySQL no longer has MD5.
    name = "CONCAT('alpenhorn:', LEFT(SHA2(DATABASE(), 256), 32))"
    (granted,) = index.execute(f"SELECT GET_LOCK({name}, ?)", (CREATION_TIMEOUT,)).fetchone()
    if not granted:
        raise IndexUnusable(
            f"index {index.url}: another program is creating or upgrading it; try again later"
        )
    try:
        yield
    finally:
        index.execute(f"SELECT RELEASE_LOCK({name})")


def _create_indexes(index: Index, missing: list[IndexOn]) -> list[str]:
    for one in missing:
        index.execute(one.ddl)
    return [f"index {one.name}" for one in missing]
