"""Replace hard links on archive nodes by separate files.

Copies that are hard links of one file would count as two, and be damaged together.  Pulls create hard links only on
nodes that are not archive nodes, but a node may become an archive node later.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence

from alpenhorn.coordinator.context import CheckCounts, Context
from alpenhorn.model.copies import HasFile
from alpenhorn.model.links import LookFile, LookJob, LookOutcome, SeparateJob, SeparateResult
from alpenhorn.model.nodes import NodeFact
from alpenhorn.model.tasks import Done, Fate, Task, TaskKind
from alpenhorn.plan.batches import BATCH_FILES, split
from alpenhorn.plan.checks import doubt_reason, storage_in_doubt
from alpenhorn.plan.links import look_files
from alpenhorn.reasons import Code, Reason
from alpenhorn.record import separate as records
from alpenhorn.record.suspect import suspect
from alpenhorn.scan import manifest as scan

PAGE = 20_000

_log = logging.getLogger(__name__)


class _State:
    """The state of one node.

    `complete`: tasks were created for all copies; `failed`: a job did not finish; `left`: number of copies that may
    still be hard links.
    """

    def __init__(self) -> None:
        self.looked = 0
        self.complete = False
        self.failed = False
        self.left = 0
        self.lost: dict[int, tuple[str, Reason]] = {}  # copy id: path, why


class Separating:
    """The worklist that checks the good copies of archive nodes for hard links and separates them.

    All copies are checked even after the time limit, since an incomplete check would start again in each run.  Copying
    continues in the next run; `may_copy` returns whether there is time for more, but each run does some.
    """

    kind = TaskKind.SEPARATE

    def __init__(self, context: Context, nodes: Sequence[NodeFact], may_copy: Callable[[], bool]) -> None:
        self.context = context
        self._may_copy = may_copy
        self._begun = False
        self._nodes = {node.id: node for node in nodes}
        self._states = {node.id: _State() for node in nodes}
        self._linked: dict[int, list[LookFile]] = {}
        self._pages = self._all_pages()

    def _all_pages(self) -> Iterator[tuple[NodeFact, list[LookFile]]]:
        for node in self._nodes.values():
            for rows in scan.good(self.context.index, node.id, PAGE):
                if node.id in self.context.gone:
                    break
                yield node, list(look_files(rows))
            else:
                self._states[node.id].complete = True

    def feed(self) -> list[Task]:
        tasks = self._copying()
        if tasks:
            return tasks
        for node, files in self._pages:
            limits = self.context.limits
            tasks = [
                Task(
                    TaskKind.LOOK,
                    node.id,
                    LookJob(node, tuple(batch)),
                    files=len(batch),
                    deadline=limits.deadline(len(batch), 0),
                )
                for batch in split(files, lambda file: 0, BATCH_FILES, limits.workers)
            ]
            if tasks:
                return tasks
        return []

    def _copying(self) -> list[Task]:
        if not self._linked or (self._begun and not self._may_copy()):
            return []
        self._begun = True
        limits = self.context.limits
        linked, self._linked = self._linked, {}
        tasks = []
        for node_id, files in linked.items():
            if node_id in self.context.gone:
                continue
            for batch in split(files, _size, BATCH_FILES, limits.workers):
                size_b = sum(map(_size, batch))
                job = SeparateJob(self._nodes[node_id], tuple(batch))
                tasks.append(
                    Task(
                        TaskKind.SEPARATE,
                        node_id,
                        job,
                        files=len(batch),
                        bytes=size_b,
                        deadline=limits.deadline(len(batch), size_b),
                        stage=self.context.stage(),
                    )
                )
        return tasks

    def task_ended(self, done: Done) -> None:
        job = done.task.job
        assert isinstance(job, LookJob | SeparateJob)
        state = self._states[job.node.id]
        if done.fate is not Fate.DONE:
            state.failed = True
            if done.fate is Fate.BROKEN:
                self.context.node_gone(job.node.id, done.reason)
            else:
                self.context.report.failures.lasting(
                    Code.SHARED_BYTES_NOT_LOOKED_FOR(node=job.node.name), done.why
                )
        elif isinstance(job, LookJob):
            outcome: LookOutcome = done.outcome
            state.looked += outcome.looked
            state.failed |= outcome.looked < len(job.files)
            state.lost.update((file.copy_id, (file.path, why)) for file, why in outcome.lost)
            if outcome.linked:
                self._linked.setdefault(job.node.id, []).extend(outcome.linked)
        else:
            self._separated(job, done.outcome)

    def _separated(self, job: SeparateJob, results: Sequence[SeparateResult]) -> None:
        context, node = self.context, job.node
        self._states[node.id].failed |= len(results) < len(job.files)
        wrong = {result.file.copy_id: result.wrong for result in results if result.wrong}
        if wrong:
            suspect(context.index, context.run, node, HasFile.YES, wrong)
        done = [result for result in results if not (result.wrong or result.left)]
        tally = context.report.tally("separate")
        tally.done += len(done)
        tally.bytes += sum(_size(result.file) for result in done)
        for result in results:
            if result.left:
                self._states[node.id].left += 1
                tally.failed += 1
                context.report.failures.lasting(
                    Code.COPIES_SHARE_BYTES(node=node.name),
                    f"{result.file.path}: {result.left}",
                )

    def task_withdrawn(self, task: Task) -> None:
        self._states[task.node_id].failed = True

    def finish(self) -> None:
        """Record the nodes of which every copy was checked."""
        for node in self._nodes.values():
            state = self._states[node.id]
            if not state.complete or state.failed or node.id in self._linked or node.id in self.context.gone:
                continue
            if state.lost and not self._lost(node, state):
                continue
            if not state.left and records.separate(self.context.index, node):
                _log.info("no copy on %s is a hard link: %d checked", node.name, state.looked)

    def _lost(self, node: NodeFact, state: _State) -> bool:
        """Mark missing copies as suspect; return False if the storage is in doubt."""
        context = self.context
        if not context.asked.accept_loss and storage_in_doubt(state.looked, len(state.lost)):
            example = ": ".join(next(iter(state.lost.values())))
            context.node_gone(node.id, doubt_reason(node.name, state.looked, len(state.lost), example))
            return False
        why = {copy_id: error for copy_id, (_, error) in state.lost.items()}
        suspect(context.index, context.run, node, HasFile.YES, why)
        # The check that follows reads only those, and must not conclude that the storage is incomplete.
        context.whole.looked.setdefault(node.id, CheckCounts()).copies += state.looked - len(why)
        return True


def _size(file: LookFile) -> int:
    return file.size_b or 0
