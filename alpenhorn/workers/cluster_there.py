"""Jobs about the storage of a node on another machine of a cluster: prove that it is the same, and hold a lock there.

They are carried out there, in the process that is then given the other jobs.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable

from alpenhorn.errors import StorageError
from alpenhorn.fs import identity, ofd
from alpenhorn.fs.paths import open_below
from alpenhorn.fs.placing import PRIVATE
from alpenhorn.fs.run_lock import RUN_LOCK, JobLock
from alpenhorn.fs.tree_lock import LOCK_NAME
from alpenhorn.io.base import Node
from alpenhorn.model.cluster import HoldAnswer, HoldJob, ProofAnswer, ProofJob, ProofStep
from alpenhorn.reasons import Code
from alpenhorn.workers.serving import reason_of

HERE, THERE = "here-", "there-"  # files of a proof, written by the host of the run and by the other machine

_TOKEN_B = 64
_NOW = float("-inf")

_log = logging.getLogger(__name__)

_held: dict[str, JobLock] = {}  # by root
_locks: list[ofd.LockFile] = []  # of the proof that is under way


def hold(job: HoldJob, node: Node) -> HoldAnswer:
    """Hold the lock that keeps the next run from the node until this process has ended."""
    try:
        node.check()
        if not _held.setdefault(node.root, JobLock(node.root, job.byte)).acquire():
            return HoldAnswer(Code.MACHINE_LOCK_TAKEN(node=node.node.name))
    except (StorageError, OSError) as error:
        return HoldAnswer(reason_of(error))
    return HoldAnswer(boottime=time.clock_gettime(time.CLOCK_BOOTTIME))


def prove(job: ProofJob, node: Node) -> ProofAnswer:
    """Carry out a step of the proof that this machine has the same storage (`alpenhorn.workers.cluster_proof`)."""
    try:
        match job.step:
            case ProofStep.LOOK:
                try:
                    node.check()
                    token = _exchange_tokens(job, node.root)
                    found = identity.read(node.root)
                except (StorageError, FileNotFoundError) as error:
                    _log.info("node %s: %s", node.node.name, error)
                    return ProofAnswer(Code.MACHINE_SEES_OTHER_STORAGE(root=node.root))
                _locks.extend(lock_files(node.root))
                return ProofAnswer("", token, found, all(take(_locks, job.byte)), time.time())
            case ProofStep.LET_GO:
                let_go(_locks)
                return ProofAnswer()
            case ProofStep.TRY:
                _locks.extend(lock_files(node.root))
                locked = any(take(_locks, job.byte))
                let_go(_locks)
                return ProofAnswer(locked=locked)
    except (StorageError, OSError) as error:
        return ProofAnswer(reason_of(error))


def _exchange_tokens(job: ProofJob, root: str) -> str:
    """Return what the other host wrote, and write it to another file, so that the other host sees that it is shared."""
    directory = open_below(root, f"{PRIVATE}/{job.stage}", os.O_RDONLY | os.O_DIRECTORY)
    try:
        token = read_token(directory, f"{HERE}{job.byte}")
        write_token(directory, f"{THERE}{job.byte}", token)
    finally:
        os.close(directory)
    return token


def read_token(directory: int, name: str) -> str:
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory)
    try:
        return os.read(fd, _TOKEN_B).decode(errors="replace")
    finally:
        os.close(fd)


def write_token(directory: int, name: str, token: str) -> None:
    fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644, dir_fd=directory)
    try:
        os.write(fd, token.encode())
        os.fsync(fd)
    finally:
        os.close(fd)


def lock_files(root: str) -> list[ofd.LockFile]:
    """Open the two files of a node whose locks must exclude other machines.  Raises StorageError."""
    return [
        ofd.LockFile(os.path.join(root, LOCK_NAME)),
        ofd.LockFile(os.path.join(root, RUN_LOCK), root),
    ]


def take(files: Iterable[ofd.LockFile], byte: int) -> list[bool]:
    """Try to take the byte in each file; return whether each was taken.  Raises StorageError."""
    return [file.acquire(ofd.exclusive(byte), _NOW) for file in files]


def let_go(files: list[ofd.LockFile]) -> None:
    """Release and close the files, and empty the list."""
    while files:
        files.pop().close()
