"""Check whether a node's file system can hold a path, before the file is transferred."""

from __future__ import annotations

from alpenhorn.fs.abilities import Abilities
from alpenhorn.fs.placing import Replacement
from alpenhorn.model.pulls import PullFile
from alpenhorn.reasons import Code, Reason


class NameChecker:
    """The paths of the files of one job."""

    def __init__(self, abilities: Abilities, node: str) -> None:
        self._abilities = abilities
        self._node = node
        self._folded: dict[str, str] = {}
        self._reserved: set[str] = set()

    def refuses(self, file: PullFile) -> Reason | None:
        """Return why the file system cannot hold the file, None if it can.  Raises OSError."""
        able = self._abilities
        if able.largest_b is not None and file.size_b > able.largest_b:
            return Code.FILE_TOO_LARGE(node=self._node, kind=able.name, size_b=file.size_b)
        if name := able.refused(file.path):
            return Code.NAME_IMPOSSIBLE(node=self._node, kind=able.name, name=name)
        if able.folds:
            # Both would be one file in the stage as well.
            other = self._folded.setdefault(file.path.casefold(), file.path)
            if other == file.path:
                other = able.alias(file.path)
            if other:
                return Code.NAME_TAKEN(node=self._node, kind=able.name, path=file.path, other=other)
        return None

    @property
    def may_be_reserved(self) -> bool:
        """Whether an occupied path may be a name reserved by a killed pull (see `is_free`).  Raises OSError."""
        return self._abilities.reserves

    def is_free(self, path: str) -> bool:
        """Return whether `path` is only a name reserved by a killed pull."""
        if self._abilities.left_reserved(path):
            self._reserved.add(path)
        return path in self._reserved

    def replaces(self, file: PullFile) -> Replacement | None:
        """Return the permission to replace what is at a file's path, if there is one."""
        if file.path in self._reserved:
            return Replacement()
        return Replacement(file.since, file.aside) if file.replace else None
