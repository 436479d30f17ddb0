"""Names of the files that a search found: by patterns, by the index, or by the detectors of packages."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import count
from typing import TYPE_CHECKING

from alpenhorn.coordinator.context import Context
from alpenhorn.model.imports import Detected, DetectJob, DetectorFacts, KnownFile
from alpenhorn.model.nodes import NodeFact
from alpenhorn.model.searches import FoundFile, SearchJob, SearchOutcome
from alpenhorn.model.tasks import Done, Fate, Task
from alpenhorn.plan.imports import (
    NamedFile,
    detect_tasks,
    matching,
    name_by_patterns,
    name_detected,
    name_files,
    name_known,
    name_top,
    possible_acqs,
    possible_names,
    without_ignored,
)
from alpenhorn.reasons import Code, Reason
from alpenhorn.scan.imports import existing_acqs, known

if TYPE_CHECKING:
    from alpenhorn.coordinator.callbacks import Callbacks

MOST_HUNG = 3  # files on which detectors hang or crash before they are no longer called


class Listing:
    """The files that a search job found.

    `undecided`: (path, reason) of files for which detectors gave no usable answer; `later`: of unfinished files;
    `open`: number of files for which detectors are still to be called.
    """

    def __init__(self, job: SearchJob, outcome: SearchOutcome) -> None:
        self.job = job
        self.outcome = outcome
        self.named: list[NamedFile] = []
        self.undecided: list[tuple[str, Reason]] = []
        self.later: list[tuple[str, Reason]] = []
        self.open = 0


class Naming:
    """Names the files of the search with this number.

    `waiting`: number of files for which detectors are still to be called.  If a job fails, its files are tried one by
    one, so that a file on which a detector crashes affects no other.
    """

    def __init__(self, context: Context, number: int, node: NodeFact, settle: float, register: bool) -> None:
        self.context = context
        self.number = number
        self.node = node
        self.settle = settle
        self.register = register
        self.waiting = 0
        self._numbers = count()
        self._listings: dict[int, Listing] = {}
        self._tasks: list[Task] = []
        self._alone: list[Task] = []
        self._trying = False  # a task of `_alone` is running
        self._hung = 0

    @cached_property
    def detectors(self) -> tuple[str, ...]:
        """Names of the installed detectors; looked up only if there are files, since that takes 25 ms."""
        from alpenhorn.extensions.detectors import installed  # most searches find no files to name

        return installed()

    def look_up(self) -> None:
        """Look up the detectors before there are files to name."""
        _ = self.detectors

    @property
    def looked_up(self) -> bool:
        return "detectors" in self.__dict__

    @cached_property
    def callbacks(self) -> Callbacks:
        from alpenhorn.coordinator.callbacks import Callbacks  # only for detectors

        return Callbacks(self.context, self.node)

    @cached_property
    def facts(self) -> tuple[DetectorFacts, ...]:
        from alpenhorn.coordinator.detector_facts import detector_facts  # only for detectors

        return detector_facts(self.context.index)

    def begin(self, job: SearchJob, outcome: SearchOutcome) -> Listing:
        """Begin to name the files of a listing; all are named when its `open` is 0."""
        listing = Listing(job, outcome)
        patterns = self.context.config.import_.patterns
        files: Sequence[FoundFile] = outcome.files
        if ignored := matching(files, self.context.config.import_.ignore):
            files, listing.named = without_ignored(files, ignored, self._known(ignored))
        if self.node.top_acq:
            named, files = name_top(files, self.node.top_acq)
            listing.named += named
        if not files or not self.detectors:
            listing.named += name_files(files, patterns)
            return listing
        named, left = name_by_patterns(files, patterns)
        listing.named += named
        named, left = name_known(left, self._known(left), self.register)
        listing.named += named
        if left:
            self._ask(listing, left)
        return listing

    def _known(self, files: Sequence[FoundFile]) -> dict[tuple[str, str], KnownFile]:
        """Return the files of the index that may be at these paths."""
        pairs = [pair for file in files for pair in possible_names(file.path)]
        return known(self.context.index, self.node.id, pairs)

    def feed(self) -> list[Task]:
        tasks, self._tasks = self._tasks, []
        if self._alone and not self._trying:
            self._trying = True
            tasks.append(self._alone.pop())
        return tasks

    @property
    def ended(self) -> bool:
        return not (self._tasks or self._alone)

    def task_ended(self, done: Done) -> list[Listing]:
        """Record the result of a DetectJob with fate DONE, DIED or TIMED_OUT; return the listings that are complete."""
        job = done.task.job
        assert isinstance(job, DetectJob)
        alone = len(job.files) == 1
        self._trying = self._trying and not alone
        if done.fate is Fate.DONE:
            self._answered(job, done.outcome)
        elif alone or self._hung >= MOST_HUNG:
            self._hung += alone
            self._undecided(job, done.why)
        else:
            self._alone += reversed(
                detect_tasks(
                    self.node, self.number, job.listing, self.settle, job.files, job.acqs, job.facts, most=1
                )
            )
        if self._hung >= MOST_HUNG:
            for task in (*self._alone, *self._tasks):
                assert isinstance(task.job, DetectJob)
                self._undecided(task.job, Code.DETECTORS_HUNG())
            self.drop()
        ended = {number: listing for number, listing in self._listings.items() if not listing.open}
        for number in ended:
            del self._listings[number]
        return list(ended.values())

    def wanted(self, paths: list[str]) -> dict[str, tuple[str, bytes]]:
        """Remove and return the callbacks for those files, by path."""
        return self.callbacks.wanted(paths) if "callbacks" in self.__dict__ else {}

    def drop(self) -> None:
        """Call no more detectors."""
        self._tasks, self._alone = [], []

    def _ask(self, listing: Listing, files: list[FoundFile]) -> None:
        number = next(self._numbers)
        listing.open = len(files)
        self.waiting += len(files)
        self._listings[number] = listing
        acqs = existing_acqs(self.context.index, possible_acqs(files))
        self._tasks += detect_tasks(self.node, self.number, number, self.settle, files, acqs, self.facts)

    def _answered(self, job: DetectJob, results: tuple[Detected, ...]) -> None:
        listing = self._listings[job.listing]
        for one in results:
            path = one.found.path
            if one.error:
                (listing.later if one.later else listing.undecided).append((path, one.error))
                continue
            listing.named.append(name_detected(one))
            if one.callback:
                self.callbacks.keep(one)
        self._asked(listing, len(results))

    def _undecided(self, job: DetectJob, why: Reason) -> None:
        listing = self._listings[job.listing]
        said = Code.DETECTORS_UNDECIDED(detectors=", ".join(self.detectors), why=why)
        listing.undecided += [(file.path, said) for file in job.files]
        self._asked(listing, len(job.files))

    def _asked(self, listing: Listing, files: int) -> None:
        listing.open -= files
        self.waiting -= files
