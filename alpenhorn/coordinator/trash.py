"""The trash of this host's nodes: files are brought back, and deleted when their time is over or room is needed.

The disks are the evidence: a batch that is not on its disk is forgotten, and one that the index does not know is
recorded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from alpenhorn.coordinator.context import Context
from alpenhorn.coordinator.deletable import PAGE, evidence
from alpenhorn.formats import count
from alpenhorn.index.bulk import chunks
from alpenhorn.index.connection import Index
from alpenhorn.index.times import posix
from alpenhorn.model.deletions import Evidence
from alpenhorn.model.nodes import NodeFact, TrashBatch
from alpenhorn.model.tasks import Done, Fate, Task, TaskKind
from alpenhorn.model.trash import (
    EmptyJob,
    EmptyOutcome,
    LookIntoTrashJob,
    LookIntoTrashOutcome,
    Restored,
    RestoreJob,
    RestoreOutcome,
    RestoreResult,
)
from alpenhorn.plan.batches import BATCH_FILES
from alpenhorn.plan.imports import possible_names
from alpenhorn.plan.space import below_min_avail_b
from alpenhorn.plan.trash import Due, due, may_go
from alpenhorn.reasons import Code, Why
from alpenhorn.record import trash as record
from alpenhorn.scan import trash as scan
from alpenhorn.scan.deletions import read
from alpenhorn.scan.imports import known
from alpenhorn.scan.media import restored

BATCHES = 20  # in one job


class NeededFiles(NamedTuple):
    """The files of a batch that must stay: their paths.  `others`: whether there are others; `others_b`: their bytes on
    the medium."""

    paths: frozenset[str]
    others: bool
    others_b: int


def needed(index: Index, node_id: int, batch: str, relied_on: Evidence, run_id: int) -> NeededFiles:
    """Return the files of a batch that may be the last good copies, or are among too few.

    A file without a row of a copy on the node is needed, because the reason of its deletion is unknown.
    """
    going: set[int] = set()
    others, others_b = scan.unknown(index, node_id, batch)
    for copies in chunks(scan.copies(index, node_id, batch), PAGE):
        reading = read(index, node_id, copies, run_id, relied_on)
        may = {fact.file_id for fact in reading.facts if may_go(fact, reading.archive, relied_on.minimum)}
        others_b += sum(copy.space_b or 0 for copy in copies if copy.file_id in may)
        going |= may
    files = scan.in_batch(index, node_id, batch)
    stay = frozenset(file.path for file in files if file.file_id not in going)
    return NeededFiles(stay, others or bool(going), others_b)


class Trashes:
    kind = TaskKind.TRASH

    def __init__(self, context: Context) -> None:
        self.context = context
        self._due: dict[int, Due] = {}
        self._emptying: set[int] = set()
        self._tasks = self._all_tasks()

    def feed(self) -> list[Task]:
        # Without tasks, the round ends; a node without any must not hide those after it.
        return next((tasks for tasks in self._tasks if tasks), None) or self._room_for_pulls()

    def _all_tasks(self) -> Iterator[list[Task]]:
        context = self.context
        server_now = posix(context.index.now())
        for node_id, batches in sorted(context.trash.items()):
            if node_id in context.gone:
                continue
            node = context.node(node_id)
            for page in scan.asked(context.index, node_id):
                yield self._restore(node, page)
            yield from self._compare(node, batches, server_now)

    def _restore(self, node: NodeFact, page: Sequence[scan.AskedFile]) -> list[Task]:
        """Return the task that brings files back; those of which the node has a copy again stay in the trash."""
        there = [
            RestoreResult(one.file, Restored.OCCUPIED, Code.COPY_THERE_AGAIN())
            for one in page
            if one.has_file not in (None, "N")
        ]
        if there:
            self._restored(node, there)
        files = tuple(one.file for one in page if one.has_file in (None, "N"))
        return [self._task(node, RestoreJob(node, files), len(files))] if files else []

    def _compare(
        self, node: NodeFact, batches: Sequence[TrashBatch], server_now: float
    ) -> Iterator[list[Task]]:
        """Compare a disk with the index; yield the tasks for what is due, and for batches without rows.

        Only batches with rows are emptied, because without rows it is unknown which files are needed.
        """
        context = self.context
        names = {batch.name for batch in batches}
        recorded = set(scan.batches(context.index, node.id))
        record.emptied(context.index, node, sorted(recorded - names))
        found = due(batches, context.config.sync.trash, server_now, context.posix_now())
        if restored(context.index):
            # The index is older than the disks: what was deleted since may be wanted once that is noticed.
            found = Due((), found.future, (*found.expired, *found.kept))
            self._emptying.add(node.id)
        new = [name for name in (*found.expired, *found.future, *found.kept) if name not in recorded]
        for i in range(0, max(len(new), len(found.future)), BATCHES):
            some, future = tuple(new[i : i + BATCHES]), found.future[i : i + BATCHES]
            yield [self._task(node, LookIntoTrashJob(node, some, future), BATCHES * BATCH_FILES)]
        self._due[node.id] = found = Due(
            *(tuple(name for name in some if name in recorded) for some in found)
        )
        if found.expired:
            self._emptying.add(node.id)
            yield from self._expired(node, found.expired)
        elif node.id not in self._emptying and (
            lack_b := below_min_avail_b(node, context.free_b.get(node.id))
        ):
            yield self._make_room(node, lack_b)

    def _expired(self, node: NodeFact, batches: Sequence[str]) -> Iterator[list[Task]]:
        kept = 0
        for i in range(0, len(batches), BATCHES):
            some = tuple(batches[i : i + BATCHES])
            needed = {batch: self._needed(node, batch).paths for batch in some}
            kept += sum(map(len, needed.values()))
            yield [self._task(node, EmptyJob(node, some, None, needed), BATCHES * BATCH_FILES)]
        if kept:
            files = count(kept, "file is", "files are")
            why = Code.TRASH_STILL_NEEDED(files=files, node=node.name)
            self.context.report.warnings.lasting(why, subject=node.name)

    def _needed(self, node: NodeFact, batch: str) -> NeededFiles:
        context = self.context
        relied_on = evidence(context.config.sync, context.gone)
        return needed(context.index, node.id, batch, relied_on, context.run.id)

    def _room_for_pulls(self) -> list[Task]:
        """Return the tasks that make room for pulls which lacked bytes or inodes."""
        tasks = []
        for node_id, found in self._due.items():
            if node_id in self._emptying or node_id in self.context.gone:
                continue
            short_b = self.context.space.take_short(node_id)
            if short_b > 0:
                tasks += self._make_room(self.context.node(node_id), short_b)
            elif node_id in self.context.planner.without_inodes and found.kept:
                # How many are needed is not known; the next round empties the next one.
                self._emptying.add(node_id)
                tasks += self._make_room(self.context.node(node_id), 1)
        return tasks

    def _make_room(self, node: NodeFact, room_b: float) -> list[Task]:
        """Return the task that deletes the oldest batches until there is room."""
        found = self._due[node.id]
        batches: dict[str, frozenset[str]] = {}
        free_b = 0
        for batch in found.kept + found.future:
            if free_b >= room_b:
                break
            files = self._needed(node, batch)
            if files.others:
                batches[batch] = files.paths
                free_b += files.others_b
        if not batches:
            return []
        self._emptying.add(node.id)
        job = EmptyJob(node, tuple(batches), room_b, batches)
        return [self._task(node, job, len(batches) * BATCH_FILES)]

    def _task(self, node: NodeFact, job: RestoreJob | EmptyJob | LookIntoTrashJob, most: int) -> Task:
        """`most`: files that the job may have to do with."""
        files = len(job.files) if isinstance(job, RestoreJob) else 0
        deadline = self.context.limits.deadline(most, 0)
        return Task(self.kind, node.id, job, files=files, deadline=deadline)

    def task_ended(self, done: Done) -> None:
        job = done.task.job
        assert isinstance(job, RestoreJob | EmptyJob | LookIntoTrashJob)
        if done.fate is not Fate.DONE:
            self._unusable(job.node, done.why)
            if done.fate is Fate.BROKEN:
                self.context.node_gone(job.node.id, done.reason)
            return
        if isinstance(job, RestoreJob):
            restored: RestoreOutcome = done.outcome
            self._restored(job.node, restored.results)
            error = restored.error
        elif isinstance(job, EmptyJob):
            emptied: EmptyOutcome = done.outcome
            self._emptied(job.node, emptied)
            error = emptied.error
        else:
            looked: LookIntoTrashOutcome = done.outcome
            for batch, files in looked.found:
                ids = self._ids(job.node, [file.path for file in files])
                record.found(self.context.index, job.node, batch, files, ids)
            error = looked.error
        if error:
            self._unusable(job.node, error)

    def _ids(self, node: NodeFact, paths: Sequence[str]) -> dict[str, int]:
        """Return the ids of the files at paths below a root, by path; unknown ones are left out.

        If a path can be split into the names of several files, one without a copy on the node is meant.
        """
        splits = {path: possible_names(path) for path in paths}
        files = known(self.context.index, node.id, [pair for pairs in splits.values() for pair in pairs])
        ids = {}
        for path, pairs in splits.items():
            matching = [files[pair] for pair in pairs if pair in files]
            if matching:
                gone = [file for file in matching if file.has_file in (None, "N")]
                ids[path] = (gone or matching)[0].file_id
        return ids

    def task_withdrawn(self, task: Task) -> None:
        pass

    def _unusable(self, node: NodeFact, why: Why) -> None:
        self.context.report.failures.lasting(Code.TRASH_UNUSABLE(node=node.name, why=why), subject=node.name)

    def _restored(self, node: NodeFact, results: Sequence[RestoreResult]) -> None:
        context = self.context
        if not results:
            return
        if not record.restored(context.index, context.run, node, results):
            context.node_moved(node.id)
            return
        tally = context.report.tally("undelete")
        for result in results:
            if result.outcome is Restored.BACK:
                tally.done += 1
                tally.bytes += result.file.size_b or 0
                context.changed = True  # they can be checked
            else:
                tally.failed += 1
                what = Code.NOT_UNDELETED(node=node.name)
                context.report.failures.add(what, f"{result.file.path}: {result.why}")

    def _emptied(self, node: NodeFact, outcome: EmptyOutcome) -> None:
        context = self.context
        record.emptied(context.index, node, outcome.emptied)
        for batch, paths in outcome.partly:
            deleted = set(paths)
            rows = [
                file.row_id for file in scan.in_batch(context.index, node.id, batch) if file.path in deleted
            ]
            record.deleted(context.index, node, rows)
        tally = context.report.tally("trash")
        tally.done += outcome.files
        tally.bytes += outcome.freed_b
        if outcome.files:
            context.changed = True  # there is more room
        for batch, why in outcome.left:
            context.report.failures.add(Code.TRASH_NOT_EMPTIED(node=node.name, why=why), batch)
