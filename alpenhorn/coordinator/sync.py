"""One run, from the locks to the exit status: rounds of scan, plan, run and record."""

from __future__ import annotations

import datetime
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING

from alpenhorn.config import Config
from alpenhorn.coordinator import conditions, manifest_due, media
from alpenhorn.coordinator import nodes as node_steps
from alpenhorn.coordinator.context import Context, DecidesLate, WholeRun, Worklist, no_longer_separate
from alpenhorn.coordinator.endings import Row
from alpenhorn.coordinator.planning import group_ios, make_planner, open_inodes, open_space
from alpenhorn.coordinator.prepare import prepare
from alpenhorn.coordinator.report import Asked, Report, Watcher
from alpenhorn.errors import Busy, IndexUnusable
from alpenhorn.index.connection import Index
from alpenhorn.io.base import TapeNode
from alpenhorn.kinds import WORK, load
from alpenhorn.model.nodes import NodeFact
from alpenhorn.model.tasks import Done, Fate, Task, TaskKind
from alpenhorn.plan.limits import Limits
from alpenhorn.plan.pulls import Troubles
from alpenhorn.reasons import Code
from alpenhorn.record import claims
from alpenhorn.record import inodes as inode_notes
from alpenhorn.record import run as runs
from alpenhorn.scan import topology as topologies
from alpenhorn.scan.pulls import pending_total
from alpenhorn.scan.work import Place
from alpenhorn.workers.pool import Pool

if TYPE_CHECKING:
    from alpenhorn.coordinator.manifests import Manifests

_log = logging.getLogger(__name__)

LEASE = claims.LEASE.total_seconds()
RENEW_EVERY = LEASE / 3
# Seconds between two looks at the nodes' rows, so that one that is deactivated is left alone by the next job.
LOOK_EVERY = 2.0
LOOK_TO_PLAN = 0.2  # before more is planned
AGAIN = 20.0  # where the index did not answer
# Tasks handed out or queued for each worker; what waits longer is planned later, on newer rows.
PER_WORKER = 2


def sync(
    index: Index,
    pool: Pool,
    config: Config,
    asked: Asked,
    watcher: Watcher,
    clock: Callable[[], datetime.datetime],
    stopping: Callable[[], bool],
) -> Report:
    """Do what is to be done on this host now.

    `stopping` is asked after each event; once it is true no new work is started, what is under way is
    stopped cleanly, and everything finished is recorded.  Raises NotFound for an unknown node, Busy when
    another run holds every node that was meant, IndexUnusable when the index is lost for good.
    """
    report = Report()
    report.must_have_all = asked.manifest or asked.reconcile is not None
    started = time.monotonic()
    index.stopping = stopping
    topology = topologies.load(index)
    host = config.sync.host
    meant = node_steps.meant(topology, host, asked, report)
    if not meant and not report.left_out:
        node_steps.tell_unknown_host(index, host, asked, report)
        conditions.settle(index, config, asked, report)
        return report
    found = node_steps.Nodes()
    try:
        with Row(index, host, clock, report) as row:
            workable, judged = prepare(index, pool, topology, host, meant, asked, found, report, stopping)
            if found.busy:
                _tell_stuck(index, config, found, clock, report)
            if not workable:
                node_steps.tell_no_node(host, report)
                conditions.settle(index, config, asked, report)
                row.end({})
                return report
            run = row.begin([node.name for node in workable])
            report.nodes = [node.name for node in workable]
            _log.info("run %d on %s begins", run.id, ", ".join(report.nodes))
            claims.drop_dead(index, run, found.locks)
            compare = (
                [] if asked.changes_nothing else media.settle(index, run, workable, found, judged, report)
            )
            session = _Session(
                index,
                pool,
                config,
                asked,
                watcher,
                clock,
                stopping,
                report,
                run,
                started,
                topology,
                workable,
                found,
                judged,
                compare,
            )
            session.rounds()
            _name_odd_rows(index, report)
            free_b = _free_space(pool, session)
            conditions.settle(index, config, asked, report)
            for notes in (report.warnings, report.waiting, report.later, report.failures):
                notes.log_counts()
            row.end(free_b)
    except Busy as busy:
        if _tell_stuck(index, config, found, clock, report):
            report.no_node = True
            conditions.settle(index, config, asked, report)
            busy.notes = tuple(report.warnings.lines())
        raise
    finally:
        found.release()
        index.stopping = index.hold_on = _never
    return report


def _never() -> bool:
    return False


def _tell_stuck(
    index: Index,
    config: Config,
    found: node_steps.Nodes,
    clock: Callable[[], datetime.datetime],
    report: Report,
) -> bool:
    from alpenhorn.coordinator import stuck  # most runs find no other

    return stuck.tell(index, config, found.busy, clock(), report)


