"""Look at the keepers of a deletion on other hosts, over ssh, with one session per host and job.

Checked: the node's marker has the node's name before and after the look; each keeper is a regular file of the
right length; no directory between it and the root is a symbolic link.  Not checked: the contents, and whether
a file on one host is the same as one on another, through a network file system (the identity of media covers
that).  For a storage class without a marker (an empty `witness`), only its root is checked, which may be an
empty mount point; so a copy missing there does not count, but is not reported as wrong.

Keepers that cannot be looked at do not count, and nothing is recorded about them.  All are looked at when the
first file of the job needs it, so the loss of a keeper during the job is not noticed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from alpenhorn.errors import AlpenhornError, CommandFailed, Stopped, StorageError, UnsafePath
from alpenhorn.extensions.registry import remote_io
from alpenhorn.fs.command import run
from alpenhorn.fs.paths import check_relative
from alpenhorn.io.base import marked_name
from alpenhorn.model.deletions import DeleteFile
from alpenhorn.model.nodes import MARKER, NodeFact
from alpenhorn.reasons import Code, Reason
from alpenhorn.transfer import look, ssh
from alpenhorn.transfer.address import login, root_of
from alpenhorn.workers.uncounted import Inode, KeeperUncounted, WrongKeeper

MOST_AT_ONCE = 32  # sessions


class _Storage:
    """A node on another host.

    `where`: user and address.  `root`: without a trailing slash.  `witness`: the path of its marker, "" for
    none.
    """

    def __init__(self, node: NodeFact) -> None:
        """Raises StorageError if other hosts cannot reach the node."""
        remote = remote_io(node)
        if why := remote.unreachable():
            raise StorageError(Code.KEEPER_UNREACHABLE(why=why))
        self.node = node
        self.where = str(login(node))  # equal for two names of one machine
        self.root = root_of(node).rstrip("/")
        self.witness = f"{self.root}/{remote.witness}" if remote.witness else ""
        self.is_marker = remote.witness == MARKER
        try:
            os.fsencode(self.root + self.witness)
        except UnicodeEncodeError:
            raise StorageError(Code.ROOT_NAME_IMPOSSIBLE(root=self.root)) from None

    def paths(self, files: Sequence[DeleteFile]) -> Iterator[str]:
        """Yield the paths to look at: the keepers, and the directories above them."""
        if not self.witness:
            yield self._itself
        for file in files:
            if self.node.id in file.keepers:
                try:
                    check_relative(file.path)
                except UnsafePath:
                    continue  # such a file is never deleted
                yield from self.directories(file.path)
                yield f"{self.root}/{file.path}"

    def directories(self, path: str) -> Iterator[str]:
        elements = path.split("/")
        return (f"{self.root}/{'/'.join(elements[:i])}" for i in range(1, len(elements)))

    @property
    def _itself(self) -> str:
        return f"{self.root}/."  # the root may be a symbolic link

    def unseen(self, answer: look.LookAnswer) -> str:
        """Return why the right storage may not have been there all the time, "" if it was."""
        host = self.node.host
        if not self.witness:
            root = answer.found.get(self._itself)
            return "" if root is not None and root.is_directory else f"root on host {host} is not a directory"
        for marker in (answer.before.get(self.witness), answer.after.get(self.witness)):
            if marker is None:
                return f"not mounted on host {host}: cannot read {self.witness}"
            if self.is_marker and (name := marked_name(marker)) != self.node.name:
                return f"root on host {host} belongs to node {name!r}"
        return ""


class RemoteKeepers:
    """The keepers of a job's files in directories of other hosts.

    `files`: all files of the job; `nodes`: those of other hosts with directories.  `ssh`: the configured command.
    `stopping`: returns whether to give up.  `silent`: addresses that did not answer, and why; filled here, and not
    asked again, since a host that is down must not delay every job.
    """

    def __init__(
        self,
        files: Sequence[DeleteFile],
        nodes: Sequence[NodeFact],
        ssh: Sequence[str],
        stopping: Callable[[], bool],
        silent: dict[str, AlpenhornError],
    ) -> None:
        self._files = files
        self._nodes = {node.id: node for node in nodes}
        self._ssh = ssh
        self._stopping = stopping
        self._silent = silent
        self._storages: dict[int, _Storage] = {}
        self._uncounted: dict[int, str] = {}
        self._answers: dict[str, look.LookAnswer] | None = None

    def __contains__(self, node_id: int) -> bool:
        return node_id in self._nodes

    def name(self, node_id: int) -> str:
        return self._nodes[node_id].name

    def inode(self, node_id: int, file: DeleteFile, size_b: int | None) -> Inode:
        """Return the inode of a keeper; `size_b`: the length that it must have, None for any.

        Looks at all hosts when first called.  Raises KeeperUncounted, WrongKeeper, Stopped.
        """
        if self._answers is None:
            self._answers = self._ask()
        if node_id in self._uncounted:
            raise KeeperUncounted(self._uncounted[node_id])
        storage = self._storages[node_id]
        host = storage.node.host
        answer = self._answers[storage.where]
        path = f"{storage.root}/{file.path}"
        if path in answer.missing and storage.witness:
            raise WrongKeeper(Code.KEEPER_MISSING())
        if path in answer.missing:
            raise KeeperUncounted(f"its copy is missing on host {host}, or its storage is not mounted")
        if path not in answer.found:
            raise KeeperUncounted(f"cannot look at the copy on host {host}")
        found = answer.found[path]
        for name in (*storage.directories(file.path), path):
            if name not in answer.found:
                raise KeeperUncounted(f"cannot look at the copy on host {host}")
            if answer.found[name].is_link:
                raise WrongKeeper(Code.SYMBOLIC_LINK_ON_PATH(path=repr(file.path), name=repr(name)))
        if not found.is_file:
            raise WrongKeeper(Code.COPY_NOT_REGULAR())
        if size_b is not None and found.size_b != size_b:
            raise WrongKeeper(Code.COPY_LENGTH_WRONG(found=found.size_b, expected=size_b))
        return storage.where, found.device, found.inode

    def _ask(self) -> dict[str, look.LookAnswer]:
        """Return the answers by address; fill `_uncounted` with the nodes that cannot be looked at.  Raises Stopped."""
        by_address: dict[str, list[_Storage]] = {}
        for node in self._nodes.values():
            try:
                storage = _Storage(node)
            except StorageError as error:
                self._uncounted[node.id] = str(error)
            else:
                self._storages[node.id] = storage
                by_address.setdefault(storage.where, []).append(storage)
        if not by_address:
            return {}
        # In parallel: several silent hosts must not use up the time of the job.
        with ThreadPoolExecutor(min(len(by_address), MOST_AT_ONCE)) as threads:
            answers = dict(zip(by_address, threads.map(self._session, by_address.values()), strict=True))
        given: dict[str, look.LookAnswer] = {}
        for where, answer in answers.items():
            for storage in by_address[where]:
                if isinstance(answer, AlpenhornError):
                    why = str(answer)
                else:
                    why = storage.unseen(answer)
                    given[where] = answer
                if why:
                    self._uncounted[storage.node.id] = why
        return given

    def _session(self, storages: Sequence[_Storage]) -> look.LookAnswer | AlpenhornError:
        """Look at the keepers on one host; return its answer, or why there is none.  Raises Stopped."""
        where = storages[0].where
        if where in self._silent:
            return self._silent[where]
        paths = dict.fromkeys(path for storage in storages for path in storage.paths(self._files))
        markers = [storage.witness for storage in storages if storage.witness]
        try:
            done = run(
                look.command(self._ssh, storages[0].node),
                timeout=look.seconds(len(self._files)),
                stdin=look.session_input(markers, paths),
                stopping=self._stopping,
            )
        except Stopped:
            raise
        except AlpenhornError as error:
            self._silent[where] = why = StorageError(_why_silent(storages[0].node.host, error))
            return why
        return look.parse_output(done.stdout)


def _why_silent(host: str | None, error: AlpenhornError) -> Reason:
    if not isinstance(error, CommandFailed):
        return Code.HOST_SESSION_FAILED(host=host, detail=error)
    why = ssh.failed(host, error.stderr or str(error))
    if why.code is Code.HOST_RESTRICTS_COMMANDS:
        return Code.HOST_RESTRICTS_LOOK(host=host, detail=ssh.cause(error.stderr.splitlines()))
    return why
