"""Roots that are the same or inside one another, whose files would be found and counted twice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
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
        (_plain(one.path), _plain(other.path)),
        (_plain(real.get(one.path, one.path)), _plain(real.get(other.path, other.path))),
    ):
        how = _how(first, second)
        if how:
            return Overlap(one, how, other)
    return None


def _plain(path: str) -> str:
    """Return an absolute path in one spelling: POSIX lets two slashes at its beginning mean something else."""
    return f"/{normpath(path).lstrip('/')}"


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
    every = list(roots)
    at: dict[str, list[int]] = {}
    for number, root in enumerate(every):
        for path in _spellings(root, real):
            at.setdefault(path, []).append(number)
    pairs = {
        (max(number, other), min(number, other))
        for number, root in enumerate(every)
        for path in _spellings(root, real)
        for above in (path, *map(str, PurePosixPath(path).parents))
        for other in at.get(above, ())
        if other != number
    }
    return [found for one, other in sorted(pairs) if (found := overlap(every[one], every[other], real))]


def _spellings(root: Root, real: Mapping[str, str]) -> set[str]:
    return {_plain(root.path), _plain(real.get(root.path, root.path))}
