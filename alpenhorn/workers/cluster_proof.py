"""Prove that a node's storage is the same on other machines of a cluster, and that its locks exclude there.

On each machine, in this order:

1. the versions of alpenhorn and Python are those of this host;
2. the machine reads a random token that this host wrote, and this host reads what the machine wrote;
3. the machine sees the node's marker and the same medium, its clock is that of this host, and its files have the
   same owner;
4. a lock that is held there is refused here; one that is held here, once it was released there, is refused there.

The proof uses a byte of the lock files that nobody else locks, so it neither waits for jobs nor stops them.
"""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import suppress

from alpenhorn.errors import StorageError
from alpenhorn.fs import identity
from alpenhorn.fs.placing import Stage
from alpenhorn.fs.run_lock import job_byte
from alpenhorn.io.base import DirectoryNode
from alpenhorn.model.cluster import (
    Machine,
    MachineProof,
    ProofAnswer,
    ProofJob,
    ProofStep,
    ShareJob,
    ShareOutcome,
)
from alpenhorn.model.tasks import Fate, Reporter, Task, TaskKind
from alpenhorn.reasons import Code, Why
from alpenhorn.workers.cluster_link import Cluster, ClusterUnusable, MachineLost, Session
from alpenhorn.workers.cluster_there import HERE, THERE, let_go, lock_files, read_token, take, write_token

MACHINE_SECONDS = 30.0
"""Seconds in which a machine must pass; all are tried at the same time."""

CLOCKS_S = 30.0  # seconds by which clocks may differ

STOP_POLL = 0.5  # seconds between two checks whether the run is to stop


def share(job: ShareJob, node: DirectoryNode, stage: str, report: Reporter, cluster: Cluster) -> ShareOutcome:
    """Try the machines of the cluster that are not known, or none if the run does not need them any more.

    Raises StorageError if nothing can be written to the node here.
    """
    try:
        return cluster.run(_share(job.known, node, stage, report, cluster))
    except OSError as error:
        raise StorageError(Code.SYSTEM_ERROR(why=error.strerror or error)) from None


async def _share(
    known: frozenset[str], node: DirectoryNode, stage: str, report: Reporter, cluster: Cluster
) -> ShareOutcome:
    try:
        machines = await cluster.machines(report.stopping)
    except ClusterUnusable as error:
        return ShareOutcome(error=error.reason)
    new = {address: threads for address, threads in machines.items() if address not in known}
    if not new:
        return ShareOutcome(registered=len(machines))
    with node.stage(stage) as place:
        proofs = [_tried(node, place, cluster, address, threads) for address, threads in new.items()]
        tried = asyncio.gather(*proofs)
        while not tried.done() and not report.stopping():
            await asyncio.wait({tried}, timeout=STOP_POLL)
        tried.cancel()  # once only, since each that is cancelled ends its process
        (found,) = await asyncio.gather(tried, return_exceptions=True)
        place.clear()
    if isinstance(found, asyncio.CancelledError):
        return ShareOutcome(registered=len(machines))
    if isinstance(found, BaseException):
        raise found
    return ShareOutcome(tuple(found), registered=len(machines))


async def _tried(
    node: DirectoryNode, stage: Stage, cluster: Cluster, address: str, threads: int
) -> MachineProof:
    known = Machine(address, address, threads)
    why: Why
    try:
        async with asyncio.timeout(MACHINE_SECONDS):
            name, why = await cluster.about(address)
            known = Machine(address, name, threads)
            why = why or await _proved(node, stage, cluster, address)
    except TimeoutError:
        why = Code.MACHINE_SILENT(seconds=MACHINE_SECONDS)
    except MachineLost as lost:
        why = lost.reason
    except StorageError as error:
        why = error.reason
    except OSError as error:
        why = Code.SYSTEM_ERROR(why=error.strerror or error)
    return MachineProof(known, why)


async def _proved(node: DirectoryNode, stage: Stage, cluster: Cluster, address: str) -> Why:
    """Return why the storage is not proved to be the same, "" if it is."""
    session = await cluster.begin(address)
    try:
        return await _compared(node, stage, session)
    finally:
        with suppress(MachineLost):
            await session.end()


async def _compared(node: DirectoryNode, stage: Stage, session: Session) -> Why:
    token, byte = os.urandom(16).hex(), job_byte()
    write_token(stage.fd, f"{HERE}{byte}", token)

    async def step(one: ProofStep) -> ProofAnswer:
        job = ProofJob(node.node, one, stage.name, byte)
        answer = await session.ask(Task(TaskKind.PROBE, node.node.id, job))
        if answer.fate is Fate.DONE:
            outcome: ProofAnswer = answer.outcome
            return outcome
        return ProofAnswer(answer.error)

    asked = time.time()
    there = await step(ProofStep.LOOK)
    answered = time.time()
    if there.error:
        return there.error
    if there.token != token or not _is_same(node, stage, byte, token, there):
        return Code.MACHINE_SEES_OTHER_STORAGE(root=node.root)
    if os.stat(f"{THERE}{byte}", dir_fd=stage.fd).st_uid != os.stat(f"{HERE}{byte}", dir_fd=stage.fd).st_uid:
        return Code.MACHINE_OTHER_USER()
    if not asked - CLOCKS_S <= there.clock <= answered + CLOCKS_S:
        return Code.MACHINE_CLOCK_DIFFERS(seconds=round(there.clock - answered))
    files = lock_files(node.root)
    try:
        if not there.locked or any(take(files, byte)):
            return Code.MACHINE_LOCKS_FAIL(root=node.root)
        if error := (await step(ProofStep.LET_GO)).error:
            return error
        if not all(take(files, byte)):
            return Code.MACHINE_LOCKS_FAIL(root=node.root)
        there = await step(ProofStep.TRY)
    finally:
        let_go(files)
    return Code.MACHINE_LOCKS_FAIL(root=node.root) if there.locked else there.error


def _is_same(node: DirectoryNode, stage: Stage, byte: int, token: str, there: ProofAnswer) -> bool:
    """Return whether this host sees the file of the machine, and the same medium."""
    try:
        if read_token(stage.fd, f"{THERE}{byte}") != token:
            return False
    except FileNotFoundError:
        return False
    here = identity.read(node.root)
    return (here and (here.index_id, here.medium)) == (
        there.identity and (there.identity.index_id, there.identity.medium)
    )
