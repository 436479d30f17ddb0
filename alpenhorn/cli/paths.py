"""Paths on a node and names of acquisitions and files, as given by users."""

from __future__ import annotations

from shlex import quote
from typing import Any

import click

from alpenhorn.cli.arguments import text_problem
from alpenhorn.errors import Refused, UnsafePath
from alpenhorn.fs.paths import check_relative
from alpenhorn.model.lengths import ACQ_LENGTH, NAME_LENGTH
from alpenhorn.model.nodes import MARKER
from alpenhorn.plan.imports import unimportable
from alpenhorn.scan.names import below

LENGTH = 1024


def path_below(path: str, root: str | None, node: str) -> str:
    """Return `path` relative to the node's root, without empty or `.` elements; empty for the root itself.

    Raises UsageError if it is not below the root, Refused if it is absolute and the node has no root.
    """
    elements = path.split("/")
    if ".." in elements:
        raise click.UsageError(
            f"{path!a}: contains a .. element; give the plain path below the root of node {node}"
        )
    inner = path
    if path.startswith("/"):
        if not root:
            raise Refused(f"{path!a}: node {node} has no root; give a relative path")
        inner = below(path, root)
        if inner.startswith("/"):
            raise click.UsageError(f"{path!a}: not below the root of node {node}, {root!a}")
    plain = "/".join(element for element in inner.split("/") if element not in ("", "."))
    wrong = text_problem(plain, LENGTH)
    if wrong:
        raise click.UsageError(f"path {path[:80]!a}: {wrong}")
    if plain == MARKER:
        raise click.UsageError(
            f"{MARKER}: the marker of a node, not a data file; to initialise the node: alpenhorn node init"
            f" {quote(node)}"
        )
    return plain


class PathName(click.ParamType[str]):
    """The name of a new acquisition or file, limited to names that an import can create."""

    def __init__(self, name: str, length: int) -> None:
        self.name = name
        self.length = length

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        wrong = text_problem(text, self.length)
        if wrong:
            self.fail(f"name {text[:80]!a}: {wrong}", param, ctx)
        try:
            check_relative(text)
        except UnsafePath as error:
            self.fail(str(error), param, ctx)
        wrong = unimportable(text, "file") if self.name == "acquisition" else unimportable("acq", text)
        if wrong:
            self.fail(f"name {text[:80]!a}: not allowed: {wrong}", param, ctx)
        return text


NEW_ACQ = PathName("acquisition", ACQ_LENGTH)
NEW_FILE = PathName("file", NAME_LENGTH)
