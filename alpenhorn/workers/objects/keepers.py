"""Look at keepers that are objects, in batches, just before a deletion.

A keeper must exist with the right length and, where the service has an MD5 sum, with the right one.  The objects of
another host's node are looked at from this host, which must find the medium that the index knows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from alpenhorn.errors import AlpenhornError, StorageError
from alpenhorn.io.objects import ObjectNode, SeenObject
from alpenhorn.model.deletions import DeleteFile, DeleteJob
from alpenhorn.reasons import Code
from alpenhorn.workers.objects.batches import Efforts
from alpenhorn.workers.uncounted import Inode, KeeperUncounted, WrongKeeper

FRESH_SECONDS = 30.0  # after that, a look no longer says that the object is there now
LOOK_SECONDS = 60.0


class ObjectKeepers:
    """The keepers of a job's files that are objects, on nodes of any host.

    `nodes`: by id.  `silent`: the nodes that could not be looked at, and why; filled here, and not asked
    again, since a service that is down must not delay every file.
    """

    def __init__(
        self,
        job: DeleteJob,
        nodes: Mapping[int, ObjectNode],
        stopping: Callable[[], bool],
        silent: dict[str, AlpenhornError],
    ) -> None:
        self._host = job.node.host
        self._nodes = nodes
        self._files = job.files
        self._silent = silent
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
            place = f"node {node.node.name}"  # no address of a host contains a space
            if place in self._silent:
                raise KeeperUncounted(str(self._silent[place]))
            try:
                if node_id not in self._looked and node.node.host != self._host:
                    node.check_for_reading()  # no probe of this run has seen it
                found = node.look(paths, self._efforts.next(LOOK_SECONDS))
            except StorageError as error:
                self._silent[place] = why = self._unusable(node, error)
                raise KeeperUncounted(str(why)) from None
            self._seen[node_id] = {path: found.get(path) for path in paths}
            self._looked[node_id] = time.monotonic()
        return self._seen[node_id][file.path]

    def _unusable(self, node: ObjectNode, error: StorageError) -> StorageError:
        if node.node.host == self._host:
            return error
        return StorageError(
            Code.OBJECTS_NOT_READ_HERE(
                node=node.node.name, host=node.node.host, remote=node.remote, why=error
            )
        )

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