def _name_odd_rows(index: Index, report: Report) -> None:
    """Warn of rows that could not be read as they are, unless a reason in the report names them."""
    if not index.odd:
        return
    told = "\n".join(
        line for notes in (report.warnings, report.waiting, report.failures) for line in notes.lines()
    )
    for reason in index.odd:
        if reason not in told:
            report.warnings.lasting(reason)
    index.odd.clear()


def _free_space(pool: Pool, session: _Session) -> dict[int, int | None]:
    if session.report.stopped:
        return {}
    there = session.still_there()
    if session.worked:
        answers = node_steps.probe(pool, session.found.ios, there, tidy=False)
    else:  # what was found a moment ago still holds
        answers = {node.id: session.found.answers[node.id] for node in there}
    inode_notes.note(
        session.index, session.run, {node_id: one.free_files for node_id, one in answers.items()}
    )
    return {node_id: answer.free_b for node_id, answer in answers.items()}


class _Session:
    """The rounds of one run."""

    def __init__(  # no dataclass, as in Context
        self,
        index: Index,
        pool: Pool,
        config: Config,
        asked: Asked,
        watcher: Watcher,
        clock: Callable[[], datetime.datetime],
        stopping: Callable[[], bool],
        report: Report,
        run: runs.Run,
        started: float,
        start: topologies.Topology,
        nodes: list[NodeFact],
        found: node_steps.Nodes,
        judged: media.Found | None = None,
        compare: Sequence[NodeFact] = (),
        lease: float = LEASE,
    ) -> None:
        self.index = index
        self.pool = pool
        self.config = config
        self.asked = asked
        self.watcher = watcher
        self.clock = clock
        self.stopping = stopping
        self.report = report
        self.run = run
        self.started = started
        self.start = start
        self.nodes = nodes
        self.found = found
        self.judged = media.Found() if judged is None else judged
        self.compare = compare
        self.troubles = Troubles()
        self.renewed = self.looked = time.monotonic()
        self.renew_at = self.renewed + RENEW_EVERY
        self.lease = lease
        self.recording = False
        self.away = False  # the index, when it was last looked at
        self.whole = WholeRun()
        self.halted = False
        self.worked = False  # since the nodes were last probed
        self.lists: dict[TaskKind, Worklist] = {}
        self.index.hold_on = self._holds_on
        self.media = media.Media(self.index, self.found, self.judged, self.pool.submit, self._drop)

    def rounds(self) -> None:
        """Go on until a whole round changed nothing that could have made new work."""
        for node_id, answer in self.found.answers.items():
            if answer.error:
                self.troubles.absent[node_id] = answer.error
        for node in self.nodes:
            jobs = self.found.ios[node.id].jobs
            if jobs is not None:
                self.pool.limit(node.id, jobs)
        context, manifests = None, None
        while self._may_start():
            self.report.new_round()
            first, context = context is None, self._context()
            if first and not self.asked.changes_nothing:
                self._adopt(context)
                self._compare(context)
            if self.asked.reconcile is not None:
                from alpenhorn.coordinator.reconcile import reconcile  # one command's work

                reconcile(context, self.asked.reconcile, self._turn, self._may_start)
                break
            if first and (self.asked.manifest or manifest_due.uncertain(context, self._tokens(context))):
                manifests = self._manifests(context)
                manifests.compare(context, self._turn, self._may_go_on)
            if self.asked.manifest:
                break
            if first:
                self._separate(context)
            if self.watcher.interval is not None and self.asked.wants("pull"):
                files, size_b = pending_total(self.index, context.groups)
                self.report.expected = (self.report.finished[0] + files, self.report.finished[1] + size_b)
            self._turn(context, self._worklists(context), self._may_start)
            if not context.changed or self.report.stopped:
                break
            answers = node_steps.probe(self.pool, self.found.ios, self.still_there(), tidy=False)
            self.worked = False
            for node_id, answer in answers.items():
                self.found.answers[node_id] = answer
                if answer.error:
                    context.node_gone(node_id, answer.error)
        if context is not None and not self.asked.changes_nothing:
            if not self.report.stopped:
                due = manifest_due.due(context, self._tokens(context))
                if due and manifests is None:
                    manifests = self._manifests(context)
                if manifests is not None:
                    manifests.keep(context, self._turn, self._may_go_on, due)
            node_steps.out_of_sight(self.index, context.topology, self.config.sync.host, context.gone)

    def _adopt(self, context: Context) -> None:
        """Give new media their identity before anything else is done there."""
        self.media.context = context
        tasks = self.media.adopt(context.node(node_id) for node_id in context.ios)
        for task in tasks:
            self.worked = True
            self.pool.submit(task)
        if tasks:
            self._turn(context, {}, self._may_go_on)

    def _compare(self, context: Context) -> None:
        """Compare the nodes that are not as the index left them, so that their copies count again."""
        nodes = [node for node in self.compare if node.id in context.ios]
        if not nodes:
            return
        from alpenhorn.coordinator.manifests import Comparing  # seldom needed
        from alpenhorn.record.media import compared

        comparing = Comparing(context, nodes)
        self._turn(context, {TaskKind.COMPARE: comparing}, self._may_go_on)
        compared(self.index, comparing.complete())

    def _tokens(self, context: Context) -> dict[int, str]:
        found = {node_id: self.found.answers[node_id].manifest for node_id in context.ios}
        return manifest_due.tokens(context, found)

    def _manifests(self, context: Context) -> Manifests:
        from alpenhorn.coordinator.manifests import Manifests  # an idle run needs none of it

        return Manifests(context, self._tokens(context), self.asked.manifest)

    def _separate(self, context: Context) -> None:
        """Before anything is decided on the copies of a node that has become an archive node."""
        nodes = [context.node(node_id) for node_id in sorted(context.ios) if node_id not in context.gone]
        nodes = [node for node in nodes if node.archive and not node.separate]
        if nodes:
            from alpenhorn.coordinator.separate import Separating  # most runs need none of it

            separating = Separating(context, nodes, self._may_start)
            self._turn(context, {TaskKind.LOOK: separating, TaskKind.SEPARATE: separating}, self._may_go_on)
            separating.finish()

    def still_there(self) -> list[NodeFact]:
        return [node for node in self.nodes if node.id not in self.troubles.absent]

    def _context(self) -> Context:
        """Rows, objects and reservations as they are now: an edit made meanwhile is honoured."""
        config = self.config
        topology = topologies.load(self.index).called_as_in(self.start)
        no_longer_separate(self.index, topology.nodes.values(), config.sync.host)
        # The locks and storage objects are those of the roots that the nodes had as the run began.
        wanted = {(node.id, node.root) for node in self.still_there()}
        here = [node for node in topology.here(config.sync.host) if (node.id, node.root) in wanted]
        ios = {node.id: self.found.ios[node.id] for node in here}
        groups = group_ios(topology, here, self.report)
        free_b = {node.id: self.found.answers[node.id].free_b for node in here}
        space = open_space(self.index, ios, free_b, self.run.id)
        inodes = open_inodes(self.found.answers, ios)
        planner = make_planner(topology, config, ios, groups, space, self.troubles, inodes)
        limits = Limits(
            config.transfer.pull_timeout_base, config.transfer.pull_bytes_per_second, config.sync.jobs
        )
        return Context(
            index=self.index,
            config=config,
            asked=self.asked,
            run=self.run,
            clock=self.clock,
            topology=topology,
            ios=ios,
            groups=groups,
            space=space,
            planner=planner,
            report=self.report,
            limits=limits,
            free_b=free_b,
            whole=self.whole,
            withdraw=self._withdraw,
        )

    def _turn(self, context: Context, lists: dict[TaskKind, Worklist], may_start: Callable[[], bool]) -> None:
        """Do what those lists hold; begin nothing once `may_start` is false."""
        self.media.context, self.lists = context, lists
        while True:
            fed = False
            if may_start():
                self._look_again(context, LOOK_TO_PLAN)
                # While the index is away what is under way goes on, and nothing new is begun.
                fed = (not self.away or not self._busy()) and self._feed(lists)
            else:
                self._halt()
            if not self._busy():
                return
            # What was just fed is handed out before more is planned.
            for done in self.pool.wait(0 if fed else self._pause()):
                self.recording = True
                self._taken(self._list_of(done.task), done, context)
                self.recording = False
            self._renew()
            self._look_again(context, LOOK_EVERY)
            self.watcher.show(self.report, self.pool.activity())

    def _worklists(self, context: Context) -> dict[TaskKind, Worklist]:
        """Those of which there is any work; what the others would import takes longer than an idle run.

        Work that turns up while the round goes on is for the next one.
        """
        nodes = [io.node for io in context.ios.values()]
        tape = any(isinstance(io, TapeNode) for io in context.ios.values())
        place = Place(nodes, list(context.groups), tape)
        wanted = [work for work in WORK if self.asked.wants(work.name)]
        there = [work for work in wanted if load(work.pending)(self.index, place)]
        lists: dict[TaskKind, Worklist] = {}
        for work in there:
            worklist = load(work.worklist)(context)
            lists |= dict.fromkeys(work.tasks, worklist)
            if work.decides_late:
                for kind in work.tasks:
                    self.pool.decide_late(kind, partial(self._decided_late, worklist))
        return lists

    def _look_again(self, context: Context, every: float) -> None:
        """Honour what was edited in the rows of nodes, unless they were looked at so many seconds ago or less."""
        if time.monotonic() - self.looked < every:
            return
        self.looked = time.monotonic()
        try:
            with self.index.glancing():
                off = context.look_at_nodes()
        except IndexUnusable:
            # A server that is away while a long copy goes on may be back when there is something to record.
            self.away = True
            self.looked = time.monotonic() + AGAIN
            return
        self.away = False
        if off:
            self._withdraw(lambda task: task.node_id not in off)
        for node_id, lock in self.found.locks.items():
            if lock.lost and node_id not in context.gone:
                context.node_gone(node_id, Code.LOCK_LOST(path=lock.path))
                self._withdraw(lambda task, gone=node_id: task.node_id != gone)  # type: ignore[misc]

    def _halt(self) -> None:
        """Start nothing new; and when the run is to stop, tell those at work."""
        self._withdraw(lambda task: False)
        if self.report.stopped and not self.halted:
            self.halted = True
            _log.info("asked to stop")
            self.pool.stop()

    def _may_start(self) -> bool:
        limit = self.asked.time_limit
        if limit is not None and time.monotonic() - self.started >= limit:
            self.report.out_of_time = True
        if self.stopping():
            self.report.stopped = True
        return not (self.report.out_of_time or self.report.stopped)

    def _may_go_on(self) -> bool:
        """Also when the time is up: a comparison that never came to its end would keep all runs from doing anything
        else, and a disk may be carried away after any run."""
        return self._may_start() or not self.report.stopped

    def _feed(self, lists: dict[TaskKind, Worklist]) -> bool:
        """Take a page of each kind if the workers could use it, and no more than that, so that what is planned
        is planned on new rows; tells whether there was any."""
        if self.pool.queued() + self.media.holding() >= PER_WORKER * self.config.sync.jobs:
            return False
        tasks = [task for worklist in dict.fromkeys(lists.values()) for task in worklist.feed()]
        for task in tasks:
            self._planned(task.files, task.bytes)
            for ready in self.media.admit(task):
                self.pool.submit(ready)
        self.worked = self.worked or bool(tasks)
        return bool(tasks)

    def _list_of(self, task: Task) -> Worklist:
        return self.media if task.kind is TaskKind.IDENTITY else self.lists[task.kind]

    def _withdraw(self, keep: Callable[[Task], bool]) -> None:
        for task in self.media.withdraw(keep) + self.pool.withdraw(keep):
            self._drop(task)

    def _drop(self, task: Task) -> None:
        """Take back a task that no worker had."""
        self._planned(-task.files, -task.bytes)
        self._list_of(task).withdrawn(task)

    def _decided_late(self, worklist: DecidesLate, task: Task) -> Task | None:
        """Have a task decided once more as a worker is free for it; None: there is nothing left of it."""
        decided = worklist.decided(task)
        files, size_b = (decided.files, decided.bytes) if decided is not None else (0, 0)
        self._planned(files - task.files, size_b - task.bytes)
        return decided

    def _taken(self, worklist: Worklist, done: Done, context: Context) -> None:
        if done.fate is Fate.ABANDONED:
            # A worker that cannot be killed hangs in the storage: whoever comes next would hang there too.
            context.node_gone(done.task.node_id, done.reason)
        worklist.take(done)
        files, size_b = self.report.finished
        self.report.finished = (files + done.task.files, size_b + done.task.bytes)

    def _planned(self, files: int, size_b: int) -> None:
        before = self.report.planned
        self.report.planned = (before[0] + files, before[1] + size_b)

    def _pause(self) -> float:
        left = self.renew_at - time.monotonic()
        if self.asked.time_limit is not None and not self.report.out_of_time:
            left = min(left, self.started + self.asked.time_limit - time.monotonic())
        left = min(left, self.looked + LOOK_EVERY - time.monotonic())
        return max(0.05, min(left, self.watcher.interval or left))

    def _busy(self) -> bool:
        return bool(self.pool.queued() or self.pool.running())

    def _holds_on(self) -> bool:
        """Whether the index is waited for however long it is away: while there is work whose outcome can still be
        recorded, since no other run can have taken over its claims."""
        return (self.recording or self._busy()) and time.monotonic() < self.renewed + self.lease

    def _renew(self) -> None:
        if time.monotonic() < self.renew_at:
            return
        began, holds_on = time.monotonic(), self._holds_on()
        try:
            with self.index.glancing() if holds_on else nullcontext():
                late = claims.renew(self.index, self.run)
        except IndexUnusable:
            if not holds_on:
                raise
            self.renew_at = time.monotonic() + AGAIN
            return
        if late:
            self.report.warnings.add(Code.CLAIMS_RAN_OUT(claims=late))
        self.renewed, self.renew_at = began, began + RENEW_EVERY
