"""Batches that put files on tape: copies are collected, put into batches, and verified when a batch has ended.

A part of the worklist of tape nodes (`alpenhorn.coordinator.tape`), which has one job at a time on each node.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from alpenhorn.coordinator.context import Context
from alpenhorn.formats import count
from alpenhorn.index.connection import Index
from alpenhorn.io.base import BatchTapeNode, Node
from alpenhorn.model.tape import TapeFile
from alpenhorn.model.tape_batches import BatchJob, BatchOutcome, BatchVerb, CollectedFile
from alpenhorn.model.tasks import Done, Fate, Task, TaskKind
from alpenhorn.plan.tape_batches import choose_batches
from alpenhorn.reasons import Code, Reason
from alpenhorn.record import tape_batches as record
from alpenhorn.record.run import Run
from alpenhorn.scan import tape_batches as scan

MOST_PAGES = 200  # of copies not collected yet, in a preview


class TapeBatches:
    """The batches of the nodes of this host.  Each node is worked on once in a run."""

    def __init__(self, context: Context) -> None:
        self.context = context

    def tasks(self, io: BatchTapeNode) -> Iterator[Task]:
        """Yield the tasks for a node; each is yielded after the previous one was recorded."""
        context, node = self.context, io.node
        if node.id in context.whole.batched:
            return
        context.whole.batched.add(node.id)
        for batch, files in scan.under_way(context.index, node.id).items():
            yield _task(io, BatchVerb.LOOK, batch, files)
        record.collect(context.index, context.run, node)
        under_way = len(scan.under_way(context.index, node.id))
        files = scan.collecting(context.index, node.id)
        for due in choose_batches(files, io.batch_limits, under_way, context.posix_now()).due:
            # Random, since an index that was restored gives runs numbers that were used before.
            batch = f"{node.id}-{context.run.id}-{os.urandom(8).hex()}"
            if begun := record.begin(context.index, context.run, node, batch, due):
                yield _task(io, BatchVerb.BEGIN, batch, begun)

    def task_ended(self, job: BatchJob, done: Done) -> None:
        """Record the results of a job.  If there are none, the batch stays under way, and the next run looks at it."""
        context, node = self.context, job.node
        if done.fate is not Fate.DONE:
            if done.fate is Fate.BROKEN:
                context.node_gone(node.id, done.reason)
            else:
                context.report.failures.add(Code.TAPE_BATCH_FAILED(node=node.name), done.why)
            return
        outcome: BatchOutcome = done.outcome
        tally = context.report.tally("tape")
        for result in record.settle(context.index, context.run, node, job.batch, outcome.results):
            if result.on_tape:
                tally.done += 1
                tally.bytes += result.file.size_b
                context.changed = True  # the copy may count for a deletion now
            else:
                tally.failed += 1
                what = Code.TAPE_BATCH_FAILED(node=node.name)
                context.report.failures.add(what, f"{result.file.path}: {result.error}")
        if outcome.error:
            context.report.failures.lasting(Code.TAPE_AWAY(node=node.name, why=outcome.error))

    def task_withdrawn(self, job: BatchJob) -> None:
        if job.verb is BatchVerb.BEGIN:
            record.withdraw(self.context.index, job.node, job.batch)


def record_needs(index: Index, run: Run, ios: Mapping[int, Node]) -> None:
    """Record on which nodes of this host copies count only once they are on tape."""
    nodes = [(io.node, isinstance(io, BatchTapeNode) and io.counts_on_tape) for io in ios.values()]
    record.record_classes(index, run, nodes)


def preview_batches(index: Index, io: BatchTapeNode, now: float) -> Iterator[tuple[bool, Reason, TapeFile]]:
    """Yield what a run would do: (whether it is planned, reason, file)."""
    batches = scan.under_way(index, io.node.id)
    for batch, files in batches.items():
        for file in files:
            yield False, Code.GOING_TO_TAPE(batch=batch), _tape_file(file)
    # A run collects copies before it chooses; those that no run has seen yet have not waited at all.
    pages = islice(scan.to_collect(index, io.node.id), MOST_PAGES)
    new = [file._replace(since=now) for page in pages for file in page]
    chosen = choose_batches([*scan.collecting(index, io.node.id), *new], io.batch_limits, len(batches), now)
    for due in chosen.due:
        why = Code.PUT_ON_TAPE_NOW(files=count(len(due), "file"))
        for file in due:
            yield True, why, _tape_file(file)
    for file, why in chosen.later:
        yield False, why, _tape_file(file)


def _tape_file(file: CollectedFile) -> TapeFile:
    return TapeFile(file.copy_id, file.file_id, file.path, file.size_b, ready=True)


def _task(io: BatchTapeNode, verb: BatchVerb, batch: str, files: Sequence[CollectedFile]) -> Task:
    job = BatchJob(io.node, verb, batch, tuple(files))
    return Task(TaskKind.TAPE, io.node.id, job, files=len(files), deadline=io.job_seconds(len(files)))
