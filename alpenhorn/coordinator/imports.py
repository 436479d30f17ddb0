"""Imports: by request, and by the regular searches of some nodes."""

from __future__ import annotations

from collections.abc import Iterable

from alpenhorn.coordinator.context import Context
from alpenhorn.coordinator.search_node import NodeSearch
from alpenhorn.coordinator.searches import Search, other_root
from alpenhorn.io.base import DirectoryNode
from alpenhorn.model.imports import DetectJob, ImportJob, ImportRequestFact
from alpenhorn.model.nodes import MARKER, NodeFact
from alpenhorn.model.searches import RememberJob, SearchJob, SearchOutcome, Stamp, SurveyJob
from alpenhorn.model.tasks import Done, Task, TaskKind
from alpenhorn.plan.backoff import waits
from alpenhorn.plan.searches import subdirectories
from alpenhorn.reasons import Code, Why, about, headed, within
from alpenhorn.record import imports
from alpenhorn.scan.imports import requests

SETTLE_REQUESTED = 0.0  # seconds; files whose import is requested are finished


class RequestSearch(Search):
    """The search for an import request.  `later`: number of its unfinished files."""

    def __init__(self, context: Context, number: int, node: NodeFact, request: ImportRequestFact) -> None:
        path = request.path.strip("/")
        paths = ["" if path == "." else path]
        super().__init__(context, number, node, paths, SETTLE_REQUESTED, request.register)
        self.request = request
        self.asked = tuple(paths)
        self.later = 0

    def descend(self, stamp: Stamp) -> list[str]:
        return subdirectories(stamp) if self.request.recurse else []

    def looked(self, job: SearchJob, outcome: SearchOutcome, to_do: Iterable[str]) -> None:
        for path, why in outcome.declined:
            if path in self.asked and path and "/" not in path and self.node.top_acq:
                # A run that was killed may have moved it.
                self.directories.append(f"{self.node.top_acq}/{path}")
            else:
                self._cannot(path, why)
        for path, directory, owner in outcome.others:
            if path in self.asked:
                where = other_root(self.node, directory, owner)
                how = "is" if path == directory else "lies in"
                self._cannot(path, Code.PATH_OF_OTHER_NODE(how=how, where=where))

    def not_yet(self, path: str, why: Why) -> None:
        self.later += 1
        name = self.node.name
        self.context.report.warnings.lasting(
            headed(f"not imported yet from {name}", why), path, about(why, name)
        )

    def vanished(self, path: str, why: Why) -> None:
        self.context.report.tally("import").failed += 1
        self._cannot(path, why)

    def _cannot(self, path: str, why: Why) -> None:
        self.context.report.failures.add(headed(f"cannot be imported from {self.node.name}", why), path)

    def close(self) -> None:
        context, request_id = self.context, self.request.request_id
        if self.stopped:
            return  # the request stays pending
        if self.error:
            imports.postpone(context.index, context.run, request_id, self.error)
        elif not self.later:
            imports.complete(context.index, request_id)
            context.changed = True


class Imports:
    """The searches of a round; their tasks are of the kinds SURVEY, SEARCH, IMPORT and REMEMBER.

    The regular search of a node waits for the requested ones there, so that no file is hashed twice.
    """

    kind = TaskKind.IMPORT

    def __init__(self, context: Context) -> None:
        self.context = context
        self._under_way: dict[int, Search] = {}
        self._to_search: list[NodeFact] = []
        self._number = 0
        now = context.posix_now()
        for node_id in sorted(context.ios):
            if node_id in context.gone:
                continue
            node = context.node(node_id)
            if not isinstance(context.ios[node_id], DirectoryNode):
                if node.auto_import or any(one.path != MARKER for one in requests(context.index, node_id)):
                    context.report.warnings.lasting(
                        Code.OBJECTS_NOT_SEARCHED(node=node.name), subject=node.name
                    )
                continue
            for request in requests(context.index, node_id):
                if request.fault:
                    text = f"skipped an import request on {node.name}: {request.fault}"
                    context.report.warnings.lasting(
                        within(request.fault, text), subject=about(request.fault, node.name)
                    )
                    continue
                if request.path == MARKER or waits(request.attempt, now):
                    continue
                self._begin(RequestSearch(context, self._next(), node, request))
            if node.auto_import and node_id not in context.whole.searched:
                self._to_search.append(node)

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _begin(self, search: Search) -> None:
        self._under_way[search.number] = search

    def feed(self) -> list[Task]:
        busy = {search.node.id for search in self._under_way.values()}
        for node in self._to_search:
            if node.id not in busy:
                self.context.whole.searched.add(node.id)
                self._begin(NodeSearch(self.context, self._next(), node))
        self._to_search = [node for node in self._to_search if node.id in busy]
        tasks: list[Task] = []
        for search in list(self._under_way.values()):
            tasks.extend(search.feed())
            self._close_if_ended(search)
        return tasks

    def task_ended(self, done: Done) -> None:
        search = self._of(done.task)
        search.task_ended(done)
        self._close_if_ended(search)

    def task_withdrawn(self, task: Task) -> None:
        self._of(task).task_withdrawn()

    def _of(self, task: Task) -> Search:
        job = task.job
        assert isinstance(job, SurveyJob | SearchJob | DetectJob | RememberJob | ImportJob)
        return self._under_way[job.search]

    def _close_if_ended(self, search: Search) -> None:
        if search.ended:
            search.close()
            del self._under_way[search.number]
