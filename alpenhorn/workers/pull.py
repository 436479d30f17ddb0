"""Pull files: transfer them to a stage and verify them there, then put them to their destination.

The methods (`alpenhorn.transfer.methods`) do the former, whatever the destination is; a `Destination` does the latter,
wherever the files came from.  Each file gets one result, unless the job had to stop before its turn.  A file that fails
does not fail the others.  An error of the destination ends the job, after placing the files that have arrived.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from typing import Protocol

from alpenhorn.config import Transfer
from alpenhorn.errors import AlpenhornError, Stopped, StorageError
from alpenhorn.extensions.registry import node_io, remote_io
from alpenhorn.io.base import DirectoryNode, Node, TapeNode
from alpenhorn.kinds import load
from alpenhorn.model.pulls import PullFile, PullJob, PullResult
from alpenhorn.model.tasks import Blame, Reporter, Verdict
from alpenhorn.reasons import Code, from_outside
from alpenhorn.transfer.blame import TransferFailed
from alpenhorn.transfer.methods import METHODS
from alpenhorn.workers.placing import Placing
from alpenhorn.workers.tape import out_of_reach
from alpenhorn.workers.work import PullState, destination_trouble, failed

SETTLED = (Verdict.PULLED, Verdict.OCCUPIED)  # trying again would not help

TransferFunction = Callable[[PullState, Sequence[PullFile]], None]
"""Transfer files to the stage and verify them there.

Records each failure and continues; raises TransferFailed if no remaining file can be transferred, and
Stopped.  What has arrived is in `PullState.arrived`.
"""


class Destination(Protocol):
    """The final place of the files of a job."""

    def free(self) -> list[PullFile]:
        """Return the files of the job for which there is a place; record why there is none for others.

        Raises OSError and StorageError if the destination as a whole cannot be used.
        """
        ...

    def rounds(self, files: Sequence[PullFile]) -> Generator[Sequence[PullFile]]:
        """Yield the files that are to be transferred next; those before were put, and have left the stage.

        Raises TransferFailed and Stopped.
        """
        ...

    def put(self) -> None:
        """Put the files that have arrived, and record the results.

        Raises TransferFailed if no other file can be put, and Stopped.
        """
        ...


def pull_from(
    job: PullJob,
    node: DirectoryNode,
    stage: str,
    transfer: Transfer,
    report: Reporter,
    deadline: float | None,
    without_tar: set[str],
) -> tuple[PullResult, ...]:
    """Pull from a source on any host; see `pull`."""
    source, witness = source_of(job)
    return pull(job, node, stage, transfer, report, source, witness, deadline, without_tar)


def source_of(job: PullJob) -> tuple[Node | None, str]:
    """Return the `source` and `witness` for `pull`.  Raises StorageError."""
    if job.source.host == job.node.host or METHODS[job.method].service:
        return node_io(job.source), ""
    return None, remote_io(job.source).witness


def pull(
    job: PullJob,
    node: DirectoryNode,
    stage: str,
    transfer: Transfer,
    report: Reporter,
    source: Node | None = None,
    witness: str = "",
    deadline: float | None = None,
    without_tar: set[str] | None = None,
    destination: Callable[[PullState], Destination] = Placing,
) -> tuple[PullResult, ...]:
    """Pull the files of a job, in order, through a stage on `node`; `stage`: its name.  `destination`: their final
    place; by default, that is on `node`, too.

    `source`: the source's node if it can be read here without a session; it is checked before a file counts as missing.
    `witness`: the file that marks the storage of a source on another host, fetched in the same session as the
    files; "" for a class without one.  `deadline`: seconds until the worker is killed; sessions with other
    hosts and calls of a service are ended before that.  `without_tar`: see `PullState`.

    Errors of storage, programs and networks are in the results, where `method` is the method actually used.
    Files without a result were not begun, or were dropped, because the run is stopping or another bandwidth
    limit has begun.
    """
    results: dict[PullFile, PullResult] = {}
    began = time.time()
    try:
        node.check()
        with node.stage(stage) as place:
            work = PullState(
                job, node, place, transfer, report, source, witness, results, deadline, without_tar
            )
            try:
                _run(work, destination(work))
            finally:
                work.lock.close()
                work.report_progress(now=True)
    except (AlpenhornError, OSError) as error:
        trouble = destination_trouble(error)
        for file in job.files:
            if file not in results:
                results[file] = failed(job, file, trouble, began)
    return tuple(results[file] for file in job.files if file in results)


def _run(work: PullState, destination: Destination) -> None:
    """Carry out the job.  Raises OSError and StorageError if the destination as a whole cannot be used."""
    wanted = destination.free()
    transfer_files: TransferFunction = load(METHODS[work.job.method].function)
    trouble: TransferFailed | None = None
    try:
        if wanted and isinstance(work.source, TapeNode):
            wanted = _within_reach(work, work.source, wanted)
        with closing(destination.rounds(wanted)) as rounds:
            for some in rounds:
                try:
                    transfer_files(work, some)
                finally:
                    destination.put()
    except TransferFailed as error:
        trouble = error
    except Stopped:
        pass
    if trouble is not None:
        work.give_up(trouble)
    if not _has_part(work):
        work.stage.clear()


def _within_reach(work: PullState, source: TapeNode, files: Sequence[PullFile]) -> list[PullFile]:
    """Return the files that can be read without waiting for tape."""
    try:
        away = out_of_reach(source, [file.path for file in files])
    except (StorageError, OSError) as error:
        raise work.source_unusable(error) from None
    for file in files:
        if state := away.get(file.path):
            if state.where is None:
                work.record_failure(file, TransferFailed(Blame.UNKNOWN, from_outside(state.error)))
            else:
                work.record_on_tape(file, Code.FILE_NOT_ON_DISK(where=state.where))
    return [file for file in files if file.path not in away]


def _has_part(work: PullState) -> bool:
    """Return whether the stage holds a partial file that a later pull can continue."""
    if not work.stage.keeps_parts or all(
        file in work.results and work.results[file].verdict in SETTLED for file in work.job.files
    ):
        return False
    return any(files for _, _, files, _ in os.fwalk(".", dir_fd=work.stage.fd))
