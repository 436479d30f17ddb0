"""Deletions: copies are queued, and decided and claimed when a worker is free.

A queue may wait for hours behind long pulls.  Decisions made when it was filled would miss later pins, cancellations,
and what other hosts have found about the remaining copies.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

from alpenhorn.coordinator.context import Context
from alpenhorn.coordinator.deletable import Deletable, DeletionPage, apply_limit, evidence, free_with_trash_b
from alpenhorn.coordinator.report import file_label
from alpenhorn.model.copies import HasFile, WantsFile
from alpenhorn.model.deletions import DeleteFile, DeleteJob, DeleteOutcome, DeleteResult, DeletionFact
from alpenhorn.model.nodes import NodeFact
from alpenhorn.model.tasks import Blame, Done, Fate, Task, TaskKind, Verdict
from alpenhorn.plan.batches import delete_task, delete_tasks
from alpenhorn.plan.deletions import keepers, row_fault, spare_keepers
from alpenhorn.reasons import Code, Reason, about, code_of, headed
from alpenhorn.record import deletions
from alpenhorn.record.claims import LEASE

MOST = 100_000  # copies queued or claimed in one round, which are all held in memory
# Seconds for which a worker may act on claims: less than their lease, so that no other run can take one over while a
# file is deleted.  The clock must count while the machine sleeps or the process is stopped.
GOOD_FOR = LEASE.total_seconds() * 2 / 3


class _Work:
    """The deletions on a node.  `allowed`: copies that may still be claimed beside those released by rules."""

    def __init__(self, node: NodeFact, deletable: Deletable) -> None:
        self.node = node
        self.deletable = deletable
        self.allowed = math.inf

    def set_look(self, most_allowed: bool) -> None:
        """Decide released copies before they are queued only if that helps.

        They are decided again when a worker is free.  It helps if many must stay, since claims would lock them all for
        nothing; and if the node lacks room, since copies that stay free nothing.
        """
        self.deletable.look = not most_allowed or self.deletable.lack_b > 0


class Deletions:
    kind = TaskKind.DELETE

    def __init__(self, context: Context) -> None:
        self.context = context
        self._works: dict[int, _Work] = {}
        self._queued: dict[int, DeletionFact] = {}  # by copy id, as they were when they were queued
        self._why: dict[int, Reason] = {}
        self._fences: dict[tuple[int, int], int] = {}  # by node id and file id
        self._tasks = self._all_tasks()

    def feed(self) -> list[Task]:
        return next(self._tasks, [])

    def _all_tasks(self) -> Iterator[list[Task]]:
        """Yield tasks, reading each page when it is needed.

        Suspect copies, such as those left by a killed run, are all queued first: a check that finds one missing would
        leave its empty directory.
        """
        begun = (self._begin(node_id) for node_id in sorted(self.context.ios))
        self._works = {work.node.id: work for work in begun if work is not None}
        works = list(self._works.values())
        tasks = [
            task
            for work in works
            for some in self._candidates(work, work.deletable.suspect())
            for task in some
        ]
        if tasks:
            yield tasks
        for work in works:
            work.set_look(True)
            yield from self._candidates(work, work.deletable.rest())

    def _begin(self, node_id: int) -> _Work | None:
        """Begin the deletions on a node; return None if there are none, or they exceed delete_limit."""
        context = self.context
        if node_id in context.gone or node_id in context.whole.braked:
            return None
        node = context.node(node_id)
        work = _Work(node, self._deletable(node))
        if not work.deletable:
            return None
        # Who retired the node with --release was shown the number of its copies, and confirmed their deletion.
        if not (context.asked.allow_mass_delete or node.releases):
            deleted = context.whole.deleted.get(node_id, 0)
            brake = apply_limit(self._deletable(node), context.config.sync, deleted)
            if brake.line:
                context.whole.braked.add(node_id)
                context.report.failures.lasting(brake.line)
                return None
            if brake.allowed is not None:
                work.allowed = brake.allowed
        return work

    def _candidates(self, work: _Work, pages: Iterator[DeletionPage]) -> Iterator[list[Task]]:
        context, node = self.context, work.node
        for page in pages:
            if node.id in context.gone or len(context.deleting) >= MOST:
                return
            self._report_left(node, page.left)
            free = [fact for fact in page.may if (node.id, fact.file_id) not in context.deleting]
            work.deletable.deleting(free)
            if free:
                self._queued.update((fact.copy_id, fact) for fact in free)
                context.deleting.update((node.id, fact.file_id) for fact in free)
                yield list(delete_tasks(node, [_file(fact) for fact in free], context.limits))

    def decided(self, task: Task) -> Task | None:
        """Claim the copies that may be deleted now; return None if there are none."""
        context = self.context
        assert isinstance(task.job, DeleteJob)
        facts = [self._queued[file.copy_id] for file in task.job.files]
        work = self._works[task.node_id]
        if work.node.id in context.gone:
            self._unqueue(task.job)
            return None
        # Read before the claim, so that it ends before the lease.
        expires = time.clock_gettime(time.CLOCK_BOOTTIME) + GOOD_FOR
        archive, granted = self._claim(work, facts)
        self._unqueue(task.job)
        context.deleting.update((work.node.id, fact.file_id) for fact in granted)
        if not granted:
            return None
        files = [self._with_keepers(fact, archive) for fact in granted]
        nodes = context.topology.nodes
        looked_at = sorted({node_id for file in files for node_id in file.keepers} & nodes.keys())
        here = [nodes[id] for id in looked_at if nodes[id].host == context.config.sync.host]
        remote = [nodes[id] for id in looked_at if nodes[id].host != context.config.sync.host]
        job = DeleteJob(work.node, tuple(files), tuple(here), expires, tuple(remote), self._batch(work.node))
        return delete_task(job, context.limits, _seconds(job))

    def _batch(self, node: NodeFact) -> str:
        """Return the name of a new batch of the node's trash, "" if files are not moved there."""
        context = self.context
        if not (context.config.sync.trash and context.ios[node.id].keeps_trash):
            return ""
        from alpenhorn.model.trash import batch_name  # few hosts keep deleted files

        return batch_name(context.index.now(), context.run.id, next(context.whole.stages))

    def _unqueue(self, job: DeleteJob) -> None:
        for file in job.files:
            self.context.deleting.discard((job.node.id, file.file_id))
            del self._queued[file.copy_id]

    def _with_keepers(self, fact: DeletionFact, archive: bool) -> DeleteFile:
        """Add the keepers that the worker checks: those on this host, or all with `delete_evidence = "stat"`."""
        nodes, sync = self.context.topology.nodes, self.context.config.sync
        counted = keepers(fact, archive)
        looked_at = counted
        if sync.delete_evidence != "stat":
            looked_at = tuple(id for id in counted if id in nodes and nodes[id].host == sync.host)
        spare = spare_keepers(fact, archive, sync.archive_copy_count)
        return _file(fact)._replace(keepers=looked_at, spare=spare, length=fact.size_b)

    def _deletable(self, node: NodeFact) -> Deletable:
        """Return the deletable copies of a node.

        Room is made once in a run: a file system that frees space late must not lose one copy after another.
        """
        context = self.context
        return Deletable(
            context.index,
            node,
            evidence(context.config.sync, context.gone),
            free_with_trash_b(node, context.free_b.get(node.id), context.space),
            context.posix_now(),
            context.run.id,
            make_room=node.id not in context.whole.relieved,
        )

    def _claim(self, work: _Work, wanted: list[DeletionFact]) -> tuple[bool, list[DeletionFact]]:
        """Claim copies within the limit; return whether the node is an archive node, and the copies as before."""
        context, node = self.context, work.node
        decided = deletions.claim(
            context.index,
            context.run,
            node,
            wanted,
            evidence(context.config.sync, context.gone),
            context.posix_now(),
            work.allowed,
        )
        self._report_left(node, decided.refused)
        granted = [fact for fact, _ in decided.granted]
        work.set_look(len(granted) >= len(wanted) / 2)
        work.allowed -= sum(not fact.by_rule for fact in granted)
        for fact, why in decided.granted:
            self._why[fact.copy_id] = why
            self._fences[node.id, fact.file_id] = decided.fences[fact.file_id]
            if fact.wants_file == WantsFile.MAYBE:
                context.whole.relieved.add(node.id)
        return decided.archive, granted

    def _report_left(self, node: NodeFact, left: list[tuple[DeletionFact, Reason]]) -> None:
        for fact, why_not in left:
            if fact.wants_file == WantsFile.NO and row_fault(fact):
                what = headed(f"not deleted on {node.name}", why_not)
                self.context.report.waiting.lasting(what, _name(fact), about(why_not, node.name))
            elif fact.wants_file == WantsFile.NO:
                what = headed(f"not deleted yet on {node.name}", why_not)
                self.context.report.later.add(what, _name(fact))

    def task_ended(self, done: Done) -> None:
        job = done.task.job
        assert isinstance(job, DeleteJob)
        node = job.node
        blame = Blame.UNKNOWN
        if done.fate is Fate.DONE:
            outcome: DeleteOutcome = done.outcome
        else:
            # Any of the files may have been deleted; the next run finds out.
            blame = Blame.WORKER
            error = done.why
            lost = (file._replace(has_file=HasFile.MAYBE) for file in job.files)
            outcome = DeleteOutcome(
                tuple(DeleteResult(file, Verdict.FAILED, error=error) for file in lost),
                done.error if done.fate is Fate.BROKEN else "",
            )
        self._settle(job, outcome, blame)
        if outcome.error:
            self.context.node_gone(node.id, outcome.error)

    def task_withdrawn(self, task: Task) -> None:
        assert isinstance(task.job, DeleteJob)
        self._unqueue(task.job)

    def _settle(self, job: DeleteJob, outcome: DeleteOutcome, blame: Blame) -> None:
        context = self.context
        ended = {result.file.copy_id for result in outcome.results}
        untouched = [file for file in job.files if file.copy_id not in ended]
        why = {file.copy_id: self._why.pop(file.copy_id) for file in job.files if file.copy_id in self._why}
        fences = {file.file_id: self._fences.pop((job.node.id, file.file_id)) for file in job.files}
        looked_at = (*job.keepers, *job.remote)
        deletions.settle(
            context.index,
            context.run,
            job.node,
            outcome.results,
            untouched,
            why,
            blame,
            fences,
            looked_at,
            job.trash,
        )
        if outcome.expired:
            context.changed = True  # the next round decides the rest again
            context.report.later.add(Code.DELETION_CLAIMS_TOO_OLD(node=job.node.name))
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
                if result.past_trash:
                    report.warnings.add(
                        Code.DELETED_PAST_TRASH(node=node.name, why=result.past_trash), result.file.path
                    )
            elif result.verdict is Verdict.MISSING:
                tally.done += 1
                # A suspect copy was probably deleted by a killed run, which needs no warning.
                if result.file.has_file == HasFile.YES:
                    report.warnings.add(Code.RELEASED_COPIES_GONE(node=node.name), result.file.path)
            elif result.verdict is Verdict.CORRUPT:
                tally.failed += 1
                report.failures.add(
                    Code.RELEASED_COPIES_CORRUPT(node=node.name),
                    f"{result.file.path}: {result.error}",
                )
            elif code_of(result.error) == Code.RELEASED_COPY_WRITTEN:
                why = headed(f"not deleted yet on {node.name}", result.error)
                report.later.add(why, result.file.path)
            elif result.verdict is Verdict.KEPT:
                tally.failed += 1
                report.failures.add(
                    Code.RELEASED_COPIES_KEPT(node=node.name),
                    f"{result.file.path}: {result.error}",
                )
            else:
                tally.failed += 1
                report.failures.add(
                    Code.DELETIONS_FAILED(node=node.name), f"{result.file.path}: {result.error}"
                )


def _seconds(job: DeleteJob) -> float:
    """Return the seconds that a job may take to check keepers on other hosts, which happens in parallel."""
    if not job.remote:
        return 0.0
    from alpenhorn.transfer import look  # few archives check other hosts

    return look.seconds(len(job.files)) + look.GRACE_SECONDS


def _file(fact: DeletionFact) -> DeleteFile:
    # A corrupt copy may have any length.
    size_b = None if fact.has_file == HasFile.CORRUPT else fact.size_b
    return DeleteFile(
        fact.copy_id,
        fact.file_id,
        f"{fact.acq}/{fact.name}",
        size_b,
        fact.has_file,
        fact.by_rule,
        since=fact.since,
        for_room=fact.wants_file == WantsFile.MAYBE,
        md5sum=fact.md5sum,
    )


def _name(fact: DeletionFact) -> str:
    return file_label(fact.acq, fact.name, f"file {fact.file_id}")
