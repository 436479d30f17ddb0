"""Which machine of a cluster gets a task."""

from __future__ import annotations

import pytest

from alpenhorn.config import Sync
from alpenhorn.coordinator.machines import AGAIN, Machines
from alpenhorn.coordinator.report import Report
from alpenhorn.model.checks import CheckJob
from alpenhorn.model.cluster import Machine, MachineProof, ShareJob, ShareOutcome
from alpenhorn.model.deletions import DeleteJob
from alpenhorn.model.nodes import NodeFact, ProbeJob
from alpenhorn.model.pulls import Method, PullJob
from alpenhorn.model.tasks import Done, Fate, Job, Task, TaskKind
from alpenhorn.reasons import Code
from tests.plan import facts

A = Machine("tcp://a:1", "a", 2)
B = Machine("tcp://b:1", "b", 1)


def node(id: int, host: str = "here") -> NodeFact:
    return facts.node(id, name=f"n{id}", host=host)


def task(job: Job) -> Task:
    return Task(TaskKind.CHECK, job.node.id, job)


def check(of: NodeFact) -> Task:
    return task(CheckJob(of, ()))


@pytest.fixture
def report() -> Report:
    return Report()


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def machines(report: Report, clock: Clock) -> Machines:
    return Machines(Sync("here", 4, scheduler="tcp://s:1"), report, {1, 2, 3}, clock)


def share(machines: Machines, of: NodeFact, *proofs: Machine | MachineProof, error: str = "") -> None:
    """Try a node, with that outcome."""
    machines.plan(check(of))
    assert tried(machines) == [of.id]
    found = tuple(MachineProof(one) if isinstance(one, Machine) else one for one in proofs)
    outcome = ShareOutcome(found, error)
    ended(machines, of, outcome)


def tried(machines: Machines) -> list[int]:
    return sorted(one.node_id for one in machines.tasks(lambda: "stage"))


def ended(machines: Machines, of: NodeFact, outcome: ShareOutcome) -> None:
    machines.task_ended(Done(Task(TaskKind.SHARE, of.id, ShareJob(of)), Fate.DONE, outcome))


def test_a_node_is_tried_once_and_only_if_this_run_holds_it(machines: Machines) -> None:
    for of in (1, 2, 9):
        machines.plan(check(node(of)))
    assert tried(machines) == [1, 2]
    machines.plan(check(node(1)))
    machines.plan(task(ProbeJob(node(3))))
    assert tried(machines) == []


def test_machines_that_join_later_are_tried_while_there_is_work(machines: Machines, clock: Clock) -> None:
    share(machines, node(1), A, MachineProof(B, Code.MACHINE_OTHER_USER()))
    clock.now += AGAIN - 1
    machines.plan(check(node(1)))
    assert tried(machines) == []
    clock.now += 1
    machines.place(check(node(1)))
    (again,) = machines.tasks(lambda: "stage")
    assert again.job == ShareJob(node(1), frozenset({A.address, B.address}))
    clock.now += AGAIN
    machines.plan(check(node(1)))
    assert tried(machines) == [], "two tasks for one node at a time"
    late = Machine("tcp://c:1", "c", 8)
    ended(machines, node(1), ShareOutcome((MachineProof(late),), registered=3))
    assert machines.place(check(node(1))).at == late.address
    machines.release(Done(machines.place(check(node(1))), Fate.DONE))
    machines.plan(check(node(1)))
    assert tried(machines) == [1]


def test_one_worker_is_left_to_the_work_of_this_host(report: Report, clock: Clock) -> None:
    machines = Machines(Sync("here", 2, scheduler="tcp://s:1"), report, {1, 2, 3}, clock)
    for of in (1, 2, 3):
        machines.plan(check(node(of)))
    for of in (1, 2, 3):
        assert tried(machines) == [of] and tried(machines) == []
        assert [one.node_id for one in machines.trying()] == [of]
        ended(machines, node(of), ShareOutcome())
    alone = Machines(Sync("here", 1, scheduler="tcp://s:1"), report, {1, 2}, clock)
    for of in (1, 2):
        alone.plan(check(node(of)))
    assert tried(alone) == [1, 2], "its only worker connects once"


def test_a_scheduler_that_cannot_be_used_is_not_asked_again(machines: Machines, clock: Clock) -> None:
    share(machines, node(1), error=Code.SCHEDULER_UNUSABLE(scheduler="tcp://s:1", why="refused"))
    clock.now += AGAIN
    for of in (1, 2):
        machines.plan(check(node(of)))
    assert tried(machines) == []


def test_a_cluster_without_workers_is_reported_unless_one_joined_later(
    machines: Machines, report: Report, clock: Clock
) -> None:
    machines.finish()
    ended(machines, node(1), ShareOutcome())
    machines.finish()
    assert not list(report.warnings.lines()), "the run did not ask the scheduler"
    ended(machines, node(1), ShareOutcome((MachineProof(A),), registered=1))
    ended(machines, node(1), ShareOutcome(registered=0))
    machines.finish()
    assert not list(report.warnings.lines())
    without = Machines(Sync("here", 4, scheduler="tcp://s:1"), report, {1}, clock)
    ended(without, node(1), ShareOutcome(registered=0))
    without.finish()
    (line,) = report.warnings.lines()
    assert "no worker is registered" in line and "queue" in line


