"""Open the configured index: by its URL, or through the package that [database] extension names."""

from __future__ import annotations

from typing import Any

from alpenhorn.config import Database
from alpenhorn.errors import IndexUnusable
from alpenhorn.index.connection import Index
from alpenhorn.reasons import Code, Why


def open_index(wanted: Database, *, create: bool = False) -> Index:
    """Connect to the configured index; `create`: create a missing SQLite file, if the index has a URL.

    Raises IndexUnusable, also if the package cannot be loaded or cannot connect.
    """
    if not wanted.extension:
        return Index.configured(wanted, create=create)
    # Few indexes are opened by a package.
    from alpenhorn.extensions import points
    from alpenhorn.index.connector import Lender
    from alpenhorn.index.lent import lent

    setting = f'[database] extension = "{wanted.extension}"'
    found = points.named(points.DATABASE, wanted.extension, connector_fault)
    if found is None:
        known = sorted({one.name for one in points.offered(points.DATABASE)})
        others = f"; installed: {', '.join(known)}" if known else ""
        raise IndexUnusable(
            f"{setting}: no installed package provides it{others}; to list all: alpenhorn plugins"
        )
    if found.loaded is None:
        raise IndexUnusable(f"{setting}, of {found.origin}: {found.error}")
    lender = Lender(found.loaded, wanted.extension, found.package)
    return Index.over(lent(lender), lender.shown)


def connector_fault(found: Any) -> Why:
    """Return why an object of a package is not a connector to the index; "" if it is one."""
    from alpenhorn.index.connector import fault  # as above

    why = fault(found)
    return Code.PLUGIN_CONNECTOR_UNUSABLE(detail=why) if why else ""
