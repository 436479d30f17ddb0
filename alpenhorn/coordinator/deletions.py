"""Deletions: pages of copies that may go through the brake, the claim, the pool and the record."""

from __future__ import annotations

import math
from collections.abc import Iterator

from alpenhorn.coordinator.context import Context
from alpenhorn.coordinator.deletable import Deletable, Page, evidence, put_brake
from alpenhorn.model import (
    Blame,
    DeleteFile,
    DeleteJob,
    DeleteOutcome,
    DeleteResult,
    DeletionFact,
    Done,
    Fate,
    HasFile,
    Kind,
    NodeFact,
    Task,
    Verdict,
    WantsFile,
)
from alpenhorn.plan.batches import delete_tasks
from alpenhorn.plan.deletions import wrong
from alpenhorn.record import deletions

MOST = 100_000  # copies claimed in one round, all of which it keeps in mind; the next round goes on


class _Work:
    """A node's turn.  `allowed`: how many copies may still be claimed beside those that go by rule, infinity for
    any number."""

    def __init__(self, node: NodeFact, deletable: Deletable) -> None:
        self.node = node
        self.deletable = deletable
        self.allowed = math.inf


class Deletions:
    kind = Kind.DELETE

    def __init__(self, context: Context) -> None:
        self.context = context
        self._why: dict[int, str] = {}
        self._tasks = self._all_tasks()

    def feed(self) -> list[Task]:
        return next(self._tasks, [])

    def _all_tasks(self) -> Iterator[list[Task]]:
        """Each page is looked at and claimed when it is asked for.

        Suspect copies, such as a killed run has left, are claimed all at once before anything else is fed: a check
        that finds one gone would leave its directory.
        """
        works = [work for work in map(self._begin, sorted(self.context.ios)) if work is not None]
        tasks = [
            task for work in works for some in self._claimed(work, work.deletable.suspect()) for task in some
        ]
        if tasks:
            yield tasks
        for work in works:
            yield from self._claimed(work, work.deletable.rest())

    def _begin(self, node_id: int) -> _Work | None:
        """None where there is nothing to delete, or the brake is put."""
        context = self.context
        if node_id in context.gone or node_id in context.whole.braked:
            return None
        node = context.node(node_id)
        work = _Work(node, self._deletable(node, look=False))
        if not work.deletable:
            return None
        if not context.asked.allow_mass_delete:
            deleted = context.whole.deleted.get(node_id, 0)
            brake = put_brake(self._deletable(node), context.config.sync, deleted)
            if brake.line:
                context.whole.braked.add(node_id)
                context.report.failures.add(brake.line)
                return None
            if brake.allowed is not None:
                work.allowed = brake.allowed
        return work

    def _claimed(self, work: _Work, pages: Iterator[Page]) -> Iterator[list[Task]]:
        context, node = self.context, work.node
        for page in pages:
            if node.id in context.gone or len(context.deleting) >= MOST:
                return
            self._tell(node, page.left)
            granted = self._claim(node, page.may, work.allowed)
            # Where much has to wait, locking it all to find that out would keep others from their work.
            if page.may:
                work.deletable.look = len(granted) < len(page.may) / 2
            work.allowed -= sum(not fact.by_rule for fact in granted)
            work.deletable.going(granted)
            if granted:
                yield list(delete_tasks(node, [_file(fact) for fact in granted], context.limits))

    def _deletable(self, node: NodeFact, look: bool = True) -> Deletable:
        """Room is made once in a run: a file system that frees space late must not lose one copy after another."""
        context = self.context
        return Deletable(
            context.index,
            node,
            evidence(context.config.sync, context.gone),
            context.free_b.get(node.id),
            context.posix_now(),
            context.run.id,
            make_room=node.id not in context.whole.relieved,
            look=look,
        )

    def _claim(self, node: NodeFact, wanted: list[DeletionFact], most: float) -> list[DeletionFact]:
        """Claim what may go at this moment, but no more than so many; returns the copies as they were before."""
        context = self.context
        free = [fact for fact in wanted if (node.id, fact.file_id) not in context.deleting]
        if not free:
            return []
        decided = deletions.claim(
            context.index,
            context.run,
            node,
            free,
            evidence(context.config.sync, context.gone),
            context.posix_now(),
            most,
        )
        self._tell(node, decided.refused)
        for fact, why in decided.granted:
            self._why[fact.copy_id] = why
            context.deleting.add((node.id, fact.file_id))
            if fact.wants_file == WantsFile.MAYBE:
                context.whole.relieved.add(node.id)
        return [fact for fact, _ in decided.granted]

    def _tell(self, node: NodeFact, left: list[tuple[DeletionFact, str]]) -> None:
        for fact, why_not in left:
            if fact.wants_file == WantsFile.NO and wrong(fact):
                self.context.report.waiting.add(f"not deleted on {node.name}: {why_not}", _name(fact))
            elif fact.wants_file == WantsFile.NO:
                self.context.report.later.add(f"not deleted yet on {node.name}: {why_not}", _name(fact))

    def take(self, done: Done) -> None:
        job = done.task.job
        assert isinstance(job, DeleteJob)
        node = job.node
        blame = Blame.UNKNOWN
        if done.fate is Fate.DONE:
            outcome: DeleteOutcome = done.outcome
        else:
            # It may have come to any of the files: what is there, the next look at them tells.
            blame = Blame.WORKER
            error = done.why
            lost = (file._replace(had=HasFile.MAYBE) for file in job.files)
            outcome = DeleteOutcome(
                tuple(DeleteResult(file, Verdict.FAILED, error=error) for file in lost),
                done.error if done.fate is Fate.BROKEN else "",
            )
        self._settle(job, outcome, blame)
        if outcome.error:
            self.context.node_gone(node.id, outcome.error)

    def withdrawn(self, task: Task) -> None:
        assert isinstance(task.job, DeleteJob)
        self._settle(task.job, DeleteOutcome(), Blame.UNKNOWN)

    def _settle(self, job: DeleteJob, outcome: DeleteOutcome, blame: Blame) -> None:
        context = self.context
        told = {result.file.copy_id for result in outcome.results}
        untouched = [file for file in job.files if file.copy_id not in told]
        why = {file.copy_id: self._why.pop(file.copy_id, "") for file in job.files}
        deletions.settle(context.index, context.run, job.node, outcome.results, untouched, why, blame)
        if outcome.results:
            context.changed = True
            self._count(job.node, outcome.results)

    def _count(self, node: NodeFact, results: tuple[DeleteResult, ...]) -> None:
        report, deleted = self.context.report, self.context.whole.deleted
        tally = report.tally("delete")
        for result in results:
            if result.verdict is Verdict.DELETED:
                deleted[node.id] = deleted.get(node.id, 0) + (not result.file.by_rule)
                tally.done += 1
                tally.bytes += result.freed_b
            elif result.verdict is Verdict.MISSING:
                tally.done += 1
                # What a killed run has deleted is suspect, and expected to be gone.
                if result.file.had == HasFile.YES:
                    report.warnings.add(
                        f"released copies on {node.name} were not there any more", result.file.path
                    )
            elif result.verdict is Verdict.CORRUPT:
                tally.failed += 1
                report.failures.add(
                    f"released copies on {node.name} are not what the index says, and were left there as corrupt;"
                    " look at them, and to delete them all the same: alpenhorn file clean --now",
                    f"{result.file.path}: {result.error}",
                )
            else:
                tally.failed += 1
                report.failures.add(
                    f"copies on {node.name} could not be deleted", f"{result.file.path}: {result.error}"
                )


def _file(fact: DeletionFact) -> DeleteFile:
    # What is known to be corrupt may have any length.
    size_b = None if fact.has_file == HasFile.CORRUPT else fact.size_b
    return DeleteFile(
        fact.copy_id, fact.file_id, f"{fact.acq}/{fact.name}", size_b, fact.has_file, fact.by_rule
    )


def _name(fact: DeletionFact) -> str:
    return f"{fact.acq}/{fact.name}" if fact.name is not None else f"file {fact.file_id}"
