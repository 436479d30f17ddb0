"""Paths on a node, as users give them to `node scan` and `file import`."""

from __future__ import annotations

import click

from alpenhorn.cli.options import fault
from alpenhorn.errors import Refused
from alpenhorn.model.nodes import MARKER
from alpenhorn.scan.names import below

LENGTH = 1024


def path_below(path: str, root: str | None, node: str) -> str:
    """`path` relative to the node's root, without blank or `.` elements; empty for the root itself.

    Raises UsageError when it leaves the root, Refused when that cannot be told.
    """
    elements = path.split("/")
    if ".." in elements:
        raise click.UsageError(f"{path!a} has an element ..; give the plain path below the root of {node}")
    inner = path
    if path.startswith("/"):
        if not root:
            raise Refused(f"node {node} has no root, so {path!a} cannot be below it; give a relative path")
        inner = below(path, root)
        if inner.startswith("/"):
            raise click.UsageError(f"{path!a} is not below the root of node {node}, {root!a}")
    plain = "/".join(element for element in inner.split("/") if element not in ("", "."))
    wrong = fault(plain, LENGTH)
    if wrong:
        raise click.UsageError(f"the path {path[:80]!a} {wrong}")
    if plain == MARKER:
        raise click.UsageError(f"{MARKER} is the mark of a node and no file; see: alpenhorn node init {node}")
    return plain