def test_without_a_scheduler_nothing_is_tried(report: Report) -> None:
    machines = Machines(Sync("here", 4), report, {1}, Clock())
    machines.plan(check(node(1)))
    assert tried(machines) == []


def test_each_machine_gets_as_many_jobs_as_it_has_threads_and_the_rest_is_done_here(
    machines: Machines,
) -> None:
    assert machines.place(check(node(1))).at == ""
    share(machines, node(1), A, B)
    placed = [machines.place(check(node(1))) for _ in range(4)]
    assert sorted(one.at for one in placed) == ["", A.address, A.address, B.address]
    machines.release(Done(placed[0], Fate.DONE))
    assert machines.place(check(node(1))).at == placed[0].at


def test_a_machine_that_may_still_be_busy_gets_nothing_more(machines: Machines) -> None:
    share(machines, node(1), B)
    placed = machines.place(check(node(1)))
    machines.release(Done(placed, Fate.ABANDONED, error=Code.MACHINE_UNWATCHED(machine=B.address)))
    assert placed.at == B.address and machines.place(check(node(1))).at == ""


def test_a_lost_machine_is_reported_once_and_gets_nothing_more(machines: Machines, report: Report) -> None:
    share(machines, node(1), A)
    placed = [machines.place(check(node(1))) for _ in range(2)]
    for one in placed:
        machines.release(Done(one, Fate.DIED, error=Code.MACHINE_LOST(machine=A.address, why="gone")))
    assert machines.place(check(node(1))).at == ""
    assert len(list(report.warnings.lines())) == 1


def test_a_machine_does_a_job_only_if_it_shares_all_nodes_of_this_host_that_the_job_uses(
    machines: Machines,
) -> None:
    share(machines, node(1), A, B)
    share(machines, node(2), B)

    def at(job: Job) -> str:
        placed = machines.place(task(job))
        machines.release(Done(placed, Fate.DONE))
        return placed.at

    def pull(source: NodeFact) -> PullJob:
        return PullJob(source, node(1), Method.COPY, ())

    assert at(pull(node(2))) == B.address
    assert at(pull(node(9))) == ""
    assert at(pull(node(9, "elsewhere"))) in (A.address, B.address)
    assert at(DeleteJob(node(1), (), (node(2),))) == B.address
    assert at(DeleteJob(node(1), (), (node(2), node(3)))) == ""
    assert tried(machines) == [3], "a keeper that is known late must be tried"
    assert at(DeleteJob(node(1), (), (), remote=(node(9, "elsewhere"),))) in (A.address, B.address)
    assert at(ProbeJob(node(1))) == ""


def test_a_machine_that_fails_is_one_warning_with_node_machine_reason_and_remedy(
    machines: Machines, report: Report
) -> None:
    share(machines, node(1), MachineProof(A, Code.MACHINE_LOCKS_FAIL(root="/data")), B)
    (line,) = report.warnings.lines()
    assert all(word in line for word in ("a (tcp://a:1)", "n1", "/data", "local_lock"))
    assert machines.place(check(node(1))).at == B.address


def test_a_cluster_that_cannot_be_tried_is_one_warning(machines: Machines, report: Report) -> None:
    for of in (1, 2):
        outcome = ShareOutcome(error=Code.SCHEDULER_UNUSABLE(scheduler="tcp://s:1", why="refused"))
        machines.task_ended(Done(Task(TaskKind.SHARE, of, ShareJob(node(of))), Fate.DONE, outcome))
    assert len(list(report.warnings.lines())) == 1
    ended = Done(Task(TaskKind.SHARE, 3, ShareJob(node(3))), Fate.TIMED_OUT, error=Code.WORKER_HANGS())
    machines.task_ended(ended)
    assert len(list(report.warnings.lines())) == 2


def test_jobs_with_objects_stay_on_this_host(machines: Machines) -> None:
    """Another machine has neither the state of the node nor the configuration of its service."""
    objects = node(2)._replace(io_class="Rclone", io_config='{"remote": "cloud:bucket"}')
    unknown = node(3)._replace(io_class="NoSuchClass")
    share(machines, node(1), A)
    for other in (objects, unknown):
        machines.plan(check(other))
        assert tried(machines) == [] and machines.place(check(other)).at == ""
        for job in (PullJob(other, node(1), Method.COPY, ()), DeleteJob(node(1), (), (other,))):
            assert machines.place(task(job)).at == ""
    there = objects._replace(host="there")
    for job in (PullJob(there, node(1), Method.OBJECTS, ()), DeleteJob(node(1), (), remote=(there,))):
        assert machines.place(task(job)).at == ""
    assert machines.place(check(node(1))).at == A.address
