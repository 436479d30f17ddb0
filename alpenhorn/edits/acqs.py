"""Acquisitions created."""

from __future__ import annotations

from alpenhorn.errors import Refused
from alpenhorn.index.connection import Index

THERE = "SELECT name FROM archiveacq WHERE name = ?"


def create(index: Index, name: str) -> None:
    """Raises Refused when there is one of that name, or one whose name the index takes for the same."""
    found = index.execute(THERE, (name,)).fetchone()
    if found is not None:
        raise _taken(name, found[0])

    def work() -> None:
        index.execute(index.insert_ignore("archiveacq", ("name",)), (name,))
        # One of this name was made by us, or by somebody who wanted the same at the same moment.
        (there,) = index.execute(THERE, (name,)).fetchone()
        if there != name:
            raise _taken(name, there)

    index.retry(work)


def _taken(name: str, there: str) -> Refused:
    if there == name:
        return Refused(f"there is an acquisition called {name!r} already; nothing was changed")
    return Refused(
        f"the index takes {name!r} for the name of the acquisition {there!r}, since its collation does not compare"
        " byte for byte; nothing was changed; see: alpenhorn db check"
    )
