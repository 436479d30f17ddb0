"""The regular search of a node with `auto_import`, and its memory from run to run."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from alpenhorn.coordinator.context import Context
from alpenhorn.coordinator.searches import Search
from alpenhorn.model.nodes import NodeFact
from alpenhorn.model.searches import RememberJob, SearchJob, SearchOutcome, Stamp, SurveyJob, SurveyOutcome
from alpenhorn.model.tasks import Done, Fate, Task, TaskKind
from alpenhorn.plan.searches import Heading, is_valid, new_subdirectories, parse, to_forget, to_list_again
from alpenhorn.reasons import Code, Reason, Why, headed
from alpenhorn.scan.imports import written_by

MOST_CHANGED = 50_000  # directories; if more have changed, all are listed again
MOST_LISTED = 50_000  # directories held before they are written to the memory
SURVEYED = 20_000  # directories, for the deadline
INCOMPLETE = "incomplete"  # the heading of a memory that must not be used

_log = logging.getLogger(__name__)


class NodeSearch(Search):
    """Checks the directories of the memory, lists the changed ones, and updates the memory.

    `before`: the records of the changed directories; `gone`: directories that no longer exist; `listed`: the new
    records; `everything`: the old memory is replaced completely; `others`: directories that are now inside another
    node's root, to be dropped.
    """

    leave_bad = True

    def __init__(self, context: Context, number: int, node: NodeFact) -> None:
        super().__init__(context, number, node, [], context.config.sync.import_settle, register=True)
        self.before: dict[str, Stamp] = {}
        self.gone: set[str] = set()
        self.listed: list[Stamp] = []
        self.parents: set[str] = set()  # listed parents of those in `gone`
        self.everything = False
        self.others: set[str] = set()
        self.full = context.posix_now()
        self.detectors: tuple[str, ...] = ()  # detectors in use when the memory was written
        self._offset: int | None = 0
        self._writing = False
        self._written = False  # in part, with the heading INCOMPLETE
        self._final = False  # nothing more is written

    @property
    def ended(self) -> bool:
        return super().ended and self._offset is None and not self._due()

    def feed(self) -> list[Task]:
        tasks = super().feed()
        if self._offset is not None:
            tasks.append(self._survey())
            self.open += 1
        elif self._due():
            tasks.append(self._write())
            self.open += 1
        return tasks

    def task_ended(self, done: Done) -> None:
        super().task_ended(done)
        job = done.task.job
        if isinstance(job, RememberJob):
            self._writing = False
        if done.fate is not Fate.DONE:
            return
        if isinstance(job, SurveyJob):
            self._surveyed(job, done.outcome)
        elif isinstance(job, RememberJob) and done.outcome:
            self._final = True
            self.context.report.warnings.lasting(
                Code.SEARCH_NOT_REMEMBERED(node=self.node.name),
                done.outcome,
            )

    def task_withdrawn(self) -> None:
        super().task_withdrawn()
        self._final = True

    def give_up(self, error: Reason) -> None:
        super().give_up(error)
        self._offset = None
        self._final = True

    def close(self) -> None:
        """Do nothing: all messages were added before."""

    # --- what has changed ------------------------------------------------------------------------------

    def _survey(self) -> Task:
        assert self._offset is not None
        job = SurveyJob(self.node, self.number, self._offset)
        self._offset = None
        return Task(
            TaskKind.SURVEY,
            self.node.id,
            job,
            files=0,
            deadline=self.context.limits.deadline(SURVEYED, 0),
        )

    def _surveyed(self, job: SurveyJob, outcome: SurveyOutcome) -> None:
        if job.offset == 0:
            heading = parse(outcome.heading)
            if heading is None or not self._is_valid(heading):
                self._list_everything("there is no valid memory of earlier searches")
                return
            self.full, self.detectors = heading.full, heading.detectors
        elif outcome.heading is None:
            self._list_everything("the memory of earlier searches was lost")
            return
        self.before.update((stamp.path, stamp) for stamp in outcome.changed)
        self.gone.update(outcome.gone)
        if len(self.before) + len(self.gone) > MOST_CHANGED:
            self._list_everything("too many directories have changed")
        elif outcome.next is not None:
            self._offset = outcome.next
        elif self.before and self.detectors != self.naming.detectors:
            # Checked only if something is listed, since an idle run need not load the detectors.
            self._list_everything("the installed import detectors have changed")
        else:
            self.directories = list(self.before)

    def _is_valid(self, heading: Heading) -> bool:
        context = self.context
        written = written_by(context.index, heading.written[0])
        return is_valid(heading, written, self._patterns(), context.posix_now())

    def _patterns(self) -> tuple[str, ...]:
        settings = self.context.config.import_
        ignored = (f"ignore {pattern.pattern}" for pattern in settings.ignore)
        top = (f"top {self.node.top_acq}",) if self.node.top_acq else ()
        return (*(pattern.pattern for pattern in settings.patterns), *ignored, *top)

    def _list_everything(self, why: str) -> None:
        _log.info("listing all directories of %s: %s", self.node.name, why)
        self.before, self.gone = {}, set()
        self.everything = True
        self.full = self.context.posix_now()
        self.directories = [""]

    # --- what was found --------------------------------------------------------------------------------

    def descend(self, stamp: Stamp) -> list[str]:
        return new_subdirectories(stamp, self.before.get(stamp.path), self.gone)

    def looked(self, job: SearchJob, outcome: SearchOutcome, to_do: Iterable[str]) -> None:
        left = {path.rpartition("/")[0] for path in to_do}
        for stamp in outcome.stamps:
            before = self.before.get(stamp.path)
            self._remember(to_list_again(stamp.path, before, stamp) if stamp.path in left else stamp)
            if self.gone:
                self.parents.add(stamp.path)
        # The root of the other node itself stays in the memory, without subdirectories.
        inner = {path for path, directory, _ in outcome.others if path != directory}
        self.others |= inner
        missed = set(job.paths).difference((stamp.path for stamp in outcome.stamps), outcome.remaining, inner)
        for path in sorted(missed):
            self._remember(to_list_again(path, self.before.get(path)))

    def _remember(self, stamp: Stamp) -> None:
        if stamp != self.before.get(stamp.path):
            self.listed.append(stamp)

    def not_yet(self, path: str, why: Why) -> None:
        self.context.report.later.add(headed(f"not imported yet from {self.node.name}", why), path)

    def vanished(self, path: str, why: Why) -> None:
        _log.debug("not imported from %s: %s; %s", self.node.name, path, why)

    # --- what is remembered ----------------------------------------------------------------------------

    def _due(self) -> bool:
        """Return whether to write the memory now: at the end, or if too much is held."""
        if self._final or self._writing or self.stopped:
            return False
        if not super().ended:
            return len(self.listed) >= MOST_LISTED
        return bool(self.listed or self.everything or self._written or self._to_forget())

    def _to_forget(self) -> list[str]:
        gone = to_forget(self.gone, self.parents) if self.gone else []
        return sorted({*gone, *self.others})

    def _write(self) -> Task:
        context = self.context
        self._final = super().ended
        self._writing = True
        if self._final:
            written = written_by(context.index, context.run.id)
            assert written is not None  # this run's own row
            detectors = self.naming.detectors if self.naming.looked_up else self.detectors
            heading = Heading(self._patterns(), written, self.full, detectors).text()
        else:
            heading = INCOMPLETE
            self._written = True
        forget = tuple(self._to_forget()) if self._final else ()
        job = RememberJob(self.node, self.number, heading, forget, tuple(self.listed), self.everything)
        self.listed, self.everything = [], False
        return Task(
            TaskKind.REMEMBER,
            self.node.id,
            job,
            files=0,
            deadline=context.limits.deadline(SURVEYED + len(job.listed), 0),
            stage=context.stage(),
        )
