"""The nodes of a run: selection, probes, initialisation and run locks."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence

from alpenhorn.coordinator.report import Asked, Report
from alpenhorn.errors import Busy, NotFound, Stopped, StorageError
from alpenhorn.extensions.registry import node_io
from alpenhorn.fs.run_lock import RUN_LOCK
from alpenhorn.index.connection import Index
from alpenhorn.io.base import PROBE_SECONDS, Node
from alpenhorn.model.nodes import MARKER, InitJob, NodeFact, ProbeJob, ProbeOutcome
from alpenhorn.model.tasks import Done, Fate, Task, TaskKind
from alpenhorn.plan.roots import Root, overlaps
from alpenhorn.reasons import Code, Reason, about, code_of
from alpenhorn.scan import work
from alpenhorn.scan.topology import Topology
from alpenhorn.workers.lock_holder import LockHolder, release
from alpenhorn.workers.pool import Pool

_log = logging.getLogger(__name__)

WAIT_SLICE = 0.5  # seconds between checks whether the run was asked to stop


class Nodes:
    """The nodes of this host.

    `answers`: the probes, by node id; `locks`: the run locks held by this run, by node id; `busy`: the run locks held
    by other runs, by node name.
    """

    def __init__(
        self, ios: dict[int, Node] | None = None, answers: dict[int, ProbeOutcome] | None = None
    ) -> None:
        self.ios = {} if ios is None else ios
        self.answers = {} if answers is None else answers
        self.locks: dict[int, LockHolder] = {}
        self.busy: dict[str, LockHolder] = {}

    def release(self) -> None:
        for held in release(self.locks.values()):
            _log.warning("the run lock %s may still be held: the process that holds it hangs", held.path)
        self.locks.clear()


def select_nodes(topology: Topology, host: str, asked: Asked, report: Report) -> list[NodeFact]:
    """Return this host's active nodes, or those requested by name; report those that cannot be worked on.

    Raises NotFound for a name that does not exist.
    """
    if not asked.nodes:
        return topology.here(host)
    chosen = []
    for node in topology.named(asked.nodes):
        if why := why_not_here(node, host):
            leave_out(node, why, report, asked)
        else:
            chosen.append(node)
    return chosen


def why_not_here(node: NodeFact, host: str) -> Reason | None:
    """Return why runs on a host do not work on a node, None if they do."""
    if node.active and node.host == host:
        return None
    if not node.active:
        return Code.NODE_INACTIVE(node=node.name)
    if node.host is None:
        return Code.NODE_WITHOUT_HOST(node=node.name)
    return Code.NODE_ON_OTHER_HOST(there=node.host, here=host)


def warn_unknown_host(index: Index, host: str, asked: Asked, report: Report) -> None:
    """Warn if the index does not have this host: its runs do nothing, which could go unnoticed."""
    if asked.nodes:
        return
    from alpenhorn.scan import names  # nearly no run needs it

    try:
        names.host(index, host)
    except NotFound:
        report.warnings.lasting(Code.HOST_NOT_IN_INDEX(host=repr(host)))


def fail_without_node(host: str, report: Report) -> None:
    """Report that a run could use no node, which is a failure whatever the reasons."""
    report.no_node = True
    report.failures.lasting(Code.RUN_NO_NODE(host=host), subject=host)


def leave_out(node: NodeFact, why: Reason, report: Report, asked: Asked) -> None:
    """Report a node that is left out: as a failure if it was requested by name, else as a warning."""
    report.left_out[node.name] = why
    notes = report.failures if node.name in asked.nodes else report.warnings
    notes.lasting(left_out_reason(node.name, why), subject=node.name)


def left_out_reason(name: str, why: str) -> Reason:
    return Code.NODE_LEFT_OUT(node=name, why=why)


def report_warnings(nodes: Iterable[NodeFact], found: Nodes, report: Report) -> None:
    """Report the warnings of nodes."""
    for node in nodes:
        for warning in found.ios[node.id].warnings:
            report.warnings.lasting(Code.NODE_SETTINGS_WARNING(detail=warning), subject=node.name)
        if warned := found.answers[node.id].warning:
            report.warnings.lasting(warned, subject=about(warned, node.name))


def make_ios(nodes: Iterable[NodeFact]) -> tuple[dict[int, Node], dict[int, Reason]]:
    """Return the storage objects by node id, and the reasons for nodes that have none."""
    ios: dict[int, Node] = {}
    faults: dict[int, Reason] = {}
    for node in nodes:
        try:
            ios[node.id] = node_io(node)
        except StorageError as error:
            faults[node.id] = error.reason
    return ios, faults


def never() -> bool:
    return False


def probe(
    pool: Pool,
    ios: Mapping[int, Node],
    nodes: Iterable[NodeFact],
    tidy: bool,
    step: Callable[[str], None] | None = None,
    stopping: Callable[[], bool] = never,
) -> dict[int, ProbeOutcome]:
    """Probe nodes in workers, so that a dead mount cannot block the run.  `step` is told which are waited for.

    Once `stopping` returns True, nodes that have not answered are not waited for, and are missing in the result.
    """
    waiting: dict[int, str] = {}
    for node in nodes:
        waiting[node.id] = node.name
        deadline = ios[node.id].probe_seconds
        pool.submit(Task(TaskKind.PROBE, node.id, ProbeJob(node, tidy), files=0, deadline=deadline))
    answers: dict[int, ProbeOutcome] = {}
    while waiting and not stopping():
        if step is not None:
            step(f"probing {', '.join(waiting.values())}")
        for done in pool.wait(None):
            del waiting[done.task.node_id]
            answers[done.task.node_id] = _answer(done)
    return answers


def _answer(done: Done) -> ProbeOutcome:
    if done.fate is Fate.DONE:
        outcome: ProbeOutcome = done.outcome
        return outcome
    if done.fate in (Fate.TIMED_OUT, Fate.ABANDONED):
        root = done.task.job.node.where
        return ProbeOutcome(
            done.task.node_id,
            error=Code.ROOT_DID_NOT_ANSWER(root=root, seconds=done.task.deadline),
        )
    return ProbeOutcome(done.task.node_id, error=done.error)


def distrust_manifests(index: Index, topology: Topology, host: str, gone: Container[int]) -> None:
    """Forget that manifests match the nodes that are gone or not active: these may come back changed."""
    lost = [
        node.id
        for node in topology.nodes.values()
        if node.manifest is not None and node.host == host and (not node.active or node.id in gone)
    ]
    if lost:
        from alpenhorn.record.manifest import distrust  # a node is rarely out of sight

        distrust(index, lost)


def initialise(index: Index, pool: Pool, nodes: Iterable[NodeFact], found: Nodes, report: Report) -> set[int]:
    """Carry out the pending requests to initialise nodes; return the ids of the initialised nodes."""
    by_id = {node.id: node for node in nodes}
    if not work.import_requests(index, list(by_id)):
        return set()
    from alpenhorn.record.imports import complete  # 5 ms with their models, and nearly no run needs them
    from alpenhorn.scan.imports import requests

    wanted = [
        (node, request)
        for node in by_id.values()
        for request in requests(index, node.id)
        if request.path == MARKER
    ]
    jobs = []
    for node, request in wanted:
        if found.answers[node.id].uninitialised:
            jobs.append(InitJob(node, request.request_id))
        elif not found.answers[node.id].error:
            complete(index, request.request_id)
    done_nodes = set()
    for job in _marked(pool, jobs, found, report):
        assert job.request_id is not None
        complete(index, job.request_id)
        done_nodes.add(job.node.id)
    return done_nodes


def _marked(pool: Pool, jobs: Iterable[InitJob], found: Nodes, report: Report) -> Iterator[InitJob]:
    """Write markers; yield the jobs that succeeded."""
    for job in jobs:
        deadline = found.ios[job.node.id].probe_seconds
        pool.submit(Task(TaskKind.INIT, job.node.id, job, files=0, deadline=deadline))
    while ended := pool.wait(None):
        for done in ended:
            assert isinstance(done.task.job, InitJob)
            error = done.error if done.fate is not Fate.DONE else done.outcome.error
            if error:
                name = done.task.job.node.name
                report.failures.lasting(Code.NODE_NOT_INITIALISED(node=name, why=error))
            else:
                report.tally("init").done += 1
                yield done.task.job


def accept_former_names(index: Index, nodes: Iterable[NodeFact], found: Nodes) -> dict[int, ProbeOutcome]:
    """Accept nodes whose markers have a former name; return their original answers by id."""
    owners = {node.id: found.answers[node.id].owner for node in nodes if found.answers[node.id].owner}
    if not owners:
        return {}
    from alpenhorn.scan.former_names import former_names  # nearly no run needs it

    mine = former_names(index, list(owners)).intersection(owners.items())
    former = {node_id: found.answers[node_id] for node_id, _ in mine}
    found.answers |= {node_id: answer._replace(error="") for node_id, answer in former.items()}
    return former


def reject_shared_roots(nodes: Iterable[NodeFact], found: Nodes) -> None:
    """Reject all nodes that share one directory as root: each copy there would count for each of them."""
    at: dict[tuple[int, int], list[NodeFact]] = {}
    for node in nodes:
        answer = found.answers[node.id]
        if answer.place is not None and not answer.error:
            at.setdefault(answer.place, []).append(node)
    for same in at.values():
        for node in same:
            others = ", ".join(other.name for other in same if other is not node)
            if others:
                why = Code.ROOT_SHARED(root=node.root, others=others)
                found.answers[node.id] = found.answers[node.id]._replace(error=why)


def warn_nested_roots(nodes: Sequence[NodeFact], report: Report) -> None:
    """Warn of roots inside one another."""
    roots = [Root(node.name, node.root) for node in nodes if node.root]
    for found in overlaps(roots, {}):
        if found.how != "is":
            report.warnings.lasting(Code.ROOTS_NESTED(overlap=found))


def update_markers(
    pool: Pool, former: dict[int, ProbeOutcome], nodes: Iterable[NodeFact], found: Nodes, report: Report
) -> None:
    """Write the new names of renamed nodes into their markers, if locked.

    On the others a run that began before the rename is working under the old name.
    """
    found.answers |= {node_id: answer for node_id, answer in former.items() if node_id not in found.locks}
    jobs = [InitJob(node, None, former[node.id].owner) for node in nodes if node.id in former]
    for job in _marked(pool, jobs, found, report):
        _log.info("updated the marker of node %s, formerly %s", job.node.name, job.formerly)


def lock(
    nodes: Iterable[NodeFact],
    found: Nodes,
    asked: Asked,
    report: Report,
    stopping: Callable[[], bool],
    make_room: Callable[[], bool] = never,
    lock_holder: Callable[[str], LockHolder] = LockHolder,
) -> None:
    """Take the run lock of each node that answered; report those that another run holds.

    If this user may start no more processes, `make_room` must end one; it returns False if it cannot.  `lock_holder`:
    takes the lock with a path; raises StorageError if it cannot start to.

    Raises Busy if another run holds all of them, and Stopped if the run was asked to stop while it waited for one.
    """
    busy = []
    wanted = [node for node in nodes if not found.answers[node.id].error]
    # A fixed order prevents deadlocks between runs that wait.
    wanted.sort(key=lambda node: node.id)
    holders = _holders(wanted, asked, report, make_room, lock_holder)
    for node in wanted:
        run_lock = holders.get(node.id)
        if run_lock is None:
            continue
        io = found.ios.get(node.id)
        seconds = PROBE_SECONDS if io is None else io.probe_seconds
        try:
            if asked.wait:
                run_lock.ask()
            report.step(f"taking the run lock of {node.name}")
            taken = run_lock.answer(seconds, stopping)
            while not taken and asked.wait and not stopping():
                report.step(f"waiting for the run lock of {node.name}, held by {run_lock.holder()}")
                run_lock.ask(WAIT_SLICE)
                taken = run_lock.answer(seconds, stopping)
        except StorageError as error:
            run_lock.release()
            if code_of(error.reason) in (Code.LOCK_HANGS, Code.LOCK_STUCK):
                # Nothing is read from it, and no host relies on it: another process would hang as well.
                found.answers[node.id] = found.answers[node.id]._replace(error=error.reason)
            leave_out(node, error.reason, report, asked)
            continue
        if taken:
            found.locks[node.id] = run_lock
        elif stopping():
            found.locks |= holders  # some may get theirs at this moment
            found.release()
            raise Stopped
        else:
            busy.append(node)
            run_lock.release()
            found.busy[node.name] = run_lock
            why = Code.NODE_LOCKED_BY_RUN(run=run_lock.holder())
            report.left_out[node.name] = why
            # Overlapping runs are normal, and must not cause mail from cron.
            notes = report.failures if node.name in asked.nodes else report.overlaps
            notes.add(left_out_reason(node.name, why))
    if busy and len(busy) == len(wanted):
        found.release()
        raise Busy(
            f"another run is working on {', '.join(node.name for node in busy)}; nothing was done"
            " (--wait waits for it)"
        )


def _holders(
    nodes: Iterable[NodeFact],
    asked: Asked,
    report: Report,
    make_room: Callable[[], bool],
    lock_holder: Callable[[str], LockHolder],
) -> dict[int, LockHolder]:
    """Return a process for each run lock, by node id.

    All take their locks in parallel, so that one that hangs delays no other; with --wait one after the other.
    """
    holders: dict[int, LockHolder] = {}
    for node in nodes:
        assert node.root is not None
        while node.id not in holders:
            try:
                holders[node.id] = lock_holder(os.path.join(node.root, RUN_LOCK))
            except StorageError as error:
                if not make_room():
                    leave_out(node, error.reason, report, asked)
                    break
    if not asked.wait:
        for holder in holders.values():
            holder.ask()
    return holders
