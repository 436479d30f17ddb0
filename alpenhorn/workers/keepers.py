"""Look at the keepers of a copy, the copies that allow its deletion, just before the deletion.

The index may be outdated: keepers may have been removed, replaced or truncated.  Keepers on other hosts:
`alpenhorn.workers.remote_keepers`; keepers that are objects: `alpenhorn.workers.objects.keepers`.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import NamedTuple, Protocol

from alpenhorn.errors import StorageError, UnsafePath
from alpenhorn.extensions.registry import directory_io
from alpenhorn.fs.removal import DirectoryEntry, FileDiffers, OpenRoot
from alpenhorn.model.deletions import DeleteFile
from alpenhorn.model.nodes import NodeFact
from alpenhorn.reasons import Code, Reason, Why
from alpenhorn.workers.uncounted import Inode, KeeperUncounted, WrongKeeper


class KeepersElsewhere(Protocol):
    """Keepers that are not files of this host."""

    def __contains__(self, node_id: int) -> bool: ...

    def name(self, node_id: int) -> str: ...

    def inode(self, node_id: int, file: DeleteFile, size_b: int | None) -> Inode:
        """Return what tells a keeper from others; `size_b`: the length that it must have, None for any.

        Raises KeeperUncounted, WrongKeeper, Stopped.
        """
        ...


class KeeperDecision(NamedTuple):
    """The decision for a file.  `kept`: why the file must stay, or ""; `wrong`: see DeleteResult."""

    kept: Why
    wrong: tuple[tuple[int, Reason], ...]


class JobKeepers:
    """The keepers of a job's files, a context manager.  Opens the roots of the nodes when first needed.

    The marker is read then, and again when a copy looks wrong.  `elsewhere`: the keepers that are not files of this
    host.
    """

    def __init__(self, nodes: Sequence[NodeFact], elsewhere: Sequence[KeepersElsewhere] = ()) -> None:
        self._nodes = {node.id: node for node in nodes}
        self._elsewhere = elsewhere
        self._roots: dict[int, OpenRoot] = {}
        self._absent: dict[int, str] = {}

    def __enter__(self) -> JobKeepers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._roots:
            self._roots.popitem()[1].close()

    def judge(self, file: DeleteFile, target: DirectoryEntry | None) -> KeeperDecision:
        """Decide whether the file `target` may be removed; None for an object, which is no file.

        Keepers that are hard links of one file count once.  A keeper that is a hard link of `target` counts,
        unless it is the same name, since its bytes stay.  Raises Stopped if the run is asked to stop while
        other hosts are looked at.
        """
        failing: list[str] = []
        wrong: list[tuple[int, Reason]] = []
        seen: dict[Inode, str] = {}
        for node_id in file.keepers:
            name = self._name(node_id)
            try:
                inode = self._look(node_id, file, target)
            except KeeperUncounted as why:
                failing.append(f"{name}: {why}")
            except WrongKeeper as why:
                wrong.append((node_id, why.reason))
                failing.append(f"{name}: {why}")
            else:
                if inode in seen:
                    failing.append(f"{name}: copy is a hard link to that on {seen[inode]}")
                else:
                    seen[inode] = name
        kept: Why = ""
        if len(failing) > file.spare:
            kept = Code.KEEPERS_NOT_AS_RECORDED(failing="; ".join(failing))
        return KeeperDecision(kept, tuple(wrong))

    def _name(self, node_id: int) -> str:
        for keepers in self._elsewhere:
            if node_id in keepers:
                return keepers.name(node_id)
        return self._nodes[node_id].name if node_id in self._nodes else f"node {node_id}"

    def _look(self, node_id: int, file: DeleteFile, target: DirectoryEntry | None) -> Inode:
        """Return the inode of a keeper.  Raises KeeperUncounted, WrongKeeper, Stopped."""
        size_b = file.size_b if file.length is None else file.length
        for keepers in self._elsewhere:
            if node_id in keepers:
                return keepers.inode(node_id, file, size_b)
        entry = self._entry(node_id, file.path, size_b)
        if target is not None and entry.is_same_name(target):
            raise KeeperUncounted("copy is the same file as the one to delete")
        return "", *entry.inode

    def _entry(self, node_id: int, path: str, size_b: int | None) -> DirectoryEntry:
        root = self._open(node_id)
        try:
            return root.look(path, size_b)
        except (FileNotFoundError, NotADirectoryError):
            why = Code.KEEPER_MISSING()
        except (FileDiffers, UnsafePath) as error:
            why = error.reason
        except OSError as error:
            why = Code.KEEPER_NOT_LOOKED_AT(why=error.strerror or error)
        try:
            root.check()
        except (StorageError, OSError) as gone:
            self._roots.pop(node_id).close()
            self._absent[node_id] = str(gone)
            raise KeeperUncounted(str(gone)) from None
        raise WrongKeeper(why)

    def _open(self, node_id: int) -> OpenRoot:
        root = self._roots.get(node_id)
        if root is not None:
            return root
        if node_id not in self._absent:
            try:
                root = self._roots[node_id] = directory_io(self._nodes[node_id], "a look").open_root()
            except KeyError:
                self._absent[node_id] = "node is not part of the deletion job"
            except (StorageError, OSError) as error:
                self._absent[node_id] = str(error)
            else:
                return root
        raise KeeperUncounted(self._absent[node_id])
