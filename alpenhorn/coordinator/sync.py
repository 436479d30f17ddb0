"""One run, from the locks to the exit status, in rounds of scan, plan, work and record."""

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
from alpenhorn.coordinator.machines import Machines
from alpenhorn.coordinator.planning import group_ios, make_planner, open_inodes, open_space
from alpenhorn.coordinator.prepare import prepare
from alpenhorn.coordinator.report import Asked, Report, Watcher
from alpenhorn.coordinator.tape_batches import record_needs
from alpenhorn.errors import Busy, IndexUnusable, Stopped
from alpenhorn.index.connection import Index
from alpenhorn.io.base import TapeNode
from alpenhorn.kinds import WORK, load
from alpenhorn.model.nodes import NodeFact, ProbeOutcome
from alpenhorn.model.tasks import Done, Fate, Task, TaskKind
from alpenhorn.plan.limits import Limits
from alpenhorn.plan.sources import Troubles
from alpenhorn.reasons import Code
from alpenhorn.record import claims
from alpenhorn.record import inodes as inode_notes
from alpenhorn.record import run as runs
from alpenhorn.record.media import compared
from alpenhorn.scan import few_copies, tallies
from alpenhorn.scan import topology as topologies
from alpenhorn.scan.pulls import pending_total
from alpenhorn.scan.work import Place, any_policy
from alpenhorn.workers.lock_holder import LockHolder
from alpenhorn.workers.pool import Pool, nothing

if TYPE_CHECKING:
    from alpenhorn.coordinator.manifests import Manifests

_log = logging.getLogger(__name__)

LEASE = claims.LEASE.total_seconds()
RENEW_EVERY = LEASE / 3
# Seconds between reads of the nodes' rows, so that a node that is deactivated gets no further jobs.
LOOK_EVERY = 2.0
LOOK_TO_PLAN = 0.2  # before more is planned
AGAIN = 20.0  # seconds to the next attempt if the index did not answer
INTERRUPT_EVERY = 0.5  # seconds; a worker that has not begun its task yet takes no notice of an interrupt
GENERATION_SECONDS = 0.05  # most media get a new generation within that time
# Tasks running or queued for each worker; more would be planned on rows that are outdated when they start.
PER_WORKER = 2


def sync(
    index: Index,
    pool: Pool,
    config: Config,
    asked: Asked,
    watcher: Watcher,
    clock: Callable[[], datetime.datetime],
    stopping: Callable[[], bool],
    *,
    monotonic: Callable[[], float] = time.monotonic,
    lock_holder: Callable[[str], LockHolder] = LockHolder,
) -> Report:
    """Carry out all work for this host.

    `stopping` is called after each event; once it returns True, no new work is started, running work is stopped
    cleanly, and everything finished is recorded.  `monotonic`: seconds by a clock that is never put back;
    `lock_holder`: takes the run lock with a path.  Raises NotFound for an unknown node, Busy if another run holds all
    selected nodes, IndexUnusable if the index is lost for good.
    """
    report = Report()
    report.watcher = watcher
    report.must_have_all = asked.manifest or asked.reconcile is not None
    started = monotonic()
    index.stopping = stopping
    index.on_wait = lambda: report.step("waiting for the index")
    report.step("reading the nodes from the index")
    topology = topologies.load(index)
    host = config.sync.host
    selected = node_steps.select_nodes(topology, host, asked, report)
    if not selected and not report.left_out:
        node_steps.warn_unknown_host(index, host, asked, report)
        conditions.settle(index, config, asked, report)
        return report
    found = node_steps.Nodes()
    try:
        with Row(index, host, clock, report) as row:
            try:
                workable, judged = prepare(
                    index, pool, topology, host, selected, asked, found, report, stopping, lock_holder
                )
            except Stopped:
                report.stopped = True
                row.end({})
                return report
            if found.busy:
                _report_stuck(index, config, found, clock, report)
            if not workable:
                node_steps.fail_without_node(host, report)
                conditions.settle(index, config, asked, report)
                row.end({})
                return report
            report.step("recording the run in the index")
            run = row.begin([node.name for node in workable])
            report.nodes = [node.name for node in workable]
            _log.info("run %d on %s begins", run.id, ", ".join(report.nodes))
            claims.drop_dead(index, run, found.locks)
            if not asked.changes_nothing:
                record_needs(index, run, found.ios)
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
                monotonic=monotonic,
            )
            session.rounds()
            _name_odd_rows(index, report)
            free_b = _free_space(session)
            conditions.settle(index, config, asked, report)
            for notes in (report.warnings, report.waiting, report.later, report.failures):
                notes.log_counts()
            row.end(free_b)
    except Busy as busy:
        busy.left_out = tuple(report.left_out)
        if _report_stuck(index, config, found, clock, report):
            report.no_node = True
            conditions.settle(index, config, asked, report)
            busy.notes = tuple(report.warnings.lines())
            busy.conditions = tuple(report.warnings.conditions())
        raise
    finally:
        found.release()
        index.stopping = index.hold_on = node_steps.never
        index.on_wait = nothing
    return report


