"""Whether a node's file system can hold a file under its path, asked before any byte of it is brought."""

from __future__ import annotations

from alpenhorn.fs.abilities import Abilities
from alpenhorn.model.pulls import PullFile
from alpenhorn.reasons import Code, Reason


class Names:
    """The paths of the files of one job, taken one by one."""

    def __init__(self, abilities: Abilities, node: str) -> None:
        self._abilities = abilities
        self._node = node
        self._folded: dict[str, str] = {}
        self._reserved: set[str] = set()

    def refuses(self, file: PullFile) -> Reason | None:
        """Why the file system cannot hold that file, None when it can.  Raises OSError."""
        able = self._abilities
        if able.largest_b is not None and file.size_b > able.largest_b:
            return Code.FILE_TOO_LARGE(node=self._node, kind=able.name, size_b=file.size_b)
        if name := able.refused(file.path):
            return Code.NAME_IMPOSSIBLE(node=self._node, kind=able.name, name=name)
        if able.folds:
            # In the stage, too, the two would be one file.
            other = self._folded.setdefault(file.path.casefold(), file.path)
            if other == file.path:
                other = able.alias(file.path)
            if other:
                return Code.NAME_TAKEN(node=self._node, kind=able.name, path=file.path, other=other)
        return None

    def is_free(self, path: str) -> bool:
        """Whether what lies at `path` is no more than a name reserved by a pull that was killed."""
        if self._abilities.left_reserved(path):
            self._reserved.add(path)
        return path in self._reserved

    def replaces(self, file: PullFile) -> bool:
        """Whether the file may be renamed over what lies at its path."""
        return file.replace or file.path in self._reserved
