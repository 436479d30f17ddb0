"""The check, at each start, that an index has the tables and versions that this program knows.

This module does not import the tables' models, which runs do not need and which take 3 ms to create.
"""

from __future__ import annotations

from collections.abc import Mapping

import peewee as pw

from alpenhorn.errors import IndexIncomplete, IndexUnusable
from alpenhorn.index.connection import Index
from alpenhorn.index.versions import OLD_COLUMNS, SYNC_TABLE_NAMES, VERSIONS

# This query fails if a table is missing, or a column that changed between releases; its result shows old columns.
_SHAPE = (
    "SELECT n.*, n.group_id, n.io_class, n.io_config, n.max_total_gb, n.avail_gb_last_checked, n.archive, "
    "h.address AS host__address, g.io_config AS group__io_config FROM storagenode n "
    "LEFT JOIN storagehost h ON h.id = n.host_id LEFT JOIN storagegroup g ON g.id = n.group_id "
    + " ".join(f"LEFT JOIN {table} ON 1 = 0" for table in SYNC_TABLE_NAMES)
    + " LIMIT 0"
)


def require_current(index: Index) -> None:
    """Raise IndexUnusable, with the remedy, unless the index has the tables and versions that this program knows.

    Takes two queries if it does.
    """
    try:
        versions = dict(index.execute("SELECT component, version FROM dataindexversion").fetchall())
        shape = index.execute(_SHAPE).description
    except (pw.OperationalError, pw.ProgrammingError):
        from alpenhorn.index import shapes  # 6 ms with the tables' models; a current index needs neither

        found = shapes.describe(index)
        refuse_other_versions(index, found.versions or {})
        if not found.columns:
            raise _uninitialised(index, "no tables") from None
        shapes.refuse_other(index, found)
        for component in VERSIONS:
            tables = shapes.MODELS if component == "alpenhorn" else SYNC_TABLE_NAMES
            missing = [name for name in tables if name not in found.tables]
            if missing and (component == "alpenhorn" or component in (found.versions or {})):
                raise _uninitialised(index, f"missing tables: {', '.join(missing)}") from None
        _refuse_uninitialised(index, found.versions or {})
        raise
    refuse_other_versions(index, versions)
    # An interrupted upgrade leaves the old columns and all the new ones.
    if not {column[0] for column in shape}.isdisjoint(OLD_COLUMNS):
        from alpenhorn.index import shapes  # as above

        shapes.refuse_other(index, shapes.describe(index))
    _refuse_uninitialised(index, versions)


def missing_tables(index: Index) -> list[str]:
    """Return the daemon's tables that an index of this version lacks."""
    from alpenhorn.index import shapes  # as above

    found = shapes.describe(index)
    return [name for name in shapes.MODELS if name not in found.tables]


def _uninitialised(index: Index, what: str) -> IndexIncomplete:
    return IndexIncomplete(f"index {index.url}: {what}; run `alpenhorn db init`")


def _refuse_uninitialised(index: Index, versions: Mapping[str, int]) -> None:
    for component in VERSIONS:
        if component not in versions:
            raise _uninitialised(index, f"no tables of the component {component}")


def refuse_other_versions(
    index: Index,
    versions: Mapping[str, int],
    needed: Mapping[str, int] = VERSIONS,
    *,
    upgrading: bool = False,
) -> None:
    """Raise IndexUnusable if a component has another version than this program needs.

    `upgrading`: accept an older version of the component `sync`.
    """
    for component, number in needed.items():
        found = versions.get(component, number)
        if type(found) is not int:
            raise IndexUnusable(
                f"index {index.url}: version of the component {component} is not a number; correct its row in the"
                " table dataindexversion"
            )
        if found == number or (upgrading and component == "sync" and found < number):
            continue
        if found > number:
            remedy = "install a newer alpenhorn"
        elif component == "sync":
            remedy = "run `alpenhorn db upgrade`; nothing was changed"
        else:
            remedy = "migrate it with the program that created it"
        raise IndexUnusable(f"index {index.url}: {other_version(component, found, number)}; {remedy}")


def other_version(component: str, found: int, needed: int) -> str:
    """Describe the wrong version, as a predicate of "the index"."""
    return f"has version {found} of the component {component}, this program needs version {needed}"
