"""The check, at each start, that an index has the tables and versions that this program knows.

Apart from what creates them, since no run needs the tables' models, which take 3 ms to make.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import peewee as pw

from alpenhorn.errors import IndexUnusable
from alpenhorn.index.connection import Index
from alpenhorn.index.versions import OLD_COLUMNS, OURS, VERSIONS

if TYPE_CHECKING:
    from alpenhorn.index.shapes import FoundTables

# One query that fails where a table is missing, or a column of those that changed between releases, and whose own
# columns tell the older ones.
_SHAPE = (
    "SELECT n.*, n.group_id, n.io_class, n.io_config, n.max_total_gb, n.avail_gb_last_checked, n.archive, "
    "h.address AS host__address, g.io_config AS group__io_config FROM storagenode n "
    "LEFT JOIN storagehost h ON h.id = n.host_id LEFT JOIN storagegroup g ON g.id = n.group_id "
    + " ".join(f"LEFT JOIN {table} ON 1 = 0" for table in OURS)
    + " LIMIT 0"
)


def require_current(index: Index) -> None:
    """Raise IndexUnusable, with the remedy, unless the index has the tables and versions known here.

    Two queries where all is well.
    """
    try:
        versions = dict(index.execute("SELECT component, version FROM dataindexversion").fetchall())
        shape = index.execute(_SHAPE).description
    except (pw.OperationalError, pw.ProgrammingError):
        from alpenhorn.index.shapes import MODELS  # it makes the tables' models

        found = _described(index)
        refuse_other_versions(index, found.versions or {})
        if not found.columns:
            raise _uninitialised(index, "has no tables yet") from None
        refuse_other_shapes(index, found)
        for component in VERSIONS:
            tables = MODELS if component == "alpenhorn" else OURS
            missing = [name for name in tables if name not in found.tables]
            if missing and (component == "alpenhorn" or component in (found.versions or {})):
                raise _uninitialised(index, f"lacks the table {', '.join(missing)}") from None
        _refuse_uninitialised(index, found.versions or {})
        raise
    refuse_other_versions(index, versions)
    # An upgrade that was cut short leaves both the old columns and all the new ones.
    if not {column[0] for column in shape}.isdisjoint(OLD_COLUMNS):
        refuse_other_shapes(index, _described(index))
    _refuse_uninitialised(index, versions)


def _uninitialised(index: Index, what: str) -> IndexUnusable:
    return IndexUnusable(f"the index {index.url} {what}: run `alpenhorn db init`")


def _refuse_uninitialised(index: Index, versions: Mapping[str, int]) -> None:
    for component in VERSIONS:
        if component not in versions:
            raise _uninitialised(index, f"has no tables of the component {component} yet")


def _described(index: Index) -> FoundTables:
    from alpenhorn.index.shapes import describe  # 1 ms, and the indexes of most runs are today's

    return describe(index)


def refuse_other_shapes(index: Index, found: FoundTables) -> None:
    """Raise IndexUnusable when the index has the tables of an older release."""
    from alpenhorn.index.shapes import complaint  # as above

    wrong = complaint(found, index.url)
    if wrong:
        raise IndexUnusable(wrong)


def refuse_other_versions(
    index: Index,
    versions: Mapping[str, int],
    needed: Mapping[str, int] = VERSIONS,
    *,
    upgrading: bool = False,
) -> None:
    """Raise IndexUnusable when a component has another version than this program needs.

    `upgrading`: an older version of our own tables is accepted.
    """
    for component, number in needed.items():
        found = versions.get(component, number)
        if type(found) is not int:
            raise IndexUnusable(
                f"the index {index.url} has no number as the version of the component {component}: correct its row in"
                " the table dataindexversion"
            )
        if found == number or (upgrading and component == "sync" and found < number):
            continue
        if found > number:
            remedy = "install a newer alpenhorn"
        elif component == "sync":
            remedy = "run `alpenhorn db upgrade`; nothing was changed"
        else:
            remedy = "migrate it with the program that made it"
        raise IndexUnusable(f"the index {index.url} {other_version(component, found, number)}: {remedy}")


def other_version(component: str, found: int, needed: int) -> str:
    """What is wrong, in words that follow "the index"."""
    return f"has version {found} of the component {component}, and this program needs version {needed}"
