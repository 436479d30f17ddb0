"""Begin batches that put files on tape, look what became of them, and verify the files of those that ended.

Never waits for tape.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from alpenhorn.errors import StorageError
from alpenhorn.io.base import BatchTapeNode
from alpenhorn.model.tape import Location, TapeState
from alpenhorn.model.tape_batches import (
    BatchJob,
    BatchOutcome,
    BatchResult,
    BatchState,
    BatchVerb,
    CollectedFile,
)
from alpenhorn.model.tasks import Reporter
from alpenhorn.reasons import Code, Why, from_outside

ON_TAPE = (Location.BOTH, Location.TAPE)


def run_batch(job: BatchJob, node: BatchTapeNode, report: Reporter) -> BatchOutcome:
    """Return the results of the files that are no longer in the batch.

    Raises StorageError if the disk is gone.  If only the tape does not answer, the disk can still be used.
    """
    node.check()
    results: list[BatchResult] = []
    error: Why = ""
    try:
        if job.verb is BatchVerb.BEGIN:
            _begin(job, node, results)
        else:
            _look(job, node, results)
    except StorageError as away:
        error = away.reason
    report.progress(len(results), 0)
    return BatchOutcome(tuple(results), error)


def _begin(job: BatchJob, node: BatchTapeNode, results: list[BatchResult]) -> None:
    states = node.where([file.path for file in job.files])
    begun = [file for file in job.files if states[file.path].where is Location.DISK]
    there = [file for file in job.files if states[file.path].where in ON_TAPE]
    results += _verified(node, "", there)
    results += [
        BatchResult(file, False, why) for file in job.files if (why := _not_from_there(states[file.path]))
    ]
    # Last: if it fails, the batch may have begun, and all files stay in it until a run has looked.
    if begun:
        node.archive(job.batch, [file.member for file in begun])


def _not_from_there(state: TapeState) -> Why:
    if state.where is None:
        return state.error
    readable = state.where is Location.DISK or state.where in ON_TAPE
    return "" if readable else Code.NOT_TO_TAPE_FROM_THERE(where=state.where)


def _look(job: BatchJob, node: BatchTapeNode, results: list[BatchResult]) -> None:
    told, error = node.progress(job.batch)
    state = BatchState(told)  # any other answer of a package fails here, and does not discard the batch
    if state is BatchState.RUNNING:
        return
    if state is BatchState.ENDED:
        found = _verified(node, job.batch, job.files)
    else:
        found = [BatchResult(file, False, from_outside(error)) for file in job.files]
    if not any(result.on_tape for result in found):
        # Before the failure is recorded: otherwise this batch could still write when the next one is begun.
        node.discard(job.batch)
    results += found


def _verified(node: BatchTapeNode, batch: str, files: Sequence[CollectedFile]) -> list[BatchResult]:
    failed: Mapping[str, str] = node.verify(batch, [file.member for file in files]) if files else {}
    return [
        BatchResult(
            file,
            file.path not in failed,
            Code.NOT_ON_TAPE_AS_RECORDED(why=from_outside(failed[file.path])) if file.path in failed else "",
        )
        for file in files
    ]
