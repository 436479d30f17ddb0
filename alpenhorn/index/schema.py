"""Creation of the index's tables, and the check that they are those that this program knows.

Nothing that is there is ever altered or dropped: `create` adds what is missing, so that an index that the
alpenhorn daemon made can be used as it is, and given back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import peewee as pw

from alpenhorn.errors import IndexUnusable, Refused
from alpenhorn.index.connection import Index
from alpenhorn.index.tables import ALPENHORN_TABLES, OLD_COLUMNS, SYNC_TABLES, Table

if TYPE_CHECKING:
    from alpenhorn.index.shapes import Found

VERSIONS = {"alpenhorn": 2, "sync": 1}
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

# One query that fails where a table is missing, or a column of those that changed between releases, and whose own
# columns tell the older ones.
_SHAPE = (
    "SELECT n.*, n.group_id, n.io_class, n.io_config, n.max_total_gb, n.avail_gb_last_checked, n.archive, "
    "h.address AS host_address, g.io_config AS group_io_config FROM storagenode n "
    "LEFT JOIN storagehost h ON h.id = n.host_id LEFT JOIN storagegroup g ON g.id = n.group_id "
    + " ".join(f"LEFT JOIN {table._meta.table_name} ON 1 = 0" for table in SYNC_TABLES)
    + " LIMIT 0"
)


def require_current(index: Index) -> None:
    """Raise IndexUnusable, with the remedy, unless the index has the tables and versions known here.

    Two queries where all is well.
    """
    try:
        versions = _versions(index)
        shape = index.execute(_SHAPE).description
    except (pw.OperationalError, pw.ProgrammingError):
        found = _described(index)
        refuse_other_versions(index, found.versions or {})
        if not found.columns:
            raise _uninitialised(index, "has no tables yet") from None
        _refuse_other_shapes(index, found)
        for component in VERSIONS:
            missing = [name for name in _names(component) if name not in found.tables]
            if missing and (component == "alpenhorn" or component in (found.versions or {})):
                raise _uninitialised(index, f"lacks the table {', '.join(missing)}") from None
        _refuse_uninitialised(index, found.versions or {})
        raise
    refuse_other_versions(index, versions)
    # An upgrade that was cut short leaves both the old columns and all the new ones.
    if not {column[0] for column in shape}.isdisjoint(OLD_COLUMNS):
        _refuse_other_shapes(index, _described(index))
    _refuse_uninitialised(index, versions)


def create(index: Index, only: str | None = None) -> list[str]:
    """Add the missing tables and indexes, of the component `only` or of all, and return what was added.

    Raises IndexUnusable for the tables of an older release or of another version, Refused for the component
    sync without alpenhorn.
    """
    components = list(VERSIONS) if only is None else [only]
    with alone(index):
        found = _described(index)
        versions = found.versions or {}
        refuse_other_versions(index, versions)
        _refuse_other_shapes(index, found)
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


def _versions(index: Index) -> dict[str, int]:
    return dict(index.execute("SELECT component, version FROM dataindexversion").fetchall())


def _uninitialised(index: Index, what: str) -> IndexUnusable:
    return IndexUnusable(f"the index {index.url} {what}: run `alpenhorn db init`")


def _refuse_uninitialised(index: Index, versions: Mapping[str, int]) -> None:
    for component in VERSIONS:
        if component not in versions:
            raise _uninitialised(index, f"has no tables of the component {component} yet")


def _described(index: Index) -> Found:
    from alpenhorn.index.shapes import describe  # 1 ms, and the indexes of most runs are today's

    return describe(index)


def _refuse_other_shapes(index: Index, found: Found) -> None:
    from alpenhorn.index.shapes import complaint  # as above

    wrong = complaint(found, index.url)
    if wrong:
        raise IndexUnusable(wrong)


def refuse_other_versions(index: Index, versions: Mapping[str, int]) -> None:
    """Raise IndexUnusable when a component has another version than this program needs."""
    for component, needed in VERSIONS.items():
        found = versions.get(component, needed)
        if found != needed:
            remedy = (
                "install a newer alpenhorn" if found > needed else "migrate it with the program that made it"
            )
            raise IndexUnusable(
                f"the index {index.url} has version {found} of the component {component}, "
                f"and this program needs version {needed}: {remedy}"
            )


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