def _report_stuck(
    index: Index,
    config: Config,
    found: node_steps.Nodes,
    clock: Callable[[], datetime.datetime],
    report: Report,
) -> bool:
    from alpenhorn.coordinator import stuck  # most runs find no other

    return stuck.report_stuck(index, config, found.busy, clock(), report)


def _name_odd_rows(index: Index, report: Report) -> None:
    """Warn of rows with invalid values that no other message names."""
    if not index.odd:
        return
    shown = "\n".join(
        line for notes in (report.warnings, report.waiting, report.failures) for line in notes.lines()
    )
    for reason in index.odd:
        if reason not in shown:
            report.warnings.lasting(reason)
    index.odd.clear()


def _free_space(session: _Session) -> dict[int, int | None]:
    if session.report.stopped:
        return {}
    if session.worked:
        answers = session.probe()
    else:  # what was found a moment ago still holds
        answers = {node.id: session.found.answers[node.id] for node in session.still_there()}
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
        judged: media.JudgedMedia | None = None,
        compare: Sequence[NodeFact] = (),
        lease: float = LEASE,
        monotonic: Callable[[], float] = time.monotonic,
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
        self.judged = media.JudgedMedia() if judged is None else judged
        self.compare = compare
        self.troubles = Troubles()
        self.monotonic = monotonic
        self.renewed = self.looked = monotonic()
        self.renew_at = self.renewed + RENEW_EVERY
        self.lease = lease
        self.recording = False
        self.away = False  # the index did not answer last time
        self.whole = WholeRun()
        self.any_policy: bool | None = None  # not known yet
        self.halted = False
        self.worked = False  # since the nodes were last probed
        self.lists: dict[TaskKind, Worklist] = {}
        self.index.hold_on = self._keep_waiting
        self.media = media.Media(self.index, self.found, self.judged, self.pool.submit, self._drop)
        self.machines = Machines(config.sync, report, found.locks, monotonic)
        if config.sync.scheduler:
            pool.place_with(self.machines)

    def rounds(self) -> None:
        """Continue until a round changes nothing that could make new work possible."""
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

                reconcile(context, self.asked.reconcile, self._run_worklists, self._may_start)
                break
            if first and (self.asked.manifest or manifest_due.uncertain(context, self._tokens(context))):
                manifests = self._manifests(context)
                manifests.compare(context, self._run_worklists, self._may_go_on)
            if self.asked.manifest:
                break
            if first:
                self._separate(context)
            if self.asked.wants("pull"):
                self._file_requests(context)
            if not self.asked.changes_nothing and any(
                node.retired for node in context.topology.nodes.values()
            ):
                from alpenhorn.coordinator import retirement  # few archives have a retired node

                retirement.carry_on(context, self._may_start)
            if self.watcher.interval is not None and self.asked.wants("pull"):
                self._expect_pulls(context)
            self._run_worklists(context, self._worklists(context), self._may_start)
            if not context.changed or self.report.stopped:
                break
            answers = self.probe()
            self.worked = False
            for node_id, answer in answers.items():
                self.found.answers[node_id] = answer
                if answer.error:
                    context.node_gone(node_id, answer.error)
        self.machines.finish()
        if context is not None and not self.asked.changes_nothing:
            if not self.report.stopped:
                due = manifest_due.due(context, self._tokens(context))
                if due and manifests is None:
                    manifests = self._manifests(context)
                if manifests is not None:
                    manifests.keep(context, self._run_worklists, self._may_go_on, due)
            node_steps.distrust_manifests(self.index, context.topology, self.config.sync.host, context.gone)
            if not self.asked.manifest:
                self._count_few_copies(context)
                self._count_parts()

    def _file_requests(self, context: Context) -> None:
        """Create the requests that policies want."""
        self.any_policy = any_policy(self.index)
        if self.any_policy:
            from alpenhorn.coordinator.policies import file_requests  # most archives have no policies

            self.report.step("comparing the files with the policies")
            file_requests(context, self._may_start)

    def _count_few_copies(self, context: Context) -> None:
        """Count the files with too few copies, if that is due."""
        if self.any_policy is None:
            self.any_policy = any_policy(self.index)
        policies = self.whole.policies
        if not self._may_start() or (self.any_policy and policies is None):
            return  # policies are read by runs that compare files with them
        required = self.config.sync.archive_copy_count
        last = few_copies.load(self.index, few_copies.row_name(required))
        asked = few_copies.policies_digest(policies.every if policies is not None else ())
        nodes = few_copies.nodes_digest(context.topology.nodes.values())
        worked = bool(self.report.tallies)
        # The server is asked only if it seems due by the clock of this host, which may be wrong.
        if few_copies.is_due(last, asked, nodes, self.clock(), worked) and few_copies.is_due(
            last, asked, nodes, self.index.now(), worked
        ):
            from alpenhorn.coordinator.few_copies import count  # once a day

            self.report.step("counting the files with too few copies")
            count(self.index, required, policies, self._may_start)

    def _count_parts(self) -> None:
        """Count the copies in parts of the archive, if that is due."""
        if self._may_start() and tallies.last_look(self.index).is_followed(self.clock()):
            from alpenhorn.coordinator.tallies import refresh  # a few times an hour

            self.report.step("counting the copies on the nodes")
            refresh(self.index, self._may_start)

    def _expect_pulls(self, context: Context) -> None:
        """Count the pulls of this round for the display."""
        from alpenhorn.scan.rules import rules  # only displays need it

        self.report.step("counting the pending requests")
        self.report.amounts.of(TaskKind.PULL).expect(*pending_total(self.index, context.groups))
        self.report.amounts.copied_on = any(
            rule.autosync and rule.node_id in context.ios and rule.group_id in context.groups
            for rule in rules(self.index)
        )

    def _adopt(self, context: Context) -> None:
        """Write the identity of new media before anything else is done there."""
        self.media.context = context
        tasks = self.media.adopt(context.node(node_id) for node_id in context.ios)
        for task in tasks:
            self.worked = True
            self.pool.submit(task)
        if tasks:
            self._run_worklists(context, {}, self._may_go_on)

    def _compare(self, context: Context) -> None:
        """Compare the nodes whose media are in doubt, so that their copies count again."""
        nodes = [node for node in self.compare if node.id in context.ios]
        if not nodes:
            return
        from alpenhorn.coordinator.manifests import Comparing  # seldom needed

        comparing = Comparing(context, nodes)
        self._run_worklists(context, {TaskKind.COMPARE: comparing}, self._may_go_on)
        compared(self.index, comparing.complete())

    def _tokens(self, context: Context) -> dict[int, str]:
        found = {node_id: self.found.answers[node_id].manifest for node_id in context.ios}
        return manifest_due.tokens(context, found)

    def _manifests(self, context: Context) -> Manifests:
        from alpenhorn.coordinator.manifests import Manifests  # an idle run needs none of it

        return Manifests(context, self._tokens(context), self.asked.manifest)

    def _separate(self, context: Context) -> None:
        """Separate hard links on new archive nodes before their copies are used in decisions."""
        nodes = [context.node(node_id) for node_id in sorted(context.ios) if node_id not in context.gone]
        nodes = [node for node in nodes if node.archive and not node.separate]
        if nodes:
            from alpenhorn.coordinator.separate import Separating  # most runs need none of it

            separating = Separating(context, nodes, self._may_start)
            self._run_worklists(
                context, {TaskKind.LOOK: separating, TaskKind.SEPARATE: separating}, self._may_go_on
            )
            separating.finish()

    def still_there(self) -> list[NodeFact]:
        return [node for node in self.nodes if node.id not in self.troubles.absent]

    def probe(self) -> dict[int, ProbeOutcome]:
        """Probe the nodes that are still there; those that have not answered when the run is to stop are left out."""
        return node_steps.probe(
            self.pool,
            self.found.ios,
            self.still_there(),
            tidy=False,
            step=self.report.step,
            stopping=self.stopping,
        )

    def _context(self) -> Context:
        """Return a context with the current rows, so that edits since the last round take effect."""
        config = self.config
        topology = topologies.load(self.index).called_as_in(self.start)
        no_longer_separate(self.index, topology.nodes.values(), config.sync.host)
        # Locks and storage objects belong to the places that the nodes had when the run began.
        wanted = {(node.id, node.place) for node in self.still_there()}
        here = [node for node in topology.here(config.sync.host) if (node.id, node.place) in wanted]
        ios = {node.id: self.found.ios[node.id] for node in here}
        groups = group_ios(topology, here, self.report)
        free_b = {node.id: self.found.answers[node.id].free_b for node in here}
        trash = {node.id: found for node in here if (found := self.found.answers[node.id].trash) is not None}
        space = open_space(self.index, ios, free_b, self.run.id, [id for id in trash if trash[id]])
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
            trash=trash,
            whole=self.whole,
            withdraw=self._withdraw,
            interrupt=self.pool.interrupt,
            activity=self.pool.activity,
        )

    def _run_worklists(
        self, context: Context, lists: dict[TaskKind, Worklist], may_start: Callable[[], bool]
    ) -> None:
        """Carry out worklists; start nothing more once `may_start` returns False."""
        self.media.context, self.lists = context, lists
        while True:
            fed = False
            if may_start():
                self._reload_nodes(context, LOOK_TO_PLAN)
                # While the index does not answer, running work continues, and nothing new is started.
                fed = (not self.away or not self._busy()) and self._feed(lists)
            else:
                self._halt()
            if not self._busy():
                return
            # Start new tasks before more are planned.
            if fed:
                self._wait_for_generations(context)
            pause = 0.0 if fed else self._pause()
            if self._end_search_for_machines():
                pause = min(pause, INTERRUPT_EVERY)
            self._record_all(self.pool.wait(pause), context)
            self._renew()
            self._reload_nodes(context, LOOK_EVERY)
            self.watcher.show(self.report, self.pool.activity)

    def _worklists(self, context: Context) -> dict[TaskKind, Worklist]:
        """Return the worklists that have work; loading the others would slow down idle runs.

        Work that appears during a round is left to the next one.
        """
        nodes = [io.node for io in context.ios.values()]
        tape = any(isinstance(io, TapeNode) for io in context.ios.values())
        keeps_trash = bool(self.config.sync.trash)
        place = Place(nodes, list(context.groups), tape, any(context.trash.values()), keeps_trash)
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

    def _reload_nodes(self, context: Context, every: float) -> None:
        """Apply edits of nodes, if they were not read within the last `every` seconds."""
        if self.monotonic() - self.looked < every:
            return
        self.looked = self.monotonic()
        try:
            with self.index.glancing():
                off = context.reload_nodes()
        except IndexUnusable:
            # The server may be back when a running copy has to be recorded.
            self.away = True
            self.looked = self.monotonic() + AGAIN
            return
        self.away = False
        if off:
            self._withdraw(lambda task: task.node_id not in off)
        for node_id, lock in self.found.locks.items():
            if lock.lost and node_id not in context.gone:
                context.node_gone(node_id, Code.LOCK_LOST(path=lock.path))
                self._withdraw(lambda task, gone=node_id: task.node_id != gone)  # type: ignore[misc]

    def _halt(self) -> None:
        """Start nothing new; stop the workers if the run was asked to stop."""
        self._withdraw(lambda task: False)
        if self.report.stopped and not self.halted:
            self.halted = True
            _log.info("asked to stop")
            self.pool.stop()

    def _may_start(self) -> bool:
        limit = self.asked.time_limit
        if limit is not None and self.monotonic() - self.started >= limit:
            self.report.out_of_time = True
        if self.stopping():
            self.report.stopped = True
        return not (self.report.out_of_time or self.report.stopped)

    def _may_go_on(self) -> bool:
        """Return whether work that must complete may continue, even after the time limit.

        Otherwise a comparison that never completes would keep runs from all other work.
        """
        return self._may_start() or not self.report.stopped

    def _feed(self, lists: dict[TaskKind, Worklist]) -> bool:
        """Plan a page of each kind if the workers need it; return whether there was any.

        No more than needed is planned, so that decisions use current rows.
        """
        if self.pool.queued() + self.media.holding() >= PER_WORKER * self.config.sync.jobs:
            return False
        self.report.step("planning")
        tasks = [task for worklist in dict.fromkeys(lists.values()) for task in worklist.feed()]
        for task in tasks:
            self.report.amounts.planned(task)
            self.machines.plan(task)
            self._try_machines()
            for ready in self.media.admit(task):
                self.pool.submit(ready)
        self.worked = self.worked or bool(tasks)
        return bool(tasks)

    def _try_machines(self) -> None:
        """Submit the tasks that find out which machines of a cluster share the storage of nodes that have work."""
        assert self.media.context is not None
        for task in self.machines.tasks(self.media.context.stage):
            self.pool.submit(task)

    def _end_search_for_machines(self) -> bool:
        """End the search for machines if nothing else is left to do; return whether that is so."""
        trying = self.machines.trying()
        if not trying or len(trying) < self.pool.queued() + self.pool.running():
            return False
        self._withdraw(lambda task: task.kind is not TaskKind.SHARE)
        for task in trying:
            self.pool.interrupt(task)
        return True

    def _list_of(self, task: Task) -> Worklist:
        if task.kind is TaskKind.SHARE:
            return self.machines
        return self.media if task.kind is TaskKind.IDENTITY else self.lists[task.kind]

    def _withdraw(self, keep: Callable[[Task], bool]) -> None:
        for task in self.media.withdraw(keep) + self.pool.withdraw(keep):
            self._drop(task)

    def _drop(self, task: Task) -> None:
        """Cancel a task that was not started."""
        self.report.amounts.withdrawn(task)
        self._list_of(task).task_withdrawn(task)

    def _decided_late(self, worklist: DecidesLate, task: Task) -> Task | None:
        """Decide on a task again when a worker is free for it; return None if nothing of it is left."""
        decided = worklist.decided(task)
        self.report.amounts.changed(task, decided)
        return decided

    def _wait_for_generations(self, context: Context) -> None:
        """Wait a moment for the media of planned tasks, which would otherwise also wait for the planning of more."""
        end = self.monotonic() + GENERATION_SECONDS
        while self.media.holding() and (left := end - self.monotonic()) > 0:
            self._record_all(self.pool.wait(left), context)

    def _record_all(self, ended: Sequence[Done], context: Context) -> None:
        for done in ended:
            self.recording = True
            self._record(self._list_of(done.task), done, context)
            self.recording = False
        if ended and not self.report.stopped:
            self._try_machines()

    def _record(self, worklist: Worklist, done: Done, context: Context) -> None:
        if done.fate is Fate.ABANDONED:
            # A worker that cannot be killed hangs in the storage, and the next one would hang too.
            context.node_gone(done.task.node_id, done.reason)
        worklist.task_ended(done)
        self.report.amounts.finished(done.task)
        self.watcher.ended(done)

    def _pause(self) -> float:
        left = self.renew_at - self.monotonic()
        if self.asked.time_limit is not None and not self.report.out_of_time:
            left = min(left, self.started + self.asked.time_limit - self.monotonic())
        left = min(left, self.looked + LOOK_EVERY - self.monotonic())
        return max(0.05, min(left, self.watcher.interval or left))

    def _busy(self) -> bool:
        return bool(self.pool.queued() or self.pool.running())

    def _keep_waiting(self) -> bool:
        """Return whether to keep waiting for an index that does not answer.

        True while there are results to record and no other run can have taken over their claims.
        """
        return (self.recording or self._busy()) and self.monotonic() < self.renewed + self.lease

    def _renew(self) -> None:
        if self.monotonic() < self.renew_at:
            return
        began, holds_on = self.monotonic(), self._keep_waiting()
        try:
            with self.index.glancing() if holds_on else nullcontext():
                late = claims.renew(self.index, self.run)
        except IndexUnusable:
            if not holds_on:
                raise
            self.renew_at = self.monotonic() + AGAIN
            return
        if late:
            self.report.warnings.add(Code.CLAIMS_RAN_OUT(claims=late))
        self.renewed, self.renew_at = began, began + RENEW_EVERY
