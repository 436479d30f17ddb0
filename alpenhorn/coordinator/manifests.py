"""Comparison of nodes that were away, and update of manifests; `coordinator.manifest_due` decides which."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from errno import EDQUOT, ENOSPC

from alpenhorn.coordinator.context import Context, Worklist
from alpenhorn.coordinator.manifest_due import ANEW, fresh
from alpenhorn.fs.manifest_token import UNREADABLE
from alpenhorn.fs.placing import PRIVATE
from alpenhorn.model.manifests import (
    ChangedFile,
    CompareFile,
    CompareJob,
    ManifestFile,
    ManifestJob,
    ManifestOutcome,
)
from alpenhorn.model.nodes import NodeFact, StorageKind
from alpenhorn.model.tasks import Done, Fate, Task, TaskKind
from alpenhorn.plan.batches import BATCH_FILES, split
from alpenhorn.plan.paths import file_fault, unsafe
from alpenhorn.reasons import Code, quoted
from alpenhorn.record import manifest as records
from alpenhorn.scan import manifest as scan

_log = logging.getLogger(__name__)

PAGE = 20_000  # entries of a part
MOST_TOUCHED = 50_000  # changed files; with more, the whole manifest is written
# The same if the existing manifest has no more entries: reading all copies in order is faster.
FEW_TOUCHED = 1000
ENTRY_B = 200  # of a manifest, on average
OBJECT_PASSES = 3  # over the bytes of a manifest that is written, stored, and read back

RunWorklists = Callable[[Context, dict[TaskKind, Worklist], Callable[[], bool]], None]
"""Carries out worklists; starts nothing more once the function returns false."""


class Manifests:
    """The manifests of one run.

    `tokens`: the token on each node that has a manifest, "" if it is missing; `anew`: write all, even unchanged.
    """

    def __init__(self, context: Context, tokens: Mapping[int, str], anew: bool) -> None:
        self._tokens = dict(tokens)
        self._anew = anew
        self._before = {node_id: context.node(node_id).manifest for node_id in tokens}
        self._fresh = fresh(context, tokens)
        self._compared: set[int] = set()

    def compare(self, context: Context, turn: RunWorklists, may_go_on: Callable[[], bool]) -> None:
        """Compare the nodes that are not vouched for; copies that have changed become suspect."""
        nodes = [context.node(node_id) for node_id in sorted(self._tokens) if not self._vouched(node_id)]
        if not nodes:
            return
        for node in nodes:
            if self._before[node.id] and not self._tokens[node.id]:
                context.report.warnings.add(Code.MANIFEST_GONE(node=node.name))
        comparing = Comparing(context, nodes)
        turn(context, {TaskKind.COMPARE: comparing}, may_go_on)
        self._compared = comparing.complete()

    def _vouched(self, node_id: int) -> bool:
        return self._before[node_id] == self._tokens[node_id] or node_id in self._fresh

    def keep(
        self, context: Context, turn: RunWorklists, may_go_on: Callable[[], bool], due: Set[int]
    ) -> None:
        """Write the manifests of the nodes in `due`, and of those that were compared."""
        drafts = []
        for node_id in self._tokens:
            compared = node_id in self._compared
            there = node_id in context.ios and node_id not in context.gone
            if not there or not (compared or self._vouched(node_id)):
                continue
            if (compared or self._anew or node_id in due) and (
                draft := self._draft(context, node_id, compared)
            ):
                drafts.append(draft)
        if drafts:
            turn(context, {TaskKind.MANIFEST: Writing(context, drafts)}, may_go_on)

    def _draft(self, context: Context, node_id: int, compared: bool) -> Draft | None:
        """Return the draft to write, None for nothing."""
        index, node, token = context.index, context.node(node_id), self._tokens[node_id]
        # Read before the copies, so that the next run sees what changes in the meantime.
        one = scan.kept(index, [node_id]).get(node_id)
        latest = one.latest if one else scan.latest_event(index)
        if one is None or one.files == ANEW or compared or self._anew or not token:
            if token or self._anew or scan.has_good(index, node_id):
                return Draft(context, node, token, latest)
            records.record_token(index, node, "", latest, 0)  # otherwise the next run would compare it again
            return None
        touched = scan.touched(index, node_id, one.event_id, latest, MOST_TOUCHED + 1) if one.touched else []
        most = MOST_TOUCHED if len(touched) < one.files else FEW_TOUCHED
        rows = scan.files(index, node_id, touched) if 0 < len(touched) <= most else []
        # Without the file's row the path to remove from the manifest is unknown.
        if rows and len(rows) == len(touched) and all(row.acq is not None for row, _ in rows):
            return Changes(context, node, token, one, rows)
        return Draft(context, node, token, latest)


class Comparing:
    """The worklist of comparisons of good copies."""

    kind = TaskKind.COMPARE

    def __init__(self, context: Context, nodes: Sequence[NodeFact]) -> None:
        self.context = context
        self._nodes = nodes
        self._seen = {node.id: 0 for node in nodes}
        self._turned = {node.id: 0 for node in nodes}
        self._left = {node.id for node in nodes}  # nodes with copies that were not compared yet
        self._failed: set[int] = set()
        self._pages = self._all_pages()

    def _all_pages(self) -> Iterator[tuple[NodeFact, list[CompareFile]]]:
        index = self.context.index
        for node in self._nodes:
            one = scan.kept(index, [node.id]).get(node.id)
            later = frozenset(scan.added(index, node.id, one.event_id, MOST_TOUCHED)) if one else frozenset()
            for rows in scan.good(self.context.index, node.id, PAGE):
                if node.id in self.context.gone:
                    break
                self._seen[node.id] += len(rows)
                yield node, list(_comparable(rows, later))
            self._left.discard(node.id)

    def feed(self) -> list[Task]:
        for node, files in self._pages:
            limits = self.context.limits
            tasks = [
                Task(
                    TaskKind.COMPARE,
                    node.id,
                    CompareJob(node, tuple(batch)),
                    files=len(batch),
                    deadline=limits.deadline(len(batch), 0),
                )
                for batch in split(files, lambda file: 0, BATCH_FILES, limits.workers)
            ]
            if tasks:
                return tasks
        return []

    def task_ended(self, done: Done) -> None:
        job = done.task.job
        assert isinstance(job, CompareJob)
        if done.fate is not Fate.DONE:
            # Copies that were not compared must not be relied on.
            self._failed.add(job.node.id)
            self.context.node_gone(job.node.id, Code.MANIFEST_COMPARISON_FAILED(why=done.error))
            return
        changed: tuple[ChangedFile, ...] = done.outcome
        if changed and job.node.id not in self.context.gone:
            records.suspect(self.context.index, self.context.run, job.node, changed)
            self._turned[job.node.id] += len(changed)
            what = Code.NODE_CAME_BACK_CHANGED(node=job.node.name)
            for one in changed:
                self.context.report.warnings.add(what, f"{one.file.path}: {one.why}")

    def task_withdrawn(self, task: Task) -> None:
        self._failed.add(task.node_id)

    def complete(self) -> set[int]:
        """Return the nodes of which every good copy was compared."""
        found = set()
        for node in self._nodes:
            if node.id in self._left | self._failed or self.context.report.stopped:
                continue
            # A copy that was released in the meantime may have been in no page.
            left = scan.count(self.context.index, node.id) + self._turned[node.id]
            if node.id not in self.context.gone and left == self._seen[node.id]:
                found.add(node.id)
                _log.info(
                    "node %s was compared: %d of %d copies have changed",
                    node.name,
                    self._turned[node.id],
                    left,
                )
        return found


def _has_objects(context: Context, node: NodeFact) -> bool:
    return context.ios[node.id].storage is StorageKind.OBJECTS


def _comparable(rows: Iterable[scan.ManifestRow], later: Set[int]) -> Iterator[CompareFile]:
    for row in rows:
        if row.acq is not None and row.name is not None and not unsafe(row.acq, row.name):
            yield CompareFile(
                row.copy_id, row.file_id, f"{row.acq}/{row.name}", row.size_b, row.file_id in later
            )


def _listed(rows: Iterable[scan.ManifestRow]) -> Iterator[ManifestFile]:
    """Yield the rows that can be manifest entries."""
    for row in rows:
        if not file_fault(row.acq, row.name, row.size_b, row.md5sum):
            assert row.acq is not None and row.size_b is not None and row.md5sum is not None
            yield ManifestFile(f"{row.acq}/{row.name}", row.size_b, row.md5sum, len(row.acq))


class Draft:
    """A manifest of all good copies that is being written.

    `old`: the token of the existing one, "" for none; `event_id`: the last event before the copies were read; `copies`:
    number of good copies on the node.
    """

    anew = True

    def __init__(self, context: Context, node: NodeFact, old: str, event_id: int) -> None:
        self.context = context
        self.node = node
        self.old = old
        self.event_id = event_id
        self.token = os.urandom(16).hex()
        self.copies = 0
        self.written = ManifestOutcome()
        self.forgotten = 0
        self._stage = context.stage()
        self._first = True
        self._parts = self._all_parts()

    def pages(self) -> Iterator[list[ManifestFile]]:
        for rows in scan.good(self.context.index, self.node.id, PAGE):
            self.copies += len(rows)
            yield list(_listed(rows))

    def forget(self) -> frozenset[str]:
        """Return the paths that are not copied from the old manifest."""
        return frozenset()

    def fits(self) -> bool:
        """Return whether the manifest is complete."""
        return True

    def _all_parts(self) -> Iterator[tuple[list[ManifestFile], bool]]:
        before: list[ManifestFile] = []
        for number, page in enumerate(self.pages()):
            if number:
                yield before, False
            before = page
        yield before, True

    def task(self) -> Task:
        """Return the task of the next part; call it after the previous part was written."""
        files, last = next(self._parts)
        job = ManifestJob(
            self.node,
            self.token,
            self._heading() if self._first else (),
            self.forget() if self._first else frozenset(),
            tuple(files),
            anew=self.anew,
            first=self._first,
            last=last,
            before=(self.written.files, self.written.bytes),
            flush=self.context.asked.manifest or self.context.travels(self.node.id),
        )
        self._first = False
        passes = OBJECT_PASSES if _has_objects(self.context, self.node) else 1
        deadline = self.context.limits.deadline(1, ENTRY_B * (len(files) + self.copies) * passes)
        return Task(TaskKind.MANIFEST, self.node.id, job, files=0, deadline=deadline, stage=self._stage)

    def part_written(self, written: ManifestOutcome) -> None:
        self.written = written
        self.forgotten += written.forgotten

    def _heading(self) -> tuple[str, ...]:
        run, node = self.context.run, self.node
        place = "objects" if _has_objects(self.context, node) else "root"
        check = self.context.ios[node.id].manifest_check
        return (
            f"The good copies on node {node.name} (host {node.host}, {place} {node.where}),",
            f"written at {run.now()} UTC by run {run.id} on host {run.host}.",
            *((f"To check them, {check}",) if check else ()),
        )


class Changes(Draft):
    """The existing manifest, updated with the events since."""

    anew = False

    def __init__(
        self,
        context: Context,
        node: NodeFact,
        old: str,
        kept: scan.KeptManifest,
        rows: Sequence[tuple[scan.ManifestRow, str | None]],
    ) -> None:
        super().__init__(context, node, old, kept.latest)
        self._before = kept.files
        self._rows = rows
        self._good = list(_listed(row for row, has in rows if has == "Y"))
        self.copies = scan.count(context.index, node.id)

    def pages(self) -> Iterator[list[ManifestFile]]:
        for start in range(0, len(self._good), PAGE):
            yield self._good[start : start + PAGE]

    def forget(self) -> frozenset[str]:
        return frozenset(f"{row.acq}/{row.name}" for row, _ in self._rows)

    def fits(self) -> bool:
        """Return whether the number of copies matches: changes by other programs have no events."""
        there = self.written.files - len(self._good) + self.forgotten
        return self.copies == self.written.files + (self._before - there)


class Writing:
    """The worklist of drafts, which are written one part at a time."""

    kind = TaskKind.MANIFEST

    def __init__(self, context: Context, drafts: Sequence[Draft]) -> None:
        self.context = context
        self._drafts = {draft.node.id: draft for draft in drafts}
        self._idle = list(self._drafts)

    def feed(self) -> list[Task]:
        idle, self._idle = self._idle, []
        return [self._drafts[node_id].task() for node_id in idle]

    def task_ended(self, done: Done) -> None:
        job = done.task.job
        assert isinstance(job, ManifestJob)
        draft = self._drafts[job.node.id]
        if done.fate is Fate.BROKEN:
            self.context.node_gone(job.node.id, done.reason)
            return
        written: ManifestOutcome = (
            done.outcome if done.fate is Fate.DONE else ManifestOutcome(error=done.error)
        )
        if written.unusable:
            _log.warning("the manifest of node %s is written again: %s", job.node.name, written.error)
            self._again(draft, draft.old)
        elif written.error:
            self._failed(draft, written)
        else:
            draft.part_written(written)
            if not job.last:
                self._idle.append(job.node.id)
            elif draft.fits():
                self._finished(draft)
            else:
                self._vouch(draft, draft.token, draft.event_id, ANEW)
                self._again(draft, draft.token)

    def _again(self, draft: Draft, old: str) -> None:
        event_id = scan.latest_event(self.context.index)
        self._drafts[draft.node.id] = Draft(self.context, draft.node, old, event_id)
        self._idle.append(draft.node.id)

    def _finished(self, draft: Draft) -> None:
        written = draft.written
        self._vouch(draft, draft.token, draft.event_id, draft.copies)
        self.context.report.manifests[draft.node.name] = (written.files, written.bytes)
        _log.info("the manifest of node %s was written: %d files", draft.node.name, written.files)

    def _failed(self, draft: Draft, written: ManifestOutcome) -> None:
        """Keep the old manifest; the next run tries again without comparing the node."""
        node, report = draft.node, self.context.report
        if report.stopped:
            return
        asked, travels = self.context.asked.manifest, self.context.travels(node.id)
        kept = scan.kept(self.context.index, [node.id]).get(node.id)
        if self.context.node(node.id).manifest != draft.old != UNREADABLE or not travels:
            self._vouch(draft, draft.old, kept.event_id if kept else 0, ANEW)
        if not (asked or travels) and kept is not None and kept.files == ANEW:
            _log.info("the manifest of node %s could not be written again: %s", node.name, written.error)
            return  # already reported
        notes = report.failures if asked else report.warnings
        remedy = self._remedy(node, written)
        notes.lasting(Code.MANIFEST_NOT_WRITTEN(node=node.name, why=written.error, remedy=remedy))

    def _remedy(self, node: NodeFact, written: ManifestOutcome) -> str:
        full, private = written.errno in (ENOSPC, EDQUOT), f"{node.root}/{PRIVATE}"
        objects = _has_objects(self.context, node)
        if objects and not written.errno:
            return f"make sure that rclone can store objects in {node.where}/{PRIVATE}"
        if full and objects:
            return f"free some space in {private}, where the manifest is put together"
        if full:
            return f"free some space, and keep it free: alpenhorn node modify {quoted(node.name)} --min-avail SIZE"
        return f"make {private} writable for the user running alpenhorn"

    def _vouch(self, draft: Draft, token: str, event_id: int, copies: int) -> None:
        records.record_token(self.context.index, draft.node, token, event_id, copies)

    def task_withdrawn(self, task: Task) -> None:
        """Do nothing: the old manifest stays."""
