"""Creation of import requests; `alpenhorn.record.imports` records their results."""

from __future__ import annotations

import datetime
from typing import NamedTuple

from alpenhorn.index.connection import Index
from alpenhorn.model.nodes import MARKER


class ImportRequest(NamedTuple):
    """An import request.  `path`: relative to the node's root; "." is the root itself."""

    node_id: int
    path: str
    recurse: bool = False
    register: bool = False


def initialisation(node_id: int) -> ImportRequest:
    return ImportRequest(node_id, MARKER)


def file(index: Index, request: ImportRequest, now: datetime.datetime) -> bool:
    """Create the request; return False if an equal one is pending."""
    return index.retry(lambda: file_within(index, request, now))


def file_within(index: Index, request: ImportRequest, now: datetime.datetime) -> bool:
    """Create the request as `file` does, as a part of a transaction."""
    node_id, path, recurse, register = request
    cursor = index.execute(
        "INSERT INTO archivefileimportrequest (node_id, path, recurse, register, completed, timestamp)"
        " SELECT n.id, ?, ?, ?, 0, ? FROM storagenode n WHERE n.id = ? AND NOT EXISTS"
        " (SELECT 1 FROM archivefileimportrequest i WHERE i.node_id = n.id AND i.path = ?"
        " AND i.recurse = ? AND i.register = ? AND i.completed = 0)",
        (path, int(recurse), int(register), now, node_id, path, int(recurse), int(register)),
    )
    return int(cursor.rowcount) == 1
