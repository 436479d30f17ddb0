"""Reconciliation: compare nodes with their disks in both directions, and correct the index.

Nothing is recorded before a node was compared completely, or the run was asked to stop, since only then the number of
missing copies can be judged.  A run that is killed has changed nothing.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, islice
from operator import itemgetter

from alpenhorn.coordinator.checks import Checks
from alpenhorn.coordinator.compared import Compared, Options
from alpenhorn.coordinator.context import Context, Worklist
from alpenhorn.errors import UnsafePath
from alpenhorn.fs.paths import check_relative
from alpenhorn.model.checks import CheckFact, CheckFile
from alpenhorn.model.copies import HasFile
from alpenhorn.model.nodes import NodeFact
from alpenhorn.model.reconcile import (
    BACK,
    DIFFERING,
    KINDS,
    MISSING,
    UNREAD,
    DiskFinding,
    KnownCopy,
    ReconcileJob,
    ReconcileOutcome,
    TreePart,
)
from alpenhorn.model.tasks import Done, Fate, Task, TaskKind
from alpenhorn.plan.batches import BATCH_FILES
from alpenhorn.plan.checks import choose, storage_in_doubt
from alpenhorn.plan.reconcile import Nesting, inside, nestings
from alpenhorn.reasons import Code, Why, headed
from alpenhorn.record.reconcile import record_comparison
from alpenhorn.record.suspect import suspect
from alpenhorn.scan import manifest as good_copies
from alpenhorn.scan import reconcile as scan

_log = logging.getLogger(__name__)

PAGE = 20_000  # copies read at a time; larger acquisitions are split
FIRST_PAGE = 4_000  # small, so that workers start while the next page is read
JOB_COPIES = 5_000
RECORDED = 2_000  # copies in one transaction
READ_PAGE = 2_000

RunWorklists = Callable[[Context, dict[TaskKind, Worklist], Callable[[], bool]], None]


def reconcile(context: Context, options: Options, turn: RunWorklists, may_start: Callable[[], bool]) -> None:
    """Compare all nodes of the context, record the differences, and add the findings to the report."""
    comparing = Reconciling(context, options)
    turn(context, {TaskKind.COMPARE: comparing}, may_start)
    context.report.compared = comparing.settle()
    if options.read and not options.dry_run and may_start():
        turn(context, {TaskKind.CHECK: Reading(context)}, may_start)


class Reconciling:
    """The worklist of comparisons of all copies of nodes, and all other files on their disks."""

    kind = TaskKind.COMPARE

    def __init__(self, context: Context, options: Options) -> None:
        self.context = context
        self._options = options
        self._now = context.index.now()
        nodes = [context.node(node_id) for node_id in context.ios]
        self._nodes = {node.id: Compared(node) for node in sorted(nodes, key=lambda node: node.name)}
        self._read = dict.fromkeys(self._nodes, False)  # all tasks were created
        self._good = dict.fromkeys(self._nodes, 0)  # good copies at the start
        self._turned = dict.fromkeys(self._nodes, 0)  # of these, now suspect
        self._broken: set[int] = set()
        self._more: deque[Task] = deque()
        self._tasks = self._all_tasks()

    def feed(self) -> list[Task]:
        if self._more:
            tasks = list(self._more)
            self._more.clear()
            return tasks
        return next(self._tasks, [])

    def _all_tasks(self) -> Iterator[list[Task]]:
        for compared in self._nodes.values():
            _log.info("node %s is compared with the index", compared.node.name)
            for parts in self._parts(compared):
                if compared.node.id in self.context.gone:
                    break
                yield self._cut(compared.node, parts)
            else:
                self._read[compared.node.id] = True

    def _parts(self, compared: Compared) -> Iterator[list[TreePart]]:
        """Yield the parts of a node's tree, some at a time."""
        node, index, report = compared.node, self.context.index, self.context.report
        acqs = []
        self._good[node.id] = good_copies.count(index, node.id)
        for acq in scan.acquisitions(index, node.id):
            compared.expected += acq.good
            try:
                check_relative(f"{acq.name}/x")
            except UnsafePath as error:
                # No such file can be on a disk, so it must not keep the comparison from being complete.
                compared.looked += acq.good
                compared.kept[UNREAD].add(DiskFinding(UNREAD, acq.name, why=error.reason, copies=acq.good))
            else:
                acqs.append(acq)
        amount = report.amounts.of(TaskKind.COMPARE)
        amount.pending = (amount.pending[0] + sum(acq.copies for acq in acqs), 0)
        nested = nestings(acq.name for acq in acqs)
        outermost = frozenset(acq.name for acq in acqs if not nested.get(acq.name, Nesting()).above)
        ids = {acq.name: acq.id for acq in acqs}
        some: dict[int, str] = {}
        copies, limit = 0, FIRST_PAGE
        for acq in acqs:
            if acq.name in nested or acq.copies > PAGE:
                yield from self._nested_parts(node, acq, nested.get(acq.name, Nesting()), ids)
                continue
            some[acq.id] = acq.name
            copies += acq.copies
            if copies >= limit:
                yield self._together(node, some)
                some, copies, limit = {}, 0, PAGE
        if some:
            yield self._together(node, some)
        yield [TreePart("", excluded=outermost)]

    def _together(self, node: NodeFact, names: dict[int, str]) -> list[TreePart]:
        rows = scan.copies(self.context.index, node.id, list(names), self._now)
        return [TreePart(names[acq_id], tuple(known)) for acq_id, known in groupby(rows, itemgetter(0))]

    def _nested_parts(
        self, node: NodeFact, acq: scan.Acquisition, place: Nesting, ids: dict[str, int]
    ) -> Iterator[list[TreePart]]:
        """Yield the parts of an acquisition that is large, or nested with others."""
        index = self.context.index
        apart = frozenset(place.below)
        elsewhere = frozenset(name[len(acq.name) + 1 :] for name in place.below)
        others = [
            row for name in place.above for row in self._in_here(node, name, ids[name], acq.name, elsewhere)
        ]
        after: str | None = None
        pages = scan.in_pages(index, node.id, acq.id, self._now, PAGE)
        before: list[KnownCopy] = next(pages, [])
        for page in pages:
            until = before[-1][1]
            yield [self._part(acq.name, before, others, elsewhere, apart, after, until)]
            before, after = page, until
        yield [self._part(acq.name, before, others, elsewhere, apart, after, None)]

    def _in_here(
        self, node: NodeFact, name: str, acq_id: int, here: str, elsewhere: frozenset[str]
    ) -> Iterator[KnownCopy]:
        """Yield the files of an outer acquisition inside the directory of an inner one, relative to it."""
        directory = here[len(name) + 1 :]
        for row in scan.below(self.context.index, node.id, acq_id, directory, self._now):
            below = row[1][len(directory) + 1 :]
            if not inside(below, elsewhere):
                yield (row[0], below, *row[2:])

    def _part(
        self,
        path: str,
        known: Sequence[KnownCopy],
        others: Sequence[KnownCopy],
        elsewhere: frozenset[str],
        apart: frozenset[str],
        after: str | None,
        until: str | None,
    ) -> TreePart:
        if elsewhere:
            known = [row for row in known if not inside(row[1], elsewhere)]
        first = b"" if after is None else after.encode(errors="surrogateescape")
        last = None if until is None else until.encode(errors="surrogateescape")
        known = [
            *known,
            *(
                row
                for row in others
                if (name := row[1].encode(errors="surrogateescape")) > first
                and (last is None or name <= last)
            ),
        ]
        limits = [None if name is None else f"{path}/{name}" for name in (after, until)]
        return TreePart(path, tuple(known), apart, *limits)

    def _cut(self, node: NodeFact, parts: Sequence[TreePart]) -> list[Task]:
        tasks: list[Task] = []
        batch: list[TreePart] = []
        copies = 0
        for part in parts:
            batch.append(part)
            copies += len(part.known)
            if copies >= JOB_COPIES:
                tasks.append(self._task(node, batch, copies))
                batch, copies = [], 0
        if batch:
            tasks.append(self._task(node, batch, copies))
        return tasks

    def _task(self, node: NodeFact, parts: Sequence[TreePart], copies: int) -> Task:
        return Task(
            TaskKind.COMPARE,
            node.id,
            ReconcileJob(node, tuple(parts), self._options.min_age),
            files=copies,
            deadline=self.context.limits.deadline(max(copies, BATCH_FILES), 0),
        )

    def task_ended(self, done: Done) -> None:
        job = done.task.job
        assert isinstance(job, ReconcileJob)
        compared = self._nodes[job.node.id]
        if done.fate is not Fate.DONE:
            # Copies that were not compared must not be relied on.
            self._broken.add(job.node.id)
            why = Code.COMPARISON_FAILED(why=done.error)
            self.context.node_gone(job.node.id, why)
            return
        outcome: ReconcileOutcome = done.outcome
        compared.looked += outcome.looked
        compared.young += outcome.young
        for finding in outcome.found:
            compared.kept[finding.kind].add(finding)
        if outcome.stopped:
            self._broken.add(job.node.id)
        elif outcome.remaining and job.node.id not in self.context.gone:
            # Divided, since otherwise one worker would search a disk that is unknown to the index alone.
            step = -(-len(outcome.remaining) // self.context.limits.workers)
            for start in range(0, len(outcome.remaining), step):
                self._more.append(self._task(job.node, outcome.remaining[start : start + step], 0))

    def task_withdrawn(self, task: Task) -> None:
        self._broken.add(task.node_id)

    def settle(self) -> list[Compared]:
        """Record the findings for each node after all tasks have ended."""
        for compared in self._nodes.values():
            self._settle(compared)
            self._report(compared)
        return list(self._nodes.values())

    def _settle(self, compared: Compared) -> None:
        context, node = self.context, compared.node
        missing = compared.kept[MISSING]
        if node.id in context.gone:
            compared.why = context.gone[node.id]
            return
        if storage_in_doubt(compared.looked, missing.count) and not context.asked.accept_loss:
            compared.why = Code.TOO_MANY_COPIES_MISSING(
                missing=missing.count,
                looked=compared.looked,
                example=next(iter(missing)).path,
                node=node.name,
            )
            return
        if self._options.dry_run:
            compared.why = self._incomplete(compared) or Code.DRY_RUN()
            return
        for kind, before in ((MISSING, HasFile.YES), (DIFFERING, HasFile.YES), (BACK, HasFile.NO)):
            findings = iter(compared.kept[kind])
            while some := list(islice(findings, RECORDED)):
                why = {one.copy_id: headed("compared with the disk", one.why) for one in some}
                turned = suspect(context.index, context.run, node, before, why)
                if turned is None:
                    compared.why = Code.NODE_CHANGED_DURING_COMPARISON()
                    return
                compared.suspect += turned
                if before == HasFile.YES:
                    self._turned[node.id] += turned
                context.changed = True
        compared.why = self._incomplete(compared)
        if not compared.why:
            compared.complete = record_comparison(context.index, node)

    def _incomplete(self, compared: Compared) -> Why:
        node, left = compared.node, compared.expected - compared.looked
        if node.id in self._broken or not self._read[node.id] or self.context.report.stopped:
            return Code.COMPARISON_STOPPED(left=max(left, 0))
        if left:
            return Code.COMPARISON_INCOMPLETE(left=left, expected=compared.expected)
        if good_copies.count(self.context.index, node.id) + self._turned[node.id] != self._good[node.id]:
            return Code.INDEX_CHANGED_DURING_COMPARISON()
        return ""

    def _report(self, compared: Compared) -> None:
        report, name = self.context.report, compared.node.name
        counts = {kind: compared.kept[kind].count for kind in KINDS}
        _log.info("node %s was compared: %d copies checked, %s", name, compared.looked, counts)
        if compared.why and not compared.unrecorded and compared.node.id not in self.context.gone:
            report.failures.add(headed(f"node {name} is not reconciled", compared.why))
        elif not compared.agrees() and compared.node.id not in self.context.gone:
            report.failures.add(Code.NODE_DIFFERS_FROM_INDEX(node=name))


class Reading(Checks):
    """The worklist that reads every suspect or good copy in full, except those on tape."""

    def _all_pages(self) -> Iterator[tuple[NodeFact, list[CheckFile]]]:
        nodes = [self.context.node(node_id) for node_id in sorted(self.context.ios)]
        suspect: set[int] = (
            set()
        )  # these may be good when the good ones are listed, and must not be read twice
        for node in nodes:
            for facts in self._suspect_pages(node):
                if self._is_gone(node):
                    break
                suspect.update(fact.copy_id for fact in facts)
                yield node, self._suspect(node, facts)
        now = self.context.posix_now()
        for node in nodes:
            if self._ready(node):
                self.context.report.warnings.add(Code.COPIES_ON_TAPE_NOT_READ(node=node.name))
                continue
            for rows in good_copies.good(self.context.index, node.id, READ_PAGE):
                if self._is_gone(node):
                    break
                facts = [
                    CheckFact(
                        row.copy_id,
                        row.file_id,
                        node.id,
                        row.acq,
                        row.name,
                        row.size_b,
                        row.md5sum,
                        has_file="Y",
                    )
                    for row in rows
                    if row.copy_id not in suspect
                ]
                yield node, choose(facts, now).files
