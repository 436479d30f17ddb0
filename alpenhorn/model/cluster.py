"""Data of a cluster of machines that share the storage of nodes: which machines may be used, and how that is proved."""

from enum import StrEnum
from typing import NamedTuple

from alpenhorn.model.nodes import Identity, NodeFact
from alpenhorn.reasons import Why

SILENCE = 20.0
"""Seconds without a message from the run after which the process that carries out its jobs on another machine ends."""


class Machine(NamedTuple):
    """A worker of the Dask cluster.

    `address`: that of the worker, which identifies it; `name`: its host, for people; `threads`: jobs at once.
    """

    address: str
    name: str
    threads: int


class ShareJob(NamedTuple):
    """Find the machines of the cluster on which the storage of a node is the same and its locks exclude.

    `known`: addresses of those that were tried before.
    """

    node: NodeFact
    known: frozenset[str] = frozenset()


class MachineProof(NamedTuple):
    """`error`: why the machine is not used for the node, "" if it may be used."""

    machine: Machine
    error: Why = ""


class ShareOutcome(NamedTuple):
    """The machines that were tried.

    `error`: why there are none: the scheduler cannot be used; `registered`: workers that the scheduler has, None if it
    was not asked.
    """

    proofs: tuple[MachineProof, ...] = ()
    error: Why = ""
    registered: int | None = None


class ProofStep(StrEnum):
    """The steps of the proof that are carried out on the other machine, in order."""

    LOOK = "look"  # at the storage, and take the locks
    LET_GO = "let go"  # of the locks
    TRY = "try"  # the locks, which are held by this host now: must be refused


class ProofJob(NamedTuple):
    """One step of the proof, on the other machine.

    `stage`: the directory below the node's `.alpenhorn/` with the files of the proof; `byte`: the byte to lock in each
    of the node's lock files, used by nobody else, and the number in the names of the files.
    """

    node: NodeFact
    step: ProofStep
    stage: str
    byte: int


class ProofAnswer(NamedTuple):
    """What the other machine found.

    `error`: why the storage cannot be used there; `token`: the contents of the file there, "" without one; `identity`:
    the medium there; `locked`: whether all locks were taken; `clock`: POSIX seconds by its clock.
    """

    error: Why = ""
    token: str = ""
    identity: Identity | None = None
    locked: bool = False
    clock: float = 0.0


class HoldJob(NamedTuple):
    """Hold a lock on a node until the process ends, so that no run begins there meanwhile.

    `byte`: the byte of the run lock's file (`alpenhorn.fs.run_lock`) that only this process locks.
    """

    node: NodeFact
    byte: int


class HoldAnswer(NamedTuple):
    """`error`: why the lock is not held; `boottime`: CLOCK_BOOTTIME of the machine in seconds."""

    error: Why = ""
    boottime: float = 0.0
