"""The media of a run's nodes: they are compared with the index before anything is trusted, and their generations are
increased before anything is changed (CONTRIBUTING.md, "The identity of media")."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from alpenhorn.coordinator.context import Context
from alpenhorn.coordinator.nodes import Nodes, leave_out
from alpenhorn.coordinator.report import Asked, Report
from alpenhorn.fs.identity import PATH, new_id, new_word
from alpenhorn.index.connection import Index
from alpenhorn.index.times import posix
from alpenhorn.model.nodes import MARKER, Identity, IdentityJob, NodeFact
from alpenhorn.model.tasks import Done, Fate, Task, TaskKind
from alpenhorn.plan.media import Standing, judge, next_generation, worth_noting
from alpenhorn.reasons import Code, Reason, Why, code_of, within
from alpenhorn.record import media as record
from alpenhorn.record.run import Run, not_ended
from alpenhorn.scan import media as scan

_log = logging.getLogger(__name__)

RECONCILE = "alpenhorn reconcile"
_NOTE = re.compile(r"run (\d{1,18}) on (.{1,64}) of index ([0-9a-f]{32})")


class JudgedMedia(NamedTuple):
    """The standings of the nodes that are worked on, by node id."""

    known: scan.KnownMedia = scan.KnownMedia()
    standings: Mapping[int, Standing] = {}


def reject_foreign(index: Index, here: Iterable[NodeFact], found: Nodes) -> scan.KnownMedia:
    """Reject nodes whose medium belongs to another index or node; return the media known to the index.

    This comes before all else, since the run lock would be written to such a medium too.
    """
    known = scan.load(index)
    if not known.identity:
        known = known._replace(identity=record.ensure_identity(index, new_id()))
    reject_unless_own(here, found, known)
    return known


def reject_unless_own(here: Iterable[NodeFact], found: Nodes, known: scan.KnownMedia) -> None:
    """Reject nodes whose medium belongs to another index or node, or is not there."""
    for node in here:
        answer = found.answers[node.id]
        if code_of(answer.error) is Code.ROOT_NOT_MARKED and known.knows(node.id):
            # Not the advice to initialise a node that is only unplugged.
            why = Code.ROOT_NOT_MOUNTED(root=node.root, marker=MARKER, node=node.name)
            found.answers[node.id] = answer._replace(error=why)
        if answer.error or answer.identity is None:
            continue
        standing = judge(None, answer.identity, known.identity, known.others(node.id))
        if standing in (Standing.FOREIGN, Standing.CLONE):
            why = foreign_medium(node, standing, answer.identity, known)
            found.answers[node.id] = answer._replace(error=why)


def judge_media(
    index: Index,
    here: Iterable[NodeFact],
    workable: list[NodeFact],
    found: Nodes,
    asked: Asked,
    report: Report,
) -> JudgedMedia:
    """Judge the media of this host's nodes, and record for all hosts which are wrong.

    Only the holder of a node's run lock can judge it: others may see a generation while it changes.
    """
    # Read after the probes: other runs write to the index before they write to a disk.
    known = reject_foreign(index, here, found)
    standings: dict[int, Standing] = {}
    wrong: dict[int, Reason] = {}
    for node in here:
        answer = found.answers[node.id]
        standing = judge(known.media.get(node.id), answer.identity, known.identity, {})
        if answer.error:
            wrong[node.id] = answer.error
            if node in workable:
                leave_out(node, answer.error, report, asked)
        elif node in workable:
            standings[node.id] = standing
        elif standing in (Standing.EXCHANGED, Standing.AHEAD):
            wrong[node.id] = Code.MEDIUM_NOT_LOOKED_AT(standing=standing)
    news = {node_id: why for node_id, why in wrong.items() if not _is_known(known, node_id)}
    if news and not asked.changes_nothing:
        record.wrong(index, news)
    return JudgedMedia(known, standings)


def _is_known(known: scan.KnownMedia, node_id: int) -> bool:
    """Return whether the index already has the node as wrong.

    So a node that is away for months does not cost a transaction in each run.
    """
    fact = known.media.get(node_id)
    return fact is not None and fact.wrong


def foreign_medium(node: NodeFact, standing: Standing, identity: Identity, known: scan.KnownMedia) -> Reason:
    """Return the reason for rejecting a medium of another index or node."""
    file = f"{node.where}/{PATH}"
    if standing is Standing.CLONE:
        other = known.others(node.id)[identity.medium]
        return Code.MEDIUM_OF_OTHER_NODE(root=node.where, other=other, file=file)
    return Code.MEDIUM_OF_OTHER_INDEX(root=node.where, file=file)


def settle(
    index: Index, run: Run, nodes: Iterable[NodeFact], found: Nodes, judged: JudgedMedia, report: Report
) -> list[NodeFact]:
    """Record the standings of nodes; return the nodes whose copies must be compared with the disk."""
    by_id = {node.id: node for node in nodes}
    known = judged.known
    forgotten = _earlier_runs(index, run, found, known, report)
    for node_id, standing in judged.standings.items():
        node, identity = by_id[node_id], found.answers[node_id].identity
        if standing is Standing.AHEAD or (standing is Standing.AS_LEFT and node_id in forgotten):
            assert identity is not None
            _ahead(index, node, identity, report)
        elif standing is Standing.BEHIND:
            why = Code.MEDIUM_BEHIND(node=node.name, standing=standing)
            report.warnings.add(within(why, f"{why}; its copies are compared with the index"))
            record.distrust(index, node_id, record.COMPARE, why)
        elif standing is Standing.UNCONFIRMED:
            why = Code.MEDIUM_UNCONFIRMED(node=node.name)
            _log.info("%s; its copies are compared with the index", why)
            record.distrust(index, node_id, record.COMPARE, why, identity)
        elif standing is Standing.EXCHANGED:
            _exchanged(index, run, node, identity, report)
    now = posix(index.now())
    doubtful = {
        node_id
        for node_id, standing in judged.standings.items()
        if standing in (Standing.BEHIND, Standing.UNCONFIRMED)
    }
    right = doubtful | {
        node_id
        for node_id, standing in judged.standings.items()
        if standing is Standing.AS_LEFT and worth_noting(known.media.get(node_id), now)
    }
    if right:
        record.seen(index, right)
    compare = doubtful | {
        node_id
        for node_id in judged.standings
        if node_id in known.media and known.media[node_id].distrust == record.COMPARE
    }
    return [by_id[node_id] for node_id in sorted(compare)]


def _earlier_runs(index: Index, run: Run, found: Nodes, known: scan.KnownMedia, report: Report) -> set[int]:
    """Return the nodes with a note of a run that the index does not know, because it was restored from a backup.

    The generation does not show that if nothing was changed on the node since the backup.  Also report runs that did
    not record their end (their locks are free, so they are gone), and leave a note of this run.
    """
    noted: dict[int, tuple[int, str]] = {}
    for node_id, lock in found.locks.items():
        if one := noted_run(lock.noted(), known.identity):
            noted[node_id] = one
    runs = scan.known_runs(index, {number for number, _ in noted.values()}) if noted else {}
    dead = sorted(one for one in set(noted.values()) if one[0] < run.id and runs.get(one))
    if dead:
        not_ended(index, [number for number, _ in dead])
        for number, host in dead:
            report.warnings.add(Code.EARLIER_RUN_NOT_ENDED(run=number, host=host))
    for lock in found.locks.values():
        lock.note(f"run {run.id} on {run.host} of index {known.identity}")
    # A restored index may have given the same number to this run.
    return {
        node_id
        for node_id, one in noted.items()
        if one[0] >= run.id or (one not in runs and one[0] > known.pruned)
    }


def noted_run(note: str, index_id: str) -> tuple[int, str] | None:
    """Return number and host of the last run on a node from the note in its run lock, None if there is none."""
    match = _NOTE.fullmatch(note)
    return (int(match[1]), match[2]) if match and match[3] == index_id else None


def _ahead(index: Index, node: NodeFact, identity: Identity, report: Report) -> None:
    why = Code.MEDIUM_AHEAD(node=node.name)
    record.distrust(index, node.id, record.RECONCILE, why, identity)
    record.restored(index, why)
    report.warnings.add(
        within(
            why,
            f"{why}; nothing is deleted until all nodes have been compared; on each host, run: {RECONCILE}",
        )
    )


def _exchanged(index: Index, run: Run, node: NodeFact, identity: Identity | None, report: Report) -> None:
    why = Code.MEDIUM_EXCHANGED(node=node.name)
    medium = identity.medium if identity is not None else new_id()
    intended = Identity("", medium, next_generation(None, identity), new_word())
    suspect = record.exchanged(index, run, node, intended, why)
    report.warnings.add(within(why, f"{why}; its {suspect} copies are suspect until they have been read"))


class Media:
    """The media of one run's nodes, and the worklist of tasks that write identity files.

    New media get an identity, and the generation of each is increased before the first task that changes something
    there.  `judged`: the result of `judge_media`; `submit` queues a task, `drop` cancels a planned one.
    """

    kind = TaskKind.IDENTITY

    def __init__(
        self,
        index: Index,
        found: Nodes,
        judged: JudgedMedia,
        submit: Callable[[Task], None],
        drop: Callable[[Task], None],
    ) -> None:
        self._index = index
        self._found = found
        self._judged = judged
        self._submit = submit
        self._drop = drop
        self._moved: set[int] = set()
        self._held: dict[int, list[Task]] = {}
        self.context: Context | None = None

    def adopt(self, nodes: Iterable[NodeFact]) -> list[Task]:
        """Return tasks that write an identity to new and exchanged media, and a higher generation to restored ones.

        The generation distinguishes a restored medium from its other states.
        """
        tasks = []
        for node in nodes:
            if self._judged.standings.get(node.id) in (Standing.NEW, Standing.EXCHANGED, Standing.BEHIND):
                tasks.append(self._move(node))
                self._held.setdefault(node.id, [])
        return tasks

    def admit(self, task: Task) -> list[Task]:
        """Return what to submit for a planned task: the task, or the task that must come before it."""
        if not task.kind.changes or task.node_id in self._moved:
            return [task]
        if task.node_id in self._held:
            self._held[task.node_id].append(task)
            return []
        self._held[task.node_id] = [task]
        return [self._move(task.job.node)]

    def _move(self, node: NodeFact) -> Task:
        """Record the next generation as intended, and return the task that writes it."""
        fact, identity = scan.medium_of(self._index, node.id), self._found.answers[node.id].identity
        anew = self._judged.standings.get(node.id) in (Standing.NEW, Standing.EXCHANGED)
        medium = fact.medium if fact is not None and fact.medium is not None else new_id()
        intended = Identity(scan.identity(self._index), medium, next_generation(fact, identity), new_word())
        record.intend(self._index, node.id, intended)
        job = IdentityJob(node, intended, anew)
        assert self.context is not None
        return Task(
            TaskKind.IDENTITY,
            node.id,
            job,
            files=0,
            deadline=self._found.ios[node.id].probe_seconds,
            stage=self.context.stage(),
        )

    def holding(self) -> int:
        """Return the number of tasks that wait for a generation."""
        return sum(map(len, self._held.values()))

    # as a worklist

    def feed(self) -> list[Task]:
        return []

    def task_ended(self, done: Done) -> None:
        job = done.task.job
        assert isinstance(job, IdentityJob) and self.context is not None
        node, held = job.node, self._held.pop(job.node.id, [])
        error: Why = done.outcome if done.fate is Fate.DONE else done.why
        if not error and not record.confirm(self._index, node.id, job.identity):
            error = Code.INDEX_CHANGED_MEANWHILE()
        if not error:
            self._moved.add(node.id)
            if job.anew:
                record.seen(self._index, [node.id])
            for task in held:
                self._submit(task)
            return
        if done.fate is Fate.BROKEN:
            self.context.node_gone(node.id, done.reason)
        elif node.id not in self.context.gone:
            self._refused(node, error)
        for task in held:
            self._drop(task)

    def _refused(self, node: NodeFact, error: Reason) -> None:
        """Stop work on a node whose generation could not be written."""
        assert self.context is not None
        self.context.node_gone(
            node.id,
            Code.IDENTITY_UNWRITABLE(file=f"{node.where}/{PATH}", why=error),
        )

    def task_withdrawn(self, task: Task) -> None:
        for held in self._held.pop(task.node_id, []):
            self._drop(held)

    def withdraw(self, keep: Callable[[Task], bool]) -> list[Task]:
        """Remove and return the held tasks for which `keep` is false."""
        out = []
        for node_id, held in self._held.items():
            out += [task for task in held if not keep(task)]
            self._held[node_id] = [task for task in held if keep(task)]
        return out
