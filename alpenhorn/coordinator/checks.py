"""Checks: pages of suspect copies through planning, the pool and the record."""

from __future__ import annotations

from collections.abc import Iterator

from alpenhorn.coordinator.context import Context
from alpenhorn.model import CheckFact, CheckJob, CheckResult, Done, Fate, Kind, NodeFact, Task, Verdict
from alpenhorn.plan.batches import check_tasks
from alpenhorn.plan.checks import choose
from alpenhorn.record import checks
from alpenhorn.scan.checks import pages

PAGE = 2000


class Checks:
    kind = Kind.CHECK

    def __init__(self, context: Context) -> None:
        self.context = context
        self._pages = self._all_pages()

    def _all_pages(self) -> Iterator[tuple[NodeFact, list[CheckFact]]]:
        for node_id in sorted(self.context.ios):
            if node_id in self.context.gone:
                continue
            node = self.context.node(node_id)
            for facts in pages(self.context.index, node_id, PAGE):
                yield node, facts

    def feed(self) -> list[Task]:
        for node, facts in self._pages:
            plan = choose(facts, self.context.posix_now())
            for fact, why in plan.left:
                if fact.attempt is None:
                    self.context.report.waiting.add(
                        f"not checked on {node.name}: {why}", f"{fact.acq}/{fact.name}"
                    )
            tasks = list(check_tasks(node, plan.files, self.context.limits))
            if tasks:
                return tasks
        return []

    def take(self, done: Done) -> None:
        job = done.task.job
        assert isinstance(job, CheckJob)
        if done.fate is Fate.BROKEN:
            self.context.node_gone(job.node.id, done.error)
            return
        if done.fate is Fate.DONE:
            results: tuple[CheckResult, ...] = done.outcome
        else:
            error = f"{done.fate}: {done.error}" if done.error else str(done.fate)
            results = tuple(CheckResult(file, Verdict.UNREADABLE, error=error) for file in job.files)
        if results:
            checks.settle(self.context.index, self.context.run, job.node, results)
            self.context.changed = True
        self._count(job.node, results)

    def _count(self, node: NodeFact, results: tuple[CheckResult, ...]) -> None:
        report = self.context.report
        tally = report.tally("check")
        for result in results:
            if result.verdict is Verdict.UNREADABLE:
                tally.failed += 1
                report.failures.add(
                    f"copies on {node.name} could not be read", f"{result.file.path}: {result.error}"
                )
                continue
            tally.done += 1
            tally.bytes += result.file.size_b or 0
            if result.verdict is not Verdict.GOOD:
                report.failures.add(f"{result.verdict} on {node.name}", f"{result.file.path}: {result.error}")

    def withdrawn(self, task: Task) -> None:
        """The copies stay suspect, which is all that there is to say of them."""
