"""Import requests: searched, named, compared with the index, hashed, registered."""

from __future__ import annotations

from dataclasses import dataclass, field

from alpenhorn.coordinator.context import Context
from alpenhorn.model import (
    MARKER,
    Done,
    Fate,
    ImportJob,
    ImportRequestFact,
    ImportResult,
    Kind,
    NodeFact,
    SearchJob,
    SearchOutcome,
    Task,
    Verdict,
)
from alpenhorn.plan.batches import import_tasks, search_tasks
from alpenhorn.plan.imports import choose, name_files
from alpenhorn.record import imports
from alpenhorn.scan.imports import known, requests

SETTLE_REQUESTED = 0.0  # seconds; whoever asks for an import by name says that the files are finished
MOST_FOUND = 20_000  # files that may wait to be hashed before more directories are looked at


@dataclass
class _Progress:
    """One import request under way.  `open` counts its tasks, `later` its unfinished files."""

    request: ImportRequestFact
    node: NodeFact
    directories: list[str]
    hashes: list[Task] = field(default_factory=list)
    open: int = 0
    waiting: int = 0
    later: int = 0
    error: str = ""
    stopped: bool = False


class Imports:
    """Serves a node's pending import requests; its tasks are of the kinds SEARCH and IMPORT."""

    kind = Kind.IMPORT

    def __init__(self, context: Context) -> None:
        self.context = context
        self._under_way: dict[int, _Progress] = {}
        now = context.posix_now()
        for node_id in sorted(context.ios):
            if node_id in context.gone:
                continue
            node = context.node(node_id)
            for request in requests(context.index, node_id):
                if request.path == MARKER or (request.attempt is not None and request.attempt.next > now):
                    continue
                path = request.path.strip("/")
                self._under_way[request.request_id] = _Progress(request, node, ["" if path == "." else path])

    def feed(self) -> list[Task]:
        """Hash what was found before more is searched for, so that the paths of a node are never all held."""
        tasks: list[Task] = []
        for progress in list(self._under_way.values()):
            if progress.hashes:
                tasks.extend(progress.hashes)
                progress.hashes = []
            elif progress.directories and progress.waiting < MOST_FOUND:
                request = progress.request
                searches = search_tasks(
                    progress.node,
                    request.request_id,
                    progress.directories,
                    request.recurse,
                    SETTLE_REQUESTED,
                    self.context.limits,
                )
                new = list(searches)
                progress.directories = []
                progress.open += len(new)
                tasks.extend(new)
        return tasks

    def take(self, done: Done) -> None:
        job = done.task.job
        assert isinstance(job, SearchJob | ImportJob)
        progress = self._under_way[job.request_id]
        progress.open -= 1
        if done.fate is not Fate.DONE:
            progress.error = done.error or str(done.fate)
            progress.directories = []
            if done.fate is Fate.BROKEN:
                self.context.node_gone(job.node.id, done.error)
        elif isinstance(job, SearchJob):
            self._found(progress, done.outcome)
        else:
            progress.waiting -= len(job.files)
            self._hashed(progress, job, done.outcome)
        if not progress.open and not progress.directories and not progress.hashes:
            self._close(progress)

    def withdrawn(self, task: Task) -> None:
        """The run is stopping: the request stays pending."""
        assert isinstance(task.job, SearchJob | ImportJob)
        progress = self._under_way[task.job.request_id]
        progress.open -= 1
        progress.stopped = True

    def _found(self, progress: _Progress, outcome: SearchOutcome) -> None:
        request, node, report = progress.request, progress.node, self.context.report
        if outcome.error:
            progress.error = outcome.error
            report.failures.add(f"the search on {node.name} is not complete", outcome.error)
        progress.directories.extend(outcome.directories)
        progress.later += len(outcome.later)
        for path, why in outcome.later:
            report.warnings.add(f"not imported yet from {node.name}: {why}", path)
        for path, why in outcome.declined:
            report.failures.add(f"cannot be imported from {node.name}: {why}", path)
        named = name_files(outcome.files, self.context.config.import_.patterns)
        rows = known(
            self.context.index, node.id, [(file.acq, file.name) for file in named if not file.refused]
        )
        plan = choose(named, rows, request.register)
        for path, why in plan.refused:
            report.warnings.add(f"not imported from {node.name}: {why}", path)
        tasks = list(
            import_tasks(node, request.request_id, SETTLE_REQUESTED, plan.wanted, self.context.limits)
        )
        progress.hashes.extend(tasks)
        progress.open += len(tasks)
        progress.waiting += len(plan.wanted)

    def _hashed(self, progress: _Progress, job: ImportJob, results: tuple[ImportResult, ...]) -> None:
        report, node = self.context.report, progress.node
        tally = report.tally("import")
        hashed = [result for result in results if result.verdict is Verdict.HASHED]
        if hashed:
            outcome = imports.settle(self.context.index, self.context.run, node, hashed)
            self.context.changed = True
            tally.done += outcome.new + outcome.same
            tally.failed += len(outcome.differ) + len(outcome.refused)
            tally.bytes += sum(result.size_b or 0 for result in hashed)
            for path, difference in outcome.differ:
                report.failures.add(f"corrupt on {node.name}", f"{path}: {difference}")
            for path, why in outcome.refused:
                report.failures.add(f"cannot be imported from {node.name}: {why}", path)
        for result in results:
            if result.verdict is Verdict.LATER:
                progress.later += 1
                report.warnings.add(f"not imported yet from {node.name}: {result.error}", result.file.path)
            elif result.verdict in (Verdict.DECLINED, Verdict.UNREADABLE):
                tally.failed += 1
                report.failures.add(f"cannot be imported from {node.name}: {result.error}", result.file.path)
                if result.verdict is Verdict.UNREADABLE:
                    progress.error = result.error
        if len(results) < len(job.files):
            progress.stopped = True

    def _close(self, progress: _Progress) -> None:
        request_id = progress.request.request_id
        if progress.stopped:
            return
        if progress.error:
            imports.postpone(self.context.index, self.context.run, request_id, progress.error)
        elif not progress.later:
            imports.complete(self.context.index, request_id)
            self.context.changed = True
        del self._under_way[request_id]
