"""Look for one copy on this host, or read it in full, in a worker, so that a dead mount cannot hang a command."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from alpenhorn.config import Transfer
from alpenhorn.errors import AlpenhornError, Refused
from alpenhorn.extensions.registry import directory_io, node_io
from alpenhorn.fs.hashing import digests_of
from alpenhorn.io.base import DirectoryNode, Node, TapeNode
from alpenhorn.io.objects import Effort, ObjectNode
from alpenhorn.model.checks import CheckFile, CheckJob
from alpenhorn.model.nodes import NodeFact
from alpenhorn.model.tasks import Fate, Reporter, Task, TaskKind
from alpenhorn.plan.limits import Limits
from alpenhorn.workers.pool import Pool
from alpenhorn.workers.tape import out_of_reach, why_unread

N = TypeVar("N", bound=Node)


class ReadCopy(NamedTuple):
    """`md5sum`, `sha256`: hex, lower case; "" if only the length was requested.  `error`: why it was not read, else "".

    `there`: something is at its path, if only that was to be found out.
    """

    size_b: int = 0
    md5sum: str = ""
    sha256: str = ""
    error: str = ""
    there: bool = False


def read_copy(node: NodeFact, path: str, transfer: Transfer, before_fork: Callable[[], None]) -> ReadCopy:
    """Return the length and the sums of the file at `path` on a node of this host.

    The time limit is that of a pull of that length.  Raises Refused, which names node and path.
    """
    limits = Limits(transfer.pull_timeout_base, transfer.pull_bytes_per_second, workers=1)
    try:
        look_s = node_io(node).probe_seconds
    except AlpenhornError as error:
        raise Refused(f"{error}; nothing was changed") from None
    with Pool(1, _work, before_fork=before_fork) as pool:
        found = _one(pool, TaskKind.LOOK, node, path, look_s)
        return _one(pool, TaskKind.CHECK, node, path, limits.deadline(1, found.size_b))


def is_there(node: NodeFact, path: str, before_fork: Callable[[], None]) -> bool:
    """Return whether anything is at `path` on a node of this host.

    Raises Refused, which names node and path, if the node cannot be used, for example since it is not mounted.
    """
    try:
        look_s = node_io(node).probe_seconds
    except AlpenhornError as error:
        raise Refused(str(error)) from None
    with Pool(1, _look, before_fork=before_fork) as pool:
        return _one(pool, TaskKind.LOOK, node, path, look_s).there


def _one(pool: Pool, kind: TaskKind, node: NodeFact, path: str, deadline: float | None) -> ReadCopy:
    job = CheckJob(node, (CheckFile(0, 0, path, None, None),))
    pool.submit(Task(kind, node.id, job, deadline=deadline))
    (done,) = pool.wait(None)
    found: ReadCopy = done.outcome if done.fate is Fate.DONE else ReadCopy(error=done.why)
    if found.error:
        raise Refused(f"cannot read {path!r} on {node.name}: {found.error}; nothing was changed")
    return found


# --- in the worker -------------------------------------------------------------------------------------


def _work(task: Task, report: Reporter) -> ReadCopy:
    def use(node: DirectoryNode, path: str) -> ReadCopy:
        _require_on_disk(node, path)
        fd = node.open(path)
        try:
            return ReadCopy(os.fstat(fd).st_size) if task.kind is TaskKind.LOOK else _read(fd, report)
        finally:
            os.close(fd)

    return _answer(task, lambda node: directory_io(node, "reading a copy"), use)


def _look(task: Task, report: Reporter) -> ReadCopy:
    def use(node: Node, path: str) -> ReadCopy:
        if isinstance(node, DirectoryNode):
            return ReadCopy(there=node.exists(path))
        assert isinstance(node, ObjectNode)
        return ReadCopy(there=path in node.look((path,), Effort(report.stopping, node.probe_seconds)))

    return _answer(task, node_io, use)


def _answer(task: Task, make: Callable[[NodeFact], N], use: Callable[[N, str], ReadCopy]) -> ReadCopy:
    assert isinstance(task.job, CheckJob)
    (file,) = task.job.files
    try:
        node = make(task.job.node)
        node.check()
        return use(node, file.path)
    except AlpenhornError as error:
        return ReadCopy(error=str(error))
    except OSError as error:
        return ReadCopy(error=error.strerror or str(error))


def _require_on_disk(node: DirectoryNode, path: str) -> None:
    """Raise Refused for a file on tape only, since reading it would wait for the tape."""
    if not isinstance(node, TapeNode):
        return
    for where in out_of_reach(node, [path]).values():
        raise Refused(why_unread(node, path, where))


def _read(fd: int, report: Reporter) -> ReadCopy:
    before = os.fstat(fd)
    size_b, sums = digests_of(fd, before.st_size, report.stopping, sha256=True)
    after = os.fstat(fd)
    # With the MD5 sum of an unfinished file, each complete copy would be found corrupt.
    if (
        size_b != after.st_size
        or before.st_mtime_ns != after.st_mtime_ns
        or before.st_ctime_ns != after.st_ctime_ns
    ):
        return ReadCopy(error="it changed while it was being read")
    return ReadCopy(size_b, sums.md5, sums.sha256)
