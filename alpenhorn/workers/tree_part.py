"""What belongs to a part of a node's tree that a job compares with the index, and how much one job compares."""

from __future__ import annotations

import os
from collections.abc import Iterable

from alpenhorn.fs.placing import PRIVATE
from alpenhorn.model.nodes import MARKER
from alpenhorn.model.reconcile import TreePart

ENOUGH = 10_000  # differences per job; directories without copies are then left to another job
MOST_ENTRIES = 100_000  # entries listed per job, likewise: a job has a deadline


class PartLimits:
    """The limits `after` and `until` of a part."""

    def __init__(self, part: TreePart) -> None:
        self._after = b"" if part.after is None else os.fsencode(part.after)
        self._until = None if part.until is None else os.fsencode(part.until)
        self._any = part.after is not None or part.until is not None

    def belongs(self, path: str) -> bool:
        """Return whether a file is within the limits."""
        if not self._any:
            return True
        key = os.fsencode(path)
        return key > self._after and (self._until is None or key <= self._until)

    def may_hold(self, path: str) -> bool:
        """Return whether a directory may hold files within the limits."""
        if not self._any:
            return True
        first = os.fsencode(path) + b"/"
        behind = first > self._after or self._after.startswith(first)
        return behind and (self._until is None or first <= self._until)

    def divide(self, path: str) -> bool:
        """Return whether a directory may also hold files outside the limits."""
        first = os.fsencode(path) + b"/"
        return self._after.startswith(first) or (self._until is not None and self._until.startswith(first))


def holding(directories: Iterable[str]) -> set[str]:
    """Return these directories and all their parents."""
    found: set[str] = set()
    for path in directories:
        while path not in found:
            found.add(path)
            path = path.rpartition("/")[0]
    return found


def ours(path: str, name: str) -> bool:
    """Return whether it is a file or directory of alpenhorn's own."""
    return not path and (name == MARKER or name.startswith((PRIVATE, f".{MARKER}")))
