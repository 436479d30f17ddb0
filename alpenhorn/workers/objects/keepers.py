"""Look at keepers that are objects, in batches, just before a deletion.

A keeper must exist with the right length and, where the service has an MD5 sum, with the right one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from alpenhorn.errors import StorageError
from alpenhorn.io.objects import ObjectNode, SeenObject
from alpenhorn.model.deletions import DeleteFile
from alpenhorn.reasons import Code
from alpenhorn.workers.objects.batches import Efforts
from alpenhorn.workers.uncounted import Inode, KeeperUncounted, WrongKeeper

FRESH_SECONDS = 30.0  # after that, a look no longer says that the object is there now
LOOK_SECONDS = 60.0


class ObjectKeepers:
    """The keepers of a job's files that are objects of this host's nodes.  `files`: all files of the job."""

    def __init__(
        self, nodes: Sequence[ObjectNode], files: Sequence[DeleteFile], stopping: Callable[[], bool]
    ) -> None:
        self._nodes = {node.node.id: node for node in nodes}
        self._files = files
        self._efforts = Efforts(None, stopping)
        self._seen: dict[int, dict[str, SeenObject | None]] = {}
        self._looked: dict[int, float] = {}

    def __contains__(self, node_id: int) -> bool:
        return node_id in self._nodes

    def name(self, node_id: int) -> str:
        return self._nodes[node_id].node.name

    def inode(self, node_id: int, file: DeleteFile, size_b: int | None) -> Inode:
        """Return what tells the keeper from others; `size_b`: the length that it must have, None for any.

        Raises KeeperUncounted, WrongKeeper, Stopped.
        """
        node = self._nodes[node_id]
        if why := node.refuses(file.path):
            raise KeeperUncounted(why)
        found = self._look(node, file)
        if found is None:
            raise WrongKeeper(Code.KEEPER_MISSING())
        if size_b is not None and found.size_b != size_b:
            raise WrongKeeper(Code.COPY_LENGTH_WRONG(found=found.size_b, expected=size_b))
        if found.md5sum and file.md5sum and found.md5sum != file.md5sum.lower():
            raise WrongKeeper(Code.COPY_MD5_WRONG(found=found.md5sum, expected=file.md5sum))
        return "objects", node_id, 0

    def _look(self, node: ObjectNode, file: DeleteFile) -> SeenObject | None:
        node_id = node.node.id
        fresh = time.monotonic() - self._looked.get(node_id, -FRESH_SECONDS) < FRESH_SECONDS
        if not fresh or file.path not in self._seen[node_id]:
            paths = self._next_paths(node, file)
            try:
                found = node.look(paths, self._efforts.next(LOOK_SECONDS))
            except StorageError as error:
                raise KeeperUncounted(str(error)) from None
            self._seen[node_id] = {path: found.get(path) for path in paths}
            self._looked[node_id] = time.monotonic()
        return self._seen[node_id][file.path]

    def _next_paths(self, node: ObjectNode, file: DeleteFile) -> list[str]:
        """Return the path of the file and those of the next files of the job with a keeper there."""
        paths = [file.path]
        wanted = False
        for one in self._files:
            wanted = wanted or one.copy_id == file.copy_id
            if (
                wanted
                and one.path != file.path
                and node.node.id in one.keepers
                and not node.refuses(one.path)
            ):
                paths.append(one.path)
        return paths[: node.batch_files]
