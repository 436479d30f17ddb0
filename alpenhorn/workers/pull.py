"""Pull files: transfer them to a stage, verify, flush and place them.

Each file gets one result, unless the job had to stop before its turn.  A file that fails does not fail the
others.  An error of the destination ends the job, after placing the files that have arrived.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from alpenhorn.config import Transfer
from alpenhorn.errors import AlpenhornError, Stopped, StorageError, UnsafePath
from alpenhorn.extensions.registry import node_io, remote_io
from alpenhorn.fs.flushing import FEW
from alpenhorn.fs.paths import check_relative
from alpenhorn.fs.placing import StatusAround
from alpenhorn.fs.verified_status import LEAST_B, StatusTaker
from alpenhorn.io.base import DirectoryNode, Node, TapeNode
from alpenhorn.kinds import load
from alpenhorn.model.pulls import PullFile, PullJob, PullResult
from alpenhorn.model.tasks import Blame, Reporter, Verdict
from alpenhorn.reasons import Code, from_outside
from alpenhorn.transfer.blame import TransferFailed
from alpenhorn.transfer.copy import SMALL
from alpenhorn.transfer.methods import METHODS
from alpenhorn.workers.tape import out_of_reach
from alpenhorn.workers.work import ArrivedFile, PullState, destination_trouble, failed

SETTLED = (Verdict.PULLED, Verdict.OCCUPIED)  # trying again would not help

TransferFunction = Callable[[PullState, Sequence[PullFile]], None]
"""Transfer files to the stage and verify them there.

Records each failure and continues; raises TransferFailed if no remaining file can be transferred, and
Stopped.
"""


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
    if job.source.host == job.node.host or METHODS[job.method].service:
        return pull(job, node, stage, transfer, report, node_io(job.source), deadline=deadline)
    witness = remote_io(job.source).witness
    return pull(
        job, node, stage, transfer, report, witness=witness, deadline=deadline, without_tar=without_tar
    )


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
) -> tuple[PullResult, ...]:
    """Pull the files of a job to `node`, in order; `stage`: the name of the directory for temporary files.

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
                _run(work)
            finally:
                work.lock.close()
                work.report_progress(now=True)
    except (AlpenhornError, OSError) as error:
        trouble = destination_trouble(error)
        for file in job.files:
            if file not in results:
                results[file] = failed(job, file, trouble, began)
    return tuple(results[file] for file in job.files if file in results)


def _run(work: PullState) -> None:
    """Carry out the job.  Raises OSError and StorageError if the destination as a whole cannot be used."""
    wanted = _free(work)
    trouble: TransferFailed | None = None
    try:
        if wanted and isinstance(work.source, TapeNode):
            wanted = _within_reach(work, work.source, wanted)
        if wanted:
            transfer_files: TransferFunction = load(METHODS[work.job.method].function)
            transfer_files(work, wanted)
    except TransferFailed as error:
        trouble = error
    except Stopped:
        pass
    finally:
        _place(work)
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


def _free(work: PullState) -> list[PullFile]:
    """Return the files whose paths are valid for the file system, and not occupied by an unknown file as far as known.

    Placing never replaces such a file.  Looking at the path saves a needless transfer, and is left out for small
    files of this host unless one of the first FEW paths is occupied.
    """
    free: list[PullFile] = []
    occupied = False
    for number, file in enumerate(work.job.files):
        look = number < FEW or occupied or work.source is None or file.size_b > SMALL
        if _is_free(work, file, look):
            free.append(file)
        elif work.results[file].verdict is Verdict.OCCUPIED:
            occupied = True
    return free


def _is_free(work: PullState, file: PullFile, look: bool) -> bool:
    """Return whether the path is valid for the file system and not occupied by an unknown file.

    Without `look`, the path is not looked at where that is not necessary.
    """
    try:
        check_relative(file.path)
        if refusal := work.names.refuses(file):
            work.record_failure(file, TransferFailed(Blame.UNKNOWN, refusal))
            return False
        if file.replace or (not look and not work.names.may_be_reserved):
            return True
        occupied = work.node.exists(file.path) and not work.names.is_free(file.path)
    except (UnsafePath, OSError) as error:
        work.record_failure(file, destination_trouble(error))
        return False
    if occupied:
        work.record_occupied(file, work.began)
    return not occupied


def _place(work: PullState) -> None:
    """Flush and place the files that have arrived."""
    arrived, work.arrived = work.arrived, []
    if not arrived:
        return
    try:
        if not work.flush_each:
            work.stage.flush()
        spaces = _spaces(work, arrived)
        statuses = None
        if not (work.transfer.verify_links or work.job.node.archive):
            statuses = StatusTaker(work.began)
        around = {
            number: StatusAround()
            for number, one in enumerate(arrived)
            if statuses is not None and one.file.size_b >= LEAST_B
        }
        outcomes = work.stage.place(
            [(one.name, one.file.path, work.names.replaces(one.file)) for one in arrived], work.lock, around
        )
    except Stopped:  # while waiting for the tree lock; the files will be pulled again
        return
    except (OSError, AlpenhornError) as error:
        for one in arrived:
            work.record_placed(one, error, None)
        return
    for number, (one, outcome, space_b) in enumerate(zip(arrived, outcomes, spaces, strict=True)):
        if statuses is not None and number in around:
            one.verified_status = statuses.after_placing(work.stage.fd, around[number])
        work.record_placed(one, outcome, space_b)


def _spaces(work: PullState, arrived: Sequence[ArrivedFile]) -> list[int | None]:
    """Return the space of each file, known only after its flush."""
    spaces: list[int | None] = []
    for one in arrived:
        spaces.append(None)
        with suppress(OSError):
            status = os.stat(one.name, dir_fd=work.stage.fd, follow_symlinks=False)
            spaces[-1] = work.node.space_used(status)
    return spaces
