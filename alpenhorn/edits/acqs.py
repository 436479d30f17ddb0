"""Creation of acquisitions."""

from __future__ import annotations

from alpenhorn.errors import Refused
from alpenhorn.index.connection import Index

THERE = "SELECT name FROM archiveacq WHERE name = ?"


def create(index: Index, name: str) -> None:
    """Create an acquisition.  Raises Refused if its name exists, or compares as equal to an existing name."""
    found = index.execute(THERE, (name,)).fetchone()
    if found is not None:
        raise _taken(name, found[0])

    def work() -> None:
        index.execute(index.insert_ignore("archiveacq", ("name",)), (name,))
        # A row with this name was created by this command, or by another one at the same time.
        (there,) = index.execute(THERE, (name,)).fetchone()
        if there != name:
            raise _taken(name, there)

    index.retry(work)


def _taken(name: str, there: str) -> Refused:
    if there == name:
        return Refused(f"acquisition {name!r}: exists already; nothing was changed")
    return Refused(
        f"acquisition {name!r}: same name as {there!r} in the index, whose collation does not compare bytes;"
        " nothing was changed; see: alpenhorn db check"
    )
