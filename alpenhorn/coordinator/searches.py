"""A search of a node: list directories, name files, compare them with the index, hash and record them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from itertools import chain

from alpenhorn.coordinator.context import Context
from alpenhorn.coordinator.naming import Listing, Naming
from alpenhorn.index.charset import UNHELD
from alpenhorn.model.conditions import IMPORTS
from alpenhorn.model.imports import DetectJob, ImportFile, ImportJob, ImportResult
from alpenhorn.model.nodes import NodeFact
from alpenhorn.model.searches import SearchJob, SearchOutcome, Stamp
from alpenhorn.model.tasks import Done, Fate, Task, Verdict
from alpenhorn.plan.batches import AHEAD, DIRECTORIES, import_tasks, search_tasks
from alpenhorn.plan.imports import IGNORED, LEFT_OUT, NamedFile, choose, is_new, without_taken
from alpenhorn.reasons import Code, Reason, Why, about, code_of, headed
from alpenhorn.record import imports
from alpenhorn.scan.good_since import good_since
from alpenhorn.scan.imports import known
from alpenhorn.scan.same_path import sharing

FIRST_FILES = 300
MOST_FOUND = 20_000  # files that may wait to be hashed before more directories are listed


class Search(ABC):
    """The common part of requested and regular searches.

    `number`: identifies its tasks.  `directories`: still to be listed, the last one first, which keeps the list short.
    `open`: number of running tasks; `looking`: those that list directories; `waiting`: files found and not hashed yet.
    """

    leave_bad = False
    asked: tuple[str, ...] = ()  # paths that a request names

    def __init__(
        self, context: Context, number: int, node: NodeFact, paths: list[str], settle: float, register: bool
    ) -> None:
        self.context = context
        self.number = number
        self.node = node
        self.directories = paths
        self.settle = settle
        self.register = register
        self.naming = Naming(context, number, node, settle, register)
        self.hashes: list[Task] = []
        self.open = 0
        self.looking = 0
        self.waiting = 0
        self.begun = False
        self.stopped = False
        self.error: Why = ""

    # --- differences between the two kinds -------------------------------------------------------------

    @abstractmethod
    def descend(self, stamp: Stamp) -> list[str]:
        """Return the subdirectories of a listed directory that are to be listed."""

    @abstractmethod
    def looked(self, job: SearchJob, outcome: SearchOutcome, to_do: Iterable[str]) -> None:
        """Process a listing.  `to_do`: paths of its files that are not finished."""

    @abstractmethod
    def not_yet(self, path: str, why: Why) -> None:
        """Process a file that is locked or still changing."""

    @abstractmethod
    def vanished(self, path: str, why: Why) -> None:
        """Process a file that disappeared or is no longer a regular file."""

    @abstractmethod
    def close(self) -> None:
        """End the search."""

    # --- common part ------------------------------------------------------------------------------------

    @property
    def ended(self) -> bool:
        return not (self.open or self.directories or self.hashes) and self.naming.ended

    def feed(self) -> list[Task]:
        """Return the next tasks: hash found files before listing more, so that memory stays small."""
        if self.node.id in self.context.gone:
            self.give_up(self.context.gone[self.node.id])
            return []
        tasks, self.hashes = [*self.naming.feed(), *self.hashes], []
        free = AHEAD * self.context.limits.workers - self.looking
        if not tasks and self.waiting + self.naming.waiting < MOST_FOUND and free > 0:
            some = self.directories[-free * DIRECTORIES :]
            del self.directories[-free * DIRECTORIES :]
            tasks = list(search_tasks(self.node, self.number, some, self.context.limits))
            self.looking += len(tasks)
        self.open += len(tasks)
        if self.looking and not tasks:
            self.naming.look_up()  # while the workers list
        return tasks

    def task_ended(self, done: Done) -> None:
        job = done.task.job
        self.open -= 1
        if isinstance(job, SearchJob):
            self.looking -= 1
        elif isinstance(job, ImportJob):
            self.waiting -= len(job.files)
        if isinstance(job, DetectJob) and done.fate in (Fate.DONE, Fate.DIED, Fate.TIMED_OUT):
            for listing in self.naming.task_ended(done):
                self._named(listing)
            if done.fate is Fate.DONE and len(done.outcome) < len(job.files):
                self.stopped = True
        elif done.fate is not Fate.DONE:
            error = done.why
            self.give_up(error)
            if done.fate is Fate.BROKEN:
                self.context.node_gone(self.node.id, done.reason)
            else:
                self.context.report.failures.lasting(Code.SEARCH_INCOMPLETE(node=self.node.name), error)
        elif isinstance(job, SearchJob):
            self._found(job, done.outcome)
        elif isinstance(job, ImportJob):
            self._hashed(job, done.outcome)

    def task_withdrawn(self) -> None:
        """Note that a task was not started, because the run is stopping."""
        self.open -= 1
        self.stopped = True

    def give_up(self, error: Reason) -> None:
        """List no more directories; found files are still hashed unless the node is gone."""
        self.error = error
        self.directories = []
        if self.node.id in self.context.gone:
            self.hashes = []
            self.naming.drop()

    def _found(self, job: SearchJob, outcome: SearchOutcome) -> None:
        node, context = self.node, self.context
        self.directories.extend(outcome.remaining)
        for stamp in outcome.stamps:
            self.directories.extend(self.descend(stamp))
        for path, directory, owner in outcome.others:
            if path == directory and path not in self.asked:
                context.report.warnings.lasting(
                    Code.SEARCH_STOPS_AT_OTHER_NODE(node=node.name, where=other_root(node, directory, owner))
                )
        for _, why in outcome.failed:
            self.error = why
            context.report.failures.lasting(Code.SEARCH_INCOMPLETE(node=node.name), why)
        listing = self.naming.begin(job, outcome)
        if not listing.open:
            self._named(listing)

    def _named(self, listing: Listing) -> None:
        node, context = self.node, self.context
        for path, why in listing.undecided:
            self.error = why
            context.report.tally("import").failed += 1
            context.report.failures.add(headed(f"cannot be imported from {node.name}", why), path)
        for path, why in listing.later:
            self.not_yet(path, why)
        named = self._holdable(listing)
        rows = known(context.index, node.id, [(file.acq, file.name) for file in named if not file.refused])
        plan = choose(named, rows, self.register, self.leave_bad)
        new = [(number, file.acq, file.name) for number, (file, _) in enumerate(plan.wanted) if is_new(file)]
        plan = without_taken(plan, sharing(context.index, node.id, new))
        for path, why in plan.refused:
            if why == IGNORED and path not in self.asked:
                continue
            context.report.warnings.lasting(
                headed(f"not imported from {node.name}", why), path, f"{IMPORTS}{about(why, node.name)}"
            )
        for some in self._shares(self._with_times(plan.wanted)):
            sha256, keeps = context.config.sync.sha256, context.keeps_status(node)
            self.hashes.extend(
                import_tasks(node, self.number, self.settle, some, context.limits, sha256, keeps)
            )
        self.waiting += len(plan.wanted)
        # Listed again by each run: otherwise the next run would report no refusal, as if the file were gone.
        refused = ((path, why) for path, why in plan.refused if code_of(why) not in LEFT_OUT)
        undecided = (path for path, _ in (*listing.undecided, *listing.later, *refused))
        self.looked(listing.job, listing.outcome, chain((file.path for file, _ in plan.wanted), undecided))

    def _with_times(self, wanted: list[tuple[ImportFile, int]]) -> list[tuple[ImportFile, int]]:
        """Add the times by which a file that its owner changed is recognised."""
        recorded = [file.known.file_id for file, _ in wanted if file.known is not None]
        if not recorded:
            return wanted
        since = good_since(self.context.index, self.node.id, recorded)
        return [
            (file if file.known is None else file._replace(since=since.get(file.known.file_id, 0.0)), length)
            for file, length in wanted
        ]

    def _holdable(self, listing: Listing) -> list[NamedFile]:
        """Return the named files of a listing; refuse those whose names the index cannot store."""
        unheld = self.context.index.cannot_hold(
            name for file in listing.named if not file.refused for name in (file.acq, file.name)
        )
        if not unheld:
            return listing.named
        return [
            file._replace(refused=UNHELD)
            if not file.refused and not unheld.isdisjoint((file.acq, file.name))
            else file
            for file in listing.named
        ]

    def _shares(self, wanted: list[tuple[ImportFile, int]]) -> list[list[tuple[ImportFile, int]]]:
        """Split the first files off, so that they can be recorded while the rest is hashed."""
        if self.begun or not wanted:
            return [wanted]
        self.begun = True
        return [wanted[:FIRST_FILES], wanted[FIRST_FILES:]]

    def _hashed(self, job: ImportJob, results: tuple[ImportResult, ...]) -> None:
        context, node = self.context, self.node
        report, tally = context.report, context.report.tally("import")
        hashed = [result for result in results if result.verdict is Verdict.HASHED]
        if hashed:
            deleting = {file_id for node_id, file_id in context.deleting if node_id == node.id}
            wanted = self.naming.wanted([result.file.path for result in hashed])
            context.linked(node, any(result.linked for result in hashed))
            outcome = imports.settle(context.index, context.run, node, hashed, deleting, wanted)
            if outcome.moved:
                context.node_moved(node.id)
                self.stopped = True
                return
            context.changed = True
            tally.done += outcome.new + outcome.same
            tally.failed += len(outcome.differ) + len(outcome.refused)
            tally.bytes += sum(result.size_b or 0 for result in hashed)
            for path, difference in outcome.differ:
                what: Reason = Code.FOUND_CORRUPT(verdict=Verdict.CORRUPT, node=node.name)
                if code_of(difference) == Code.COPY_CHANGED:
                    what = Code.CHANGED_FILE_AT_PATH(node=node.name)
                report.failures.add(what, f"{path}: {difference}")
            for path, why in outcome.refused:
                report.failures.add(headed(f"cannot be imported from {node.name}", why), path)
            if wanted:
                self.naming.callbacks.call(wanted, outcome.reported)
        for result in results:
            path = result.file.path
            if result.verdict is Verdict.LATER:
                self.not_yet(path, result.error)
            elif result.verdict is Verdict.DECLINED:
                self.vanished(path, result.error)
            elif result.verdict is Verdict.UNREADABLE:
                tally.failed += 1
                unread = result.error
                report.failures.add(headed(f"cannot be imported from {node.name}", unread), path)
                self.error = result.error
        if len(results) < len(job.files):
            self.stopped = True


def other_root(node: NodeFact, directory: str, owner: str) -> str:
    """Describe a directory on a node that has a marker.  `owner`: the name in it, "" if it cannot be read."""
    return f"{node.root}/{directory}, which is the root of {f'node {owner}' if owner else 'another node'}"
