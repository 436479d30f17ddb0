"""What a run does about the media of its nodes: compares them with the index before it believes anything, and moves
their generations before it changes anything (CONTRIBUTING.md, "The identity of media")."""

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
from alpenhorn.io.base import PROBE_SECONDS
from alpenhorn.model.nodes import MARKER, Identity, IdentityJob, NodeFact
from alpenhorn.model.tasks import Done, Fate, Kind, Task
from alpenhorn.plan.media import Standing, judge, next_generation, worth_noting
from alpenhorn.reasons import Code, Reason, Why, code_of, within
from alpenhorn.record import media as record
from alpenhorn.record.run import Run, not_ended
from alpenhorn.scan import media as scan

_log = logging.getLogger(__name__)

RECONCILE = "alpenhorn reconcile"
_NOTE = re.compile(r"run (\d{1,18}) on (.{1,64}) of index ([0-9a-f]{32})")


class Found(NamedTuple):
    """How the nodes that are worked on stand to the index, by node id."""

    known: scan.KnownMedia = scan.KnownMedia()
    standings: Mapping[int, Standing] = {}


def strangers(index: Index, here: Iterable[NodeFact], found: Nodes) -> scan.KnownMedia:
    """Let no node be worked on whose medium belongs to another index or to another node; returns what the index knows.

    To be called before anything is done there, for the run lock would be written to such a medium too.
    """
    known = scan.load(index)
    if not known.identity:
        known = known._replace(identity=record.ensure_identity(index, new_id()))
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
            why = stranger(node, standing, answer.identity, known)
            found.answers[node.id] = answer._replace(error=why)
    return known


def look(
    index: Index,
    here: Iterable[NodeFact],
    workable: list[NodeFact],
    found: Nodes,
    asked: Asked,
    report: Report,
) -> Found:
    """Judge this host's nodes, and mark in the index which of them are wrong, for all hosts.

    Only the holder of a node's run lock judges it for good: any other may see a generation in the middle of its move.
    """
    # After the probes: what another run has written to its disk meanwhile, it had noted in the index before.
    known = strangers(index, here, found)
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
    return Found(known, standings)


def _is_known(known: scan.KnownMedia, node_id: int) -> bool:
    """So that a node that is away for months does not cost a transaction in each run."""
    fact = known.media.get(node_id)
    return fact is not None and fact.wrong


def stranger(node: NodeFact, standing: Standing, identity: Identity, known: scan.KnownMedia) -> Reason:
    """Why a medium of another index or node is not worked on, and what to do."""
    file = f"{node.root}/{PATH}"
    if standing is Standing.CLONE:
        other = known.others(node.id)[identity.medium]
        return Code.MEDIUM_OF_OTHER_NODE(root=node.root, other=other, file=file)
    return Code.MEDIUM_OF_OTHER_INDEX(root=node.root, file=file)


def settle(
    index: Index, run: Run, nodes: Iterable[NodeFact], found: Nodes, judged: Found, report: Report
) -> list[NodeFact]:
    """Record what follows for nodes that are not as the index left them, and that the others were seen; returns
    those whose copies are to be compared with the disk."""
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
    """The nodes on which a run of this index left a note of itself, and of which the index knows nothing: it was
    restored, though no generation tells so of a node on which nothing was changed since the backup.

    Tells of runs that never came to write down their end, which they cannot any more since their locks were free, and
    leaves the note of this run.
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
    # A restored index may give the number to this very run.
    return {
        node_id
        for node_id, one in noted.items()
        if one[0] >= run.id or (one not in runs and one[0] > known.pruned)
    }


def noted_run(note: str, index_id: str) -> tuple[int, str] | None:
    """Number and host of the last run of an index on a node, from the note in its run lock; None without one."""
    match = _NOTE.fullmatch(note)
    return (int(match[1]), match[2]) if match and match[3] == index_id else None


def _ahead(index: Index, node: NodeFact, identity: Identity, report: Report) -> None:
    why = Code.MEDIUM_AHEAD(node=node.name)
    record.distrust(index, node.id, record.RECONCILE, why, identity)
    record.restored(index, why)
    report.warnings.add(
        within(
            why,
            f"{why}; nothing is deleted on this index until its nodes were compared with it: run `{RECONCILE}` on each"
            " host",
        )
    )


def _exchanged(index: Index, run: Run, node: NodeFact, identity: Identity | None, report: Report) -> None:
    why = Code.MEDIUM_EXCHANGED(node=node.name)
    medium = identity.medium if identity is not None else new_id()
    intended = Identity("", medium, next_generation(None, identity), new_word())
    suspect = record.exchanged(index, run, node, intended, why)
    report.warnings.add(
        within(why, f"{why}; its {suspect} copies are suspect, and count once they were read")
    )


class Media:
    """The media of one run's nodes: adopts new ones, and moves the generation of each before the first task that
    changes something there.  `judged`: as `look` found them; `submit` queues a task, `drop` takes back one that
    was planned.

    A worklist as well, of the tasks that write identity files.
    """

    kind = Kind.IDENTITY

    def __init__(
        self,
        index: Index,
        found: Nodes,
        judged: Found,
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
        """Tasks that give new and exchanged media an identity, and restored ones a generation above all that there
        were, by which they and their other states can be told apart from now on."""
        tasks = []
        for node in nodes:
            if self._judged.standings.get(node.id) in (Standing.NEW, Standing.EXCHANGED, Standing.BEHIND):
                tasks.append(self._move(node))
                self._held.setdefault(node.id, [])
        return tasks

    def admit(self, task: Task) -> list[Task]:
        """What is to be submitted now for a task that was planned: the task itself, or what must come before it."""
        if not task.kind.changes or task.node_id in self._moved:
            return [task]
        if task.node_id in self._held:
            self._held[task.node_id].append(task)
            return []
        self._held[task.node_id] = [task]
        return [self._move(task.job.node)]

    def _move(self, node: NodeFact) -> Task:
        """Note the next generation as intended, and return the task that writes it."""
        known = scan.load(self._index)
        fact, identity = known.media.get(node.id), self._found.answers[node.id].identity
        anew = self._judged.standings.get(node.id) in (Standing.NEW, Standing.EXCHANGED)
        medium = fact.medium if fact is not None and fact.medium is not None else new_id()
        intended = Identity(known.identity, medium, next_generation(fact, identity), new_word())
        record.intend(self._index, node.id, intended)
        job = IdentityJob(node, intended, anew)
        assert self.context is not None
        return Task(Kind.IDENTITY, node.id, job, files=0, deadline=PROBE_SECONDS, stage=self.context.stage())

    def holding(self) -> int:
        """How many tasks wait for a generation."""
        return sum(map(len, self._held.values()))

    # as a worklist

    def feed(self) -> list[Task]:
        return []

    def take(self, done: Done) -> None:
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
        """Without a generation of its own this run changes nothing there."""
        assert self.context is not None
        self.context.node_gone(
            node.id,
            Code.IDENTITY_UNWRITABLE(file=f"{node.root}/{PATH}", why=error),
        )

    def withdrawn(self, task: Task) -> None:
        for held in self._held.pop(task.node_id, []):
            self._drop(held)

    def withdraw(self, keep: Callable[[Task], bool]) -> list[Task]:
        """Take tasks that are held back, and for which `keep` is false, out again."""
        out = []
        for node_id, held in self._held.items():
            out += [task for task in held if not keep(task)]
            self._held[node_id] = [task for task in held if keep(task)]
        return out
