"""Look at the copies on this host's other nodes because of which a copy may be deleted, just before it is.

An index is a memory: a keeper may have been removed, exchanged or cut short since somebody saw it.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import NamedTuple

from alpenhorn.errors import StorageError, UnsafePath
from alpenhorn.extensions.registry import node_io
from alpenhorn.fs.removal import Differs, Entry, OpenRoot
from alpenhorn.model import DeleteFile, NodeFact


class Judgement(NamedTuple):
    """`kept`: why the file has to stay, "" when it may go; `wrong`: as in DeleteResult."""

    kept: str
    wrong: tuple[tuple[int, str], ...]


class _Absent(Exception):
    """The keeper's node cannot be looked at, which says nothing about the copy on it."""


class Keepers:
    """Opens the roots of the nodes when a file first needs them; a context manager.

    The marker is read then, and again when a copy on the node looks wrong.
    """

    def __init__(self, nodes: Sequence[NodeFact]) -> None:
        self._nodes = {node.id: node for node in nodes}
        self._roots: dict[int, OpenRoot] = {}
        self._absent: dict[int, str] = {}

    def __enter__(self) -> Keepers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._roots:
            self._roots.popitem()[1].close()

    def judge(self, file: DeleteFile, going: Entry) -> Judgement:
        """Decide whether the file `going` may be removed.

        Of keepers that are names of one file only one counts.  One that shares its bytes with `going` counts, unless
        it is the same name: the bytes stay when one of two names is removed.
        """
        failing: list[str] = []
        wrong: list[tuple[int, str]] = []
        seen: dict[tuple[int, int], str] = {}
        for node_id in file.keepers:
            name = self._nodes[node_id].name if node_id in self._nodes else f"node {node_id}"
            try:
                found, why = self._look(node_id, file)
            except _Absent as absent:
                failing.append(f"{name}: {absent}")
                continue
            if found is None:
                wrong.append((node_id, why))
            elif found.is_same_name(going):
                why = "its copy is the very file that is to be deleted"
            elif found.inode in seen:
                why = f"its copy is a hard link to that on {seen[found.inode]}"
            else:
                seen[found.inode] = name
            if why:
                failing.append(f"{name}: {why}")
        kept = ""
        if len(failing) > file.spare:
            kept = f"too few of the other copies are as recorded: {'; '.join(failing)}"
        return Judgement(kept, tuple(wrong))

    def _look(self, node_id: int, file: DeleteFile) -> tuple[Entry | None, str]:
        """The keeper, or None and what is wrong with it.  Raises _Absent."""
        root = self._open(node_id)
        try:
            return root.look(file.path, file.size_b if file.length is None else file.length), ""
        except (FileNotFoundError, NotADirectoryError):
            why = "its copy is missing"
        except (Differs, UnsafePath) as error:
            why = str(error)
        except OSError as error:
            why = f"its copy cannot be looked at: {error.strerror or error}"
        try:
            root.check()
        except (StorageError, OSError) as gone:
            self._roots.pop(node_id).close()
            self._absent[node_id] = str(gone)
            raise _Absent(str(gone)) from None
        return None, why

    def _open(self, node_id: int) -> OpenRoot:
        root = self._roots.get(node_id)
        if root is not None:
            return root
        if node_id not in self._absent:
            try:
                root = self._roots[node_id] = node_io(self._nodes[node_id]).open_root()
            except KeyError:
                self._absent[node_id] = "it is not one of this host's nodes that were to be looked at"
            except (StorageError, OSError) as error:
                self._absent[node_id] = str(error)
            else:
                return root
        raise _Absent(self._absent[node_id])
