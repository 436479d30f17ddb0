"""Data of nodes that put their files on tape in batches."""

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from alpenhorn.model.nodes import NodeFact
from alpenhorn.reasons import Why


class CollectState(StrEnum):
    """The state of a copy on its way to tape, as recorded in sync_tape."""

    COLLECTING = "collecting"  # on disk, waiting for a batch
    ASKED = "asked"  # in a batch that was begun, or was about to be
    ON_TAPE = "on tape"  # and verified there


class BatchLimits(NamedTuple):
    """When a batch is begun: with `files` files, with `size_b` bytes, or when its oldest file has waited `wait`
    seconds.  `at_once`: maximum number of batches under way.
    """

    files: int
    size_b: int
    wait: float
    at_once: int = 1


class TapeMember(NamedTuple):
    """A file as it must be on tape.  `md5sum`: hexadecimal, in lower case."""

    path: str
    size_b: int
    md5sum: str


class BatchState(StrEnum):
    """What a batch is doing."""

    RUNNING = "running"  # or queued
    ENDED = "ended"  # its files must be verified
    FAILED = "failed"  # or was never begun


class BatchProgress(NamedTuple):
    """The state of a batch.  `error`: why it failed."""

    state: BatchState
    error: Why = ""


class BatchVerb(StrEnum):
    """The actions of batch jobs."""

    BEGIN = "begin"
    LOOK = "look"  # and verify what has ended


class CollectedFile(NamedTuple):
    """A copy that is not on tape yet.

    `since`: POSIX seconds since when it waits.  `tries`: number of batches that failed to put it on tape; `next`: POSIX
    seconds before which it is in no further batch; `error`: why the last one failed.
    """

    copy_id: int
    file_id: int
    path: str
    size_b: int
    md5sum: str
    since: float
    tries: int = 0
    next: float = 0.0
    error: Why = ""

    @property
    def member(self) -> TapeMember:
        return TapeMember(self.path, self.size_b, self.md5sum)


class BatchJob(NamedTuple):
    """Begin a batch, or look at one."""

    node: NodeFact
    verb: BatchVerb
    batch: str
    files: tuple[CollectedFile, ...]


class BatchResult(NamedTuple):
    """The result for one file: `on_tape`: it was verified there; otherwise, `error`: why it is not."""

    file: CollectedFile
    on_tape: bool
    error: Why = ""


class BatchOutcome(NamedTuple):
    """The outcome of a BatchJob.  Files without a result are still in the batch.

    `error`: why the tape could not be used.
    """

    results: tuple[BatchResult, ...] = ()
    error: Why = ""


class CollectTotal(NamedTuple):
    """The copies on a node that are not on tape yet: all, and those of them in batches.

    `since`: when the first one began to wait, naive UTC; None if unknown.
    """

    node_id: int
    files: int
    in_batches: int
    size_b: int
    since: datetime | None
