"""Checks of suspect copies, and of good copies that are due for verification."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NamedTuple

from alpenhorn.coordinator.context import CheckCounts, Context
from alpenhorn.index.connection import Index
from alpenhorn.index.times import naive
from alpenhorn.io.base import TapeNode
from alpenhorn.model.checks import CheckFact, CheckFile, CheckJob, CheckResult
from alpenhorn.model.links import LookJob, LookTotals
from alpenhorn.model.nodes import NodeFact
from alpenhorn.model.tasks import Done, Fate, Task, TaskKind, Verdict
from alpenhorn.plan.batches import check_tasks
from alpenhorn.plan.checks import (
    CheckPlan,
    choose,
    doubt_reason,
    loss_in_doubt,
    storage_in_doubt,
    sums_to_keep,
)
from alpenhorn.plan.links import look_files
from alpenhorn.plan.pulls import unknown_file
from alpenhorn.reasons import Code, Reason, about, headed
from alpenhorn.record import checks
from alpenhorn.scan.checks import END, longest_ago, pages, unverified
from alpenhorn.scan.digests import known_sha256
from alpenhorn.scan.good_since import good_since
from alpenhorn.scan.sample import sample, sums

PAGE = 2000
FIRST_PAGE = 300  # small, so that workers start soon; each page is at most twice as long as the one before it
MOST_HELD = 10_000  # results
SPARE = 100  # copies of a page that may be skipped before another page is read
DAY = 86_400.0
NEVER = Code.NEVER_VERIFIED()
AGAIN = Code.VERIFIED_LONGEST_AGO()
FOUND_WRONG = {Verdict.MISSING: Code.FOUND_MISSING, Verdict.CORRUPT: Code.FOUND_CORRUPT}
LOST = (Verdict.MISSING, Verdict.UNREADABLE)


class DuePage(NamedTuple):
    """Good copies that are due for verification.  `stale` as in `alpenhorn.scan.checks.Verified`."""

    why: Reason
    plan: CheckPlan
    stale: list[int]


def due_pages(
    index: Index, node: NodeFact, now: float, min_days: float, place: float, ready: bool | None = None
) -> Iterator[DuePage]:
    """Yield at most `node.auto_verify` good copies, in pages.

    First those never verified, then those verified longest ago, if that was at least `min_days` before `now`.  `place`
    as for `unverified`.  `ready`: None for all. A verification dated in the future, by a wrong clock, counts as none.
    """
    left = node.auto_verify
    limit = min(PAGE, left + SPARE)
    before = naive(max(0.0, now - min_days * DAY))

    def chosen(facts: list[CheckFact]) -> CheckPlan:
        return choose((fact for fact in facts if ready is None or fact.ready is ready), now)

    never = (DuePage(NEVER, chosen(facts), []) for facts in unverified(index, node.id, place, limit))
    ahead = longest_ago(index, node.id, END, limit, naive(now + DAY))
    future = (DuePage(NEVER, chosen(found.facts), found.stale) for found in ahead)
    again = (
        DuePage(AGAIN, chosen(found.facts), found.stale)
        for found in longest_ago(index, node.id, before, limit)
    )
    for turn in chain(never, future, again):
        del turn.plan.files[left:]
        left -= len(turn.plan.files)
        yield turn
        if not left:
            return


class Checks:
    """The worklist of checks.

    Results that report a loss are held until all tasks have ended and a sample of the node's other good copies was
    checked, since one result does not show whether a few files are lost or the storage is incomplete.  If the run ends
    before, the next run reads them again.
    """

    kind = TaskKind.CHECK

    def __init__(self, context: Context) -> None:
        self.context = context
        self._open = 0
        self._held: dict[int, list[CheckResult]] = {}
        self._samples: list[Task] = []
        self._pages = self._all_pages()

    def _all_pages(self) -> Iterator[tuple[NodeFact, list[CheckFile]]]:
        """Yield suspect copies of all nodes first: pulls and deletions may wait for them."""
        nodes = [self.context.node(node_id) for node_id in sorted(self.context.ios)]
        for node in nodes:
            for facts in self._suspect_pages(node):
                if self._is_gone(node):
                    break
                yield node, self._suspect(node, facts)
        verified = self.context.whole.verified
        for node in nodes:
            if node.auto_verify > 0 and node.id not in verified and not self._is_gone(node):
                verified.add(node.id)
                for files in self._due_pages(node):
                    yield node, files

    def _suspect_pages(self, node: NodeFact) -> Iterator[list[CheckFact]]:
        """Yield the suspect copies of a node, without those on tape, which are restored first."""
        index, ready = self.context.index, self._ready(node)
        if ready:
            from alpenhorn.scan.tape import back  # few archives have tape

            yield back(index, node.id)
        yield from pages(index, node.id, self.context.limits.page(PAGE), FIRST_PAGE, ready)

    def _ready(self, node: NodeFact) -> bool | None:
        return True if isinstance(self.context.ios[node.id], TapeNode) else None

    def _is_gone(self, node: NodeFact) -> bool:
        return node.id in self.context.gone

    def _suspect(self, node: NodeFact, facts: list[CheckFact]) -> list[CheckFile]:
        plan = choose(facts, self.context.posix_now())
        for fact, why in plan.left:
            if fact.attempt is None and fact.wants_file != "N":
                self.context.report.waiting.lasting(
                    headed(f"not checked on {node.name}", why),
                    f"{fact.acq}/{fact.name}",
                    about(why, node.name),
                )
        return plan.files

    def _due_pages(self, node: NodeFact) -> Iterator[list[CheckFile]]:
        context = self.context
        for turn in due_pages(
            context.index,
            node,
            context.posix_now(),
            context.config.sync.auto_verify_min_days,
            random.random(),
            self._ready(node),
        ):
            checks.forget(context.index, node.id, turn.stale)
            yield turn.plan.files

    def feed(self) -> list[Task]:
        if self._samples:
            samples, self._samples = self._samples, []
            tasks = [task for task in samples if task.node_id not in self.context.gone]
            self._open -= len(samples) - len(tasks)
            if tasks:
                return tasks
        if sum(map(len, self._held.values())) > MOST_HELD:
            return []
        for node, files in self._pages:
            if self._is_gone(node):
                continue
            due = self._with_sha256(self._with_times(node, self._free(node, files)))
            keeps = self.context.keeps_status(node)
            tasks = list(check_tasks(node, due, self.context.limits, keeps))
            if tasks:
                self._open += len(tasks)
                return tasks
        return []

    def _free(self, node: NodeFact, files: Sequence[CheckFile]) -> list[CheckFile]:
        deleting, in_use = self.context.deleting, self.context.in_use
        free = [file for file in files if (node.id, file.file_id) not in deleting]
        if self._ready(node):
            free = [file for file in free if (node.id, file.file_id) not in in_use]
            in_use.update((node.id, file.file_id) for file in free)
        return free

    def _with_times(self, node: NodeFact, files: Sequence[CheckFile]) -> list[CheckFile]:
        if not files:
            return []
        since = good_since(self.context.index, node.id, [file.file_id for file in files])
        return [file._replace(since=since.get(file.file_id, 0.0)) for file in files]

    def _with_sha256(self, files: list[CheckFile]) -> list[CheckFile]:
        """Add the known SHA-256 sums, and have unknown ones computed if this host records them.

        If not, only suspect copies are compared: a pull on another host may have found the difference.
        """
        records = self.context.config.sync.sha256
        file_ids = [file.file_id for file in files if records or file.has_file != "Y"]
        known = known_sha256(self.context.index, file_ids)
        unknown = "" if records else None
        return [file._replace(sha256=known.get(file.file_id, unknown)) for file in files]

    def task_ended(self, done: Done) -> None:
        self._open -= 1
        if isinstance(done.task.job, CheckJob):
            self._checked(done, done.task.job)
        else:
            self._sampled(done)
        if not self._open:
            self._judge_held()

    def _checked(self, done: Done, job: CheckJob) -> None:
        self._used(job)
        node = job.node
        if done.fate is Fate.DONE:
            results: Sequence[CheckResult] = done.outcome
        else:
            error = done.why
            results = [CheckResult(file, Verdict.FAILED, error=error) for file in job.files]
        results = self._without_deleting(node, results)
        if self._ready(node):
            results = self._without_away(node, results)
        if done.fate is Fate.BROKEN:
            # The attempts count all the same: a file that breaks its job must not do so in every run.
            if checks.settle(self.context.index, self.context.run, node, results).moved:
                self.context.node_moved(node.id)
            self.context.node_gone(node.id, done.reason)
        else:
            self._settle(node, [result for result in results if not self._doubtful(result)])
            self._judge(node, [result for result in results if result.verdict is not Verdict.FAILED])

    def _without_deleting(self, node: NodeFact, results: Sequence[CheckResult]) -> list[CheckResult]:
        """Drop results for copies that were claimed for deletion since, which may be gone for that reason."""
        deleting = self.context.deleting
        return [result for result in results if (node.id, result.file.file_id) not in deleting]

    def _without_away(self, node: NodeFact, results: Sequence[CheckResult]) -> list[CheckResult]:
        """Update the restores of a node with tape, and return the results of copies that were on disk."""
        from alpenhorn.record import tape  # few archives have tape

        away = [result for result in results if result.verdict is Verdict.AWAY]
        tape.record_on_tape(
            self.context.index, self.context.run, node.id, [result.file.file_id for result in away]
        )
        read = [result for result in results if result.verdict is not Verdict.AWAY]
        ids = [result.file.file_id for result in read if result.verdict is not Verdict.FAILED]
        if tape.checked(self.context.index, node.id, ids) or away:
            self.context.changed = True
        return read

    def _doubtful(self, result: CheckResult) -> bool:
        """Return whether a result reports a loss.

        Released copies do not count: an interrupted deletion may have deleted them.
        """
        return not self.context.asked.accept_loss and result.verdict in LOST and result.file.wants_file != "N"

    def _judge(self, node: NodeFact, read: Sequence[CheckResult]) -> None:
        """Hold the losses, or discard them and stop work on the node if there are too many."""
        lost = [result for result in read if self._doubtful(result)]
        looked = self._counts(node.id)
        looked.copies += sum(1 for result in read if result.file.wants_file != "N")
        looked.lost += len(lost)
        looked.missing += sum(1 for result in lost if result.verdict is Verdict.MISSING)
        held = self._held.pop(node.id, []) + lost
        if not held or self._is_gone(node):
            return
        self._held[node.id] = held
        if storage_in_doubt(looked.copies, looked.lost):
            self._discard_losses(node, looked.copies, looked.lost)

    def _counts(self, node_id: int) -> CheckCounts:
        return self.context.whole.looked.setdefault(node_id, CheckCounts())

    def _discard_losses(self, node: NodeFact, copies: int, lost: int) -> None:
        """Discard the held losses of a node, and stop work on it."""
        first = self._held.pop(node.id)[0]
        example = f"{first.file.path}: {first.error}"
        self.context.node_gone(node.id, doubt_reason(node.name, copies, lost, example))
        self.context.withdraw(lambda task: task.node_id != node.id)

    def _judge_held(self) -> None:
        """Request a sample of each node's other copies after all tasks have ended.

        The checked copies may all be in one directory that is not mounted.
        """
        for node_id in list(self._held):
            node = self.context.node(node_id)
            if self._is_gone(node):
                del self._held[node_id]
            else:
                self._ask_sample(node)
        if not self._held:
            self._keep_sums()

    def _ask_sample(self, node: NodeFact) -> None:
        lost = [result.file.copy_id for result in self._held[node.id]]
        files = list(look_files(sample(self.context.index, node.id, lost)))
        if not files:
            self._record_losses(node)
            return
        limits = self.context.limits
        deadline = limits.deadline(len(files), 0)
        self._open += 1
        self._samples.append(
            Task(TaskKind.CHECK, node.id, LookJob(node, tuple(files)), len(files), deadline=deadline)
        )

    def _sampled(self, done: Done) -> None:
        """Judge the losses of a node after its sample was checked."""
        node = done.task.job.node
        if done.fate is not Fate.DONE:
            self._held.pop(node.id, None)  # the next run reads them again
            self.context.node_gone(node.id, Code.SAMPLE_FAILED(why=done.why))
            return
        outcome = done.outcome
        looked = self._counts(node.id)
        looked.copies += outcome.looked
        looked.lost += len(outcome.lost)
        looked.missing += len(outcome.lost)
        if node.id not in self._held:
            return
        if self._is_gone(node) or outcome.looked < done.task.files:  # the run is stopping
            del self._held[node.id]
        else:
            self._record_losses(node)

    def _record_losses(self, node: NodeFact) -> None:
        """Record the held losses of a node, or discard them if they are in doubt."""
        looked = self._counts(node.id)
        before = self._before(looked, node.id)
        if loss_in_doubt(before, looked.sums):
            alone = storage_in_doubt(*looked.sums)
            of, lost = looked.sums if alone else (before.looked + looked.copies, before.lost + looked.lost)
            self._discard_losses(node, of, lost)
        else:
            self._settle(node, self._without_deleting(node, self._held.pop(node.id)))

    def _before(self, looked: CheckCounts, node_id: int) -> LookTotals:
        if looked.before is None:
            looked.before = looked.kept = sums(self.context.index, node_id)
        return looked.before

    def _keep_sums(self) -> None:
        """Save the sums by which later runs judge losses.

        Once a node is complete again, copies recorded as missing while it was in doubt are checked again.
        """
        context = self.context
        for node_id, looked in context.whole.looked.items():
            before = self._before(looked, node_id)
            if looked.lost and not looked.missing:
                continue  # unreadable copies are read again by each run, and would be counted each time
            kept = sums_to_keep(before, looked.sums)
            if kept == looked.kept:
                continue
            if storage_in_doubt(*before) and not storage_in_doubt(*kept) and looked.kept == before:
                from alpenhorn.record.suspect import suspect_missing  # nearly no run needs it

                if not context.asked.accept_loss:
                    suspect_missing(context.index, context.run, node_id, before.lost)
                    context.changed = True
            checks.keep_sums(context.index, node_id, kept)
            looked.kept = kept

    def _settle(self, node: NodeFact, results: Sequence[CheckResult]) -> None:
        if not results:
            return
        self.context.linked(node, any(result.linked for result in results))
        settled = checks.settle(self.context.index, self.context.run, node, results)
        if settled.moved:
            self.context.node_moved(node.id)
            return
        if any(result.file.has_file != "Y" or result.verdict is not Verdict.GOOD for result in results):
            self.context.changed = True
        self._count(node, results, settled)

    def _count(self, node: NodeFact, results: Sequence[CheckResult], settled: checks.Settled) -> None:
        report = self.context.report
        tally = report.tally("check")
        for result in results:
            if result.verdict in (Verdict.UNREADABLE, Verdict.FAILED):
                tally.failed += 1
                report.failures.add(
                    Code.COPIES_UNREADABLE(node=node.name), f"{result.file.path}: {result.error}"
                )
                continue
            tally.done += 1
            tally.bytes += result.file.size_b or 0
            if result.file.file_id in settled.changed:
                self.context.whole.foreign.add((node.id, result.file.file_id))
                why = Code.CHANGED_FILE_AT_PATH(node=node.name)
                report.failures.add(why, f"{result.file.path}: {result.error}")
                continue
            if result.verdict is Verdict.CORRUPT and result.file.file_id in settled.never_good:
                self.context.whole.foreign.add((node.id, result.file.file_id))
                why = unknown_file(node.name, result.error)
                why = headed(f"corrupt on {node.name}", why)
                report.failures.add(why, f"{result.file.path}: {result.error}")
                continue
            expected = result.verdict is Verdict.MISSING and result.file.wants_file == "N"
            if result.verdict is not Verdict.GOOD and not expected:
                what = FOUND_WRONG[result.verdict](verdict=result.verdict, node=node.name)
                report.failures.add(what, f"{result.file.path}: {result.error}")

    def task_withdrawn(self, task: Task) -> None:
        """Note that a task was not started; the copies keep their states."""
        self._open -= 1
        if isinstance(task.job, CheckJob):
            self._used(task.job)

    def _used(self, job: CheckJob) -> None:
        if self.context.in_use:
            self.context.in_use.difference_update((job.node.id, file.file_id) for file in job.files)
