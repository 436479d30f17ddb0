"""Creation of the index's tables.

Nothing that is there is ever altered or dropped: `create` adds what is missing, so that an index that the
alpenhorn daemon made can be used as it is, and given back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from alpenhorn.errors import IndexUnusable, Refused
from alpenhorn.index.connection import Index
from alpenhorn.index.current import refuse_other_shapes, refuse_other_versions
from alpenhorn.index.shapes import describe
from alpenhorn.index.tables import ALPENHORN_TABLES, SYNC_TABLES, Table
from alpenhorn.index.versions import VERSIONS

COMPONENTS: dict[str, tuple[type[Table], ...]] = {"alpenhorn": ALPENHORN_TABLES, "sync": SYNC_TABLES}

# How long a second `db init` waits for the first, in seconds.
CREATION_TIMEOUT = 60


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


# Ours on the daemon's tables, which have none that serves what is pending.
EXTRA_INDEXES = (
    IndexOn("archivefilecopyrequest", "sync_request_by_group", ("group_to_id", "completed", "cancelled")),
    IndexOn("archivefilecopyrequest", "sync_request_by_source", ("node_from_id", "completed", "cancelled")),
    IndexOn("archivefilecopy", "sync_copy_by_state", ("node_id", "has_file", "wants_file")),
    IndexOn("archivefileimportrequest", "sync_import_by_node", ("node_id", "completed")),
)


def create(index: Index, only: str | None = None) -> list[str]:
    """Add the missing tables and indexes, of the component `only` or of all, and return what was added.

    Raises IndexUnusable for the tables of an older release or of another version, Refused for the component
    sync without alpenhorn.
    """
    components = list(VERSIONS) if only is None else [only]
    with alone(index):
        found = describe(index)
        versions = found.versions or {}
        refuse_other_versions(index, versions)
        refuse_other_shapes(index, found)
        if only == "sync" and not found.tables.issuperset(_names("alpenhorn")):
            raise Refused(
                "the component sync rests on the component alpenhorn, which is not there: "
                "run `alpenhorn db init` without --only"
            )
        added = []
        for component in components:
            # On MariaDB a creation that was cut short leaves a table without its indexes, and no version.  To
            # our own tables a newer program may have added one.
            unfinished = component not in versions
            for table in COMPONENTS[component]:
                if table._meta.table_name not in found.tables:
                    create_table(index, table)
                    added.append(f"table {table._meta.table_name}")
                elif unfinished or component == "sync":
                    added += _create_indexes(index, absent(index, declared_indexes(table)))
            if component == "sync":
                added += _create_indexes(index, absent(index, EXTRA_INDEXES))
            # Last, since `require_current` takes it as the word that all of the above is there.
            if unfinished:
                added.append(record_version(index, component))
    return added


def create_table(index: Index, table: type[Table]) -> None:
    """Create a table and its indexes."""
    sql, params = table._schema._create_table(safe=True).query()  # type: ignore[attr-defined]
    index.db.execute_sql(sql + ("" if index.sqlite else _table_options(index)), params)
    _create_indexes(index, declared_indexes(table))


def record_version(index: Index, component: str) -> str:
    """Write down that a component's tables are all there; returns that in words."""
    index.execute(
        index.insert_ignore("dataindexversion", ("component", "version")), (component, VERSIONS[component])
    )
    return f"version {VERSIONS[component]} of the component {component}"


def declared_indexes(table: type[Table]) -> list[IndexOn]:
    """Return the indexes of a table's model, but for its primary key."""
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
    """Return those of `wanted`, on tables that must be there, that no index goes by the name of."""
    present = {
        table: {found.name for found in index.db.get_indexes(table)}
        for table in {one.table for one in wanted}
    }
    return [one for one in wanted if one.name not in present[one.table]]


def _names(component: str) -> list[str]:
    return [table._meta.table_name for table in COMPONENTS[component]]


@contextmanager
def alone(index: Index) -> Iterator[None]:
    """Keep a second creation or upgrade waiting: by the write lock on SQLite, by a named lock on MariaDB, where every
    CREATE commits."""
    if index.sqlite:
        with index.transaction():
            yield
        return
    name = "CONCAT('alpenhorn:', MD5(DATABASE()))"
    (granted,) = index.execute(f"SELECT GET_LOCK({name}, ?)", (CREATION_TIMEOUT,)).fetchone()
    if not granted:
        raise IndexUnusable(
            f"another program is creating or upgrading the index {index.url}: try again later"
        )
    try:
        yield
    finally:
        index.execute(f"SELECT RELEASE_LOCK({name})")


def _table_options(index: Index) -> str:
    """New tables compare text byte for byte; where the server has no such collation that also counts
    trailing blanks, the next best."""
    found = index.execute(
        "SELECT COUNT(*) FROM information_schema.collations WHERE collation_name = 'utf8mb4_nopad_bin'"
    ).fetchone()[0]
    collation = "utf8mb4_nopad_bin" if found else "utf8mb4_bin"
    return f" ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE {collation}"


def _create_indexes(index: Index, missing: list[IndexOn]) -> list[str]:
    for one in missing:
        index.execute(one.ddl)
    return [f"index {one.name}" for one in missing]
