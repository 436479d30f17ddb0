"""Roots that are the same or inside one another, whose files would be found and counted twice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from posixpath import normpath
from typing import NamedTuple


class Root(NamedTuple):
    """The root of an active node on one host."""

    node: str
    path: str


class Overlap(NamedTuple):
    """Two overlapping roots.  `how`: "is", "contains" or "lies in"."""

    one: Root
    how: str
    other: Root

    def __str__(self) -> str:
        also = "also " if self.how == "is" else ""
        return (
            f"the root {self.one.path} of node {self.one.node} {self.how} {also}the root {self.other.path} of node"
            f" {self.other.node}"
        )


def overlap(one: Root, other: Root, real: Mapping[str, str]) -> Overlap | None:
    """Return the overlap of two roots of a host, None if there is none.

    `real`: paths without symbolic links, as far as known.
    """
    for first, second in (
        (normpath(one.path), normpath(other.path)),
        (real.get(one.path, one.path), real.get(other.path, other.path)),
    ):
        how = _how(first, second)
        if how:
            return Overlap(one, how, other)
    return None


def _how(one: str, other: str) -> str:
    if one == other:
        return "is"
    if other.startswith(_within(one)):
        return "contains"
    return "lies in" if one.startswith(_within(other)) else ""


def _within(root: str) -> str:
    return root if root.endswith("/") else f"{root}/"


def first_overlap(one: Root, others: Iterable[Root], real: Mapping[str, str]) -> Overlap | None:
    return next((found for other in others if (found := overlap(one, other, real))), None)


def overlaps(roots: Iterable[Root], real: Mapping[str, str]) -> list[Overlap]:
    """Return each pair of overlapping roots of a host once."""
    found: list[Overlap] = []
    seen: list[Root] = []
    for root in roots:
        found += [one for other in seen if (one := overlap(root, other, real))]
        seen.append(root)
    return found
