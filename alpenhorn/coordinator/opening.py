"""Open the configured index: by its URL, or through the package that [database] extension names."""

from __future__ import annotations

from alpenhorn.config import Database
from alpenhorn.errors import IndexUnusable
from alpenhorn.index.connection import Index


def open_index(wanted: Database, *, create: bool = False) -> Index:
    """Connect to the configured index; `create`: create a missing SQLite file, if the index has a URL.

    Raises IndexUnusable, also if the package cannot be loaded or cannot connect.
    """
    if not wanted.extension:
        return Index.configured(wanted, create=create)
    # Few indexes are opened by a package.
    from alpenhorn.coordinator.plugins import connector
    from alpenhorn.index.connector import Lender
    from alpenhorn.index.lent import lent

    name = wanted.extension
    found, known = connector(name)
    if found is None:
        others = f"; installed: {', '.join(known)}" if known else ""
        raise IndexUnusable(
            f'[database] extension = "{name}": no installed package provides it{others}; to list all: alpenhorn plugins'
        )
    if found.loaded is None:
        raise IndexUnusable(f'[database] extension = "{name}", of {found.origin}: {found.error}')
    lender = Lender(found.loaded, name, found.package)
    return Index.over(lent(lender), lender.shown)
