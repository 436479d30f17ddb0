"""Nodes with tape: copies are restored, leave the disk, and are compared with the tape."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import chain, islice

from alpenhorn.coordinator.checks import DAY, due_pages
from alpenhorn.coordinator.context import Context
from alpenhorn.coordinator.tape_batches import TapeBatches, preview_batches
from alpenhorn.index.connection import Index
from alpenhorn.index.times import naive
from alpenhorn.io.base import BatchTapeNode, TapeNode
from alpenhorn.model.nodes import NodeFact
from alpenhorn.model.tape import (
    Location,
    Purpose,
    RestoreCandidate,
    RestoreFact,
    RestoreState,
    TapeAction,
    TapeFile,
    TapeJob,
    TapeResult,
)
from alpenhorn.model.tape_batches import BatchJob
from alpenhorn.model.tasks import Done, Fate, Task, TaskKind
from alpenhorn.plan import tape as plan
from alpenhorn.reasons import Code, Reason, headed
from alpenhorn.record import tape as record
from alpenhorn.scan import tape as scan
from alpenhorn.scan.tape_batches import states

FILES = 1000  # in one job
AT_ONCE = 200  # copies that leave the disk before the free space is checked again
NO_ROOM = Code.NO_ROOM_TO_COME_FROM_TAPE()
FAILED = {
    TapeAction.LOOK: Code.TAPE_LOOK_FAILED,
    TapeAction.RESTORE: Code.TAPE_RESTORE_FAILED,
    TapeAction.LEAVE: Code.TAPE_LEAVE_FAILED,
}


def restores(
    index: Index,
    io: TapeNode,
    rows: Sequence[RestoreFact],
    free_b: int | None,
    now: float,
    min_days: float,
    verify: bool,
) -> plan.Restores:
    """Choose the copies to restore now.

    `rows`: earlier restores; `verify`: include good copies that are due for verification, at least `min_days` after the
    last one.
    """
    node = io.node
    under_way = [row.file for row in rows if row.state is RestoreState.ASKED]
    wanted: Iterator[RestoreCandidate] = scan.wanted(index, node.id, naive(now))
    if verify and node.auto_verify > 0:
        wanted = chain(wanted, _to_verify(index, node, rows, now, min_days))
    # At most one job, so that copies are restored in their order.
    limit = min(io.restore_limit, len(under_way) + FILES)
    return plan.restores(wanted, under_way, limit, free_b)


def preview(
    index: Index, io: TapeNode, free_b: int | None, now: float, min_days: float
) -> Iterator[tuple[bool, Reason, TapeFile]]:
    """Yield what a run would do: (whether it is planned, method or reason, file)."""
    rows = scan.asked_back(index, io.node.id)
    for row in rows:
        if row.state is RestoreState.ASKED:
            yield False, Code.COMING_FROM_TAPE(), row.file
    found = restores(index, io, rows, free_b, now, min_days, verify=True)
    for one in found.chosen:
        yield True, Code.ASKED_BACK_FROM_TAPE(purpose=one.purpose), one.file
    for one in found.later:
        yield False, NO_ROOM, one.file
    if isinstance(io, BatchTapeNode):
        yield from preview_batches(index, io, now)
    if free_b is not None and free_b < io.headroom_b:
        for file in plan.enough(_dispensable(index, io), io.headroom_b - free_b):
            yield True, Code.LEAVES_DISK_FOR_ROOM(), file


def _to_verify(
    index: Index, node: NodeFact, rows: Sequence[RestoreFact], now: float, min_days: float
) -> Iterator[RestoreCandidate]:
    known = {row.file.file_id for row in rows}
    for turn in due_pages(index, node, now, min_days, random.random(), ready=False):
        for file in turn.plan.files:
            if file.file_id not in known:
                on_tape = TapeFile(file.copy_id, file.file_id, file.path, file.size_b or 0, ready=False)
                yield RestoreCandidate(on_tape, Purpose.CHECK)


class Tapes:
    """The worklist of tape nodes, with one job at a time on each, so that results are recorded in order."""

    kind = TaskKind.TAPE

    def __init__(self, context: Context) -> None:
        self.context = context
        self._asked: dict[int, dict[int, RestoreCandidate]] = {}  # by node, by file
        self._left_b: dict[int, int] = {}  # bytes that left the disk
        self._ios = {io.node.id: io for io in context.ios.values() if isinstance(io, TapeNode)}
        self._tasks = {node_id: self._tasks_of(io) for node_id, io in self._ios.items()}
        self._busy: set[int] = set()
        self._batches = TapeBatches(context)

    def feed(self) -> list[Task]:
        tasks = []
        for node_id in self._ios.keys() - self._busy - self.context.gone.keys():
            if task := next(self._tasks[node_id], None):
                self._busy.add(node_id)
                tasks.append(task)
        return tasks

    def _tasks_of(self, io: TapeNode) -> Iterator[Task]:
        """Yield the tasks of each step after the previous one was recorded."""
        for step in (self._arrivals, self._restores, self._checked, self._comparisons):
            yield from step(io)
        if isinstance(io, BatchTapeNode):
            # Before files leave the disk, which they may only once they are on tape.
            yield from self._batches.tasks(io)
        yield from self._headroom(io)

    def _rows(self, node: NodeFact) -> list[RestoreFact]:
        """Return the restores of a node; delete the rows of those no longer needed."""
        index = self.context.index
        rows = scan.asked_back(index, node.id)
        over = [row.file.file_id for row in rows if not row.there or _is_over(row)]
        record.forget(index, node.id, over)
        return [row for row in rows if row.there and not _is_over(row)]

    def _arrivals(self, io: TapeNode) -> list[Task]:
        """Look for copies being restored, and copies restored for a check that a request wants by now."""
        now = self.context.posix_now()
        due = [
            row.file
            for row in self._rows(io.node)
            # A time further ahead than the wait was written with a wrong clock.
            if (row.state is RestoreState.ASKED and not now < row.next <= now + io.restore_wait + DAY)
            or (row.state in (RestoreState.BACK, RestoreState.CHECKED) and row.requested)
        ]
        return _jobs(io, TapeAction.LOOK, due)

    def _restores(self, io: TapeNode) -> list[Task]:
        context, node = self.context, io.node
        verify = node.id not in context.whole.recalled
        context.whole.recalled.add(node.id)
        min_days = context.config.sync.auto_verify_min_days
        free_b = context.free_b.get(node.id)
        found = restores(context.index, io, self._rows(node), free_b, context.posix_now(), min_days, verify)
        for one in found.later:
            what = headed(f"not restored from tape on {node.name}", NO_ROOM)
            context.report.waiting.lasting(what, one.file.path, node.name)
        self._asked[node.id] = {one.file.file_id: one for one in found.chosen}
        return _jobs(io, TapeAction.RESTORE, [one.file for one in found.chosen])

    def _checked(self, io: TapeNode) -> list[Task]:
        """Free the disk space of copies that were restored for a check and have been checked."""
        rows = self._rows(io.node)
        return self._leave(
            io, [row.file for row in rows if row.state is RestoreState.CHECKED and not row.requested]
        )

    def _comparisons(self, io: TapeNode) -> list[Task]:
        """Compare some copies with the tape, once in a run; the next run continues with those that follow."""
        context, node = self.context, io.node
        if node.id in context.whole.compared or not io.release_check_count:
            return []
        context.whole.compared.add(node.id)
        files = scan.turns(context.index, node.id, io.release_check_count)
        if files:
            # Recorded first, so that copies on which a run is killed do not block the others.
            record.compared(context.index, node.id, files[-1].copy_id)
        return _jobs(io, TapeAction.LOOK, files)

    def _headroom(self, io: TapeNode) -> Iterator[Task]:
        """Free disk space until the headroom is free; once in a run, since space may be freed late."""
        context, node = self.context, io.node
        free_b = context.free_b.get(node.id)
        if free_b is None or free_b >= io.headroom_b or node.id in context.whole.thinned:
            return
        context.whole.thinned.add(node.id)
        files = _dispensable(context.index, io)
        # Copies that are not on tape yet cannot leave; then others do.
        while (lack_b := io.headroom_b - free_b - self._left_b.get(node.id, 0)) > 0:
            some = plan.enough(islice(files, AT_ONCE), lack_b)
            if not some:
                context.report.waiting.lasting(Code.HEADROOM_LACKING(node=node.name))
                return
            yield from self._leave(io, some)

    def _leave(self, io: TapeNode, files: Sequence[TapeFile]) -> list[Task]:
        in_use = self.context.in_use
        free = [file for file in files if (io.node.id, file.file_id) not in in_use]
        in_use.update((io.node.id, file.file_id) for file in free)
        record.clear_ready(self.context.index, self.context.run, free)
        return _jobs(io, TapeAction.LEAVE, free)

    def task_ended(self, done: Done) -> None:
        job = done.task.job
        if isinstance(job, BatchJob):
            self._busy.discard(job.node.id)
            self._batches.task_ended(job, done)
            return
        assert isinstance(job, TapeJob)
        context, node = self.context, job.node
        self._ended(job)
        if done.fate is not Fate.DONE:
            # The result is unknown; the next run looks at the files again.
            why = done.why
            if done.fate is Fate.BROKEN:
                context.node_gone(node.id, done.reason)
            else:
                context.report.failures.add(FAILED[job.verb](node=node.name), why)
            return
        # Copies that were claimed for deletion since may be gone for that reason.
        outcome: Sequence[TapeResult] = done.outcome
        results = [one for one in outcome if (node.id, one.file.file_id) not in context.deleting]
        asked = self._asked[node.id] if job.verb is TapeAction.RESTORE else {}
        record.settle(
            context.index, context.run, node, job.verb, results, asked, self._ios[node.id].restore_wait
        )
        self._count(job, results)

    def _ended(self, job: TapeJob) -> None:
        self._busy.discard(job.node.id)
        if job.verb is TapeAction.LEAVE:
            self.context.in_use.difference_update((job.node.id, file.file_id) for file in job.files)

    def _count(self, job: TapeJob, results: Sequence[TapeResult]) -> None:
        context, node = self.context, job.node
        tally = context.report.tally("tape")
        for result in results:
            file = result.file
            if result.where is not None and result.where.readable and not file.ready:
                context.changed = True  # a pull or check may wait for it
            if result.where is Location.GONE and (node.id, file.file_id) not in context.whole.lost:
                # Only once, since it may be found gone in every round until its check can run.
                context.whole.lost.add((node.id, file.file_id))
                context.changed = True
                context.report.warnings.add(Code.COPIES_NEITHER_ON_DISK_NOR_TAPE(node=node.name), file.path)
            if result.error:
                tally.failed += 1
                context.report.failures.add(FAILED[job.verb](node=node.name), f"{file.path}: {result.error}")
            elif result.where is DONE.get(job.verb):
                tally.done += 1
                tally.bytes += file.held_b
            if result.where is Location.TAPE and job.verb is TapeAction.LEAVE:
                self._left_b[node.id] = self._left_b.get(node.id, 0) + file.held_b

    def task_withdrawn(self, task: Task) -> None:
        if isinstance(task.job, BatchJob):
            self._busy.discard(task.node_id)
            self._batches.task_withdrawn(task.job)
            return
        assert isinstance(task.job, TapeJob)
        if task.job.verb is TapeAction.LEAVE:
            record.set_ready(self.context.index, self.context.run, [f for f in task.job.files if f.ready])
        self._ended(task.job)


DONE = {TapeAction.RESTORE: Location.COMING, TapeAction.LEAVE: Location.TAPE}


def _dispensable(index: Index, io: TapeNode) -> Iterator[TapeFile]:
    """Yield the copies that may leave the disk, in order, without empty ones, and without those not on tape yet."""
    files = [file for file in scan.dispensable(index, io.node.id) if file.held_b > 0]
    if isinstance(io, BatchTapeNode):
        rows = states(index, [io.node.id], [file.file_id for file in files])
        on_tape = {row.file_id for row in rows if row.on_tape}
        files = [file for file in files if file.file_id in on_tape]
    return iter(files)


def _is_over(row: RestoreFact) -> bool:
    """Return whether a copy restored for a check is ready for another reason by now."""
    return row.state in (RestoreState.BACK, RestoreState.CHECKED) and row.file.ready


def _jobs(io: TapeNode, verb: TapeAction, files: Sequence[TapeFile]) -> list[Task]:
    tasks = []
    for start in range(0, len(files), FILES):
        some = tuple(files[start : start + FILES])
        job = TapeJob(io.node, verb, some)
        tasks.append(
            Task(TaskKind.TAPE, io.node.id, job, files=len(some), deadline=io.job_seconds(len(some)))
        )
    return tasks
