from __future__ import annotations

import multiprocessing
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from alpenhorn.coordinator.nodes import Nodes, leave_out, lock, make_ios, never, select_nodes
from alpenhorn.coordinator.planning import group_ios
from alpenhorn.coordinator.report import Asked, Report
from alpenhorn.errors import Busy, NotFound, Stopped
from alpenhorn.fs.run_lock import RUN_LOCK, RunLock
from alpenhorn.model.nodes import GroupFact, NodeFact, ProbeOutcome
from alpenhorn.scan.topology import Topology
from tests.fixtures.archive import PATIENCE
from tests.plan.facts import GROUP_TO, HERE, node

ALL = Asked()


def topology(*nodes: NodeFact) -> Topology:
    return Topology({one.id: one for one in nodes}, {GROUP_TO: GroupFact(GROUP_TO, "offsite", None, None)})


def real(tmp_path: Path, *ids: int) -> list[NodeFact]:
    for id in ids:
        (tmp_path / str(id)).mkdir()
    return [node(id, root=str(tmp_path / str(id))) for id in ids]


def answers(nodes: list[NodeFact]) -> Nodes:
    return Nodes(answers={one.id: ProbeOutcome(one.id) for one in nodes})


# --- which are meant -----------------------------------------------------------------------------------


def test_all_active_nodes_of_this_host_are_selected() -> None:
    known = topology(node(1), node(2, active=False), node(3, host="there"), node(4))
    report = Report()
    assert [one.id for one in select_nodes(known, HERE, ALL, report)] == [1, 4]
    assert (report.left_out, report.exit_status) == ({}, 0)


def test_a_named_node_that_cannot_be_used_is_a_failure_with_the_reason() -> None:
    known = topology(node(1), node(2, active=False), node(3, host="there"), node(4, host=None))
    report = Report()
    asked = Asked(nodes=("node2", "node1", "node3", "node4", "node1"))
    assert [one.id for one in select_nodes(known, HERE, asked, report)] == [1]
    assert "alpenhorn node activate node2" in report.left_out["node2"]
    assert "host there" in report.left_out["node3"]
    assert "node4" in report.left_out
    assert report.exit_status == 1


def test_an_unknown_name_is_reported() -> None:
    with pytest.raises(NotFound, match="'none'"):
        select_nodes(topology(node(1)), HERE, Asked(nodes=("node1", "none")), Report())


def test_leaving_out_a_node_that_was_not_named_is_a_warning() -> None:
    report = Report()
    leave_out(node(1), "not mounted", report, ALL)
    assert report.exit_status == 0
    assert report.warnings.lines() == ["node node1 is left out: not mounted"]


# --- one that is wrong stops no other ------------------------------------------------------------------


def test_a_node_of_unknown_storage_stops_no_other() -> None:
    ios, faults = make_ios([node(1, io_class="Unheard"), node(2), node(3, io_config="{")])
    assert (set(ios), set(faults)) == ({2}, {1, 3})
    assert "Unheard" in faults[1]
    assert "node3" in faults[3]


def test_a_group_that_is_wrong_or_gone_stops_no_other() -> None:
    report = Report()
    nodes = [node(1), node(2), node(3, group_id=30), node(4, group_id=40)]
    known = topology(*nodes)
    known.groups[30] = GroupFact(30, "spare", None, None)
    groups = group_ios(known, nodes, report)
    assert set(groups) == {30}
    told = "\n".join(report.failures.lines())
    assert "node1, node2" in told
    assert "node4" in told


# --- the run lock --------------------------------------------------------------------------------------


def test_a_node_that_another_run_holds_is_left_out_and_named(tmp_path: Path) -> None:
    nodes = real(tmp_path, 1, 2)
    report, found = Report(), answers(nodes)
    with RunLock(tmp_path / "1" / RUN_LOCK):
        lock(nodes, found, ALL, report, never)
    assert set(found.locks) == {2}
    assert "another run (pid" in report.left_out["node1"]
    found.release()
    assert not found.locks


def test_nothing_is_done_if_another_run_holds_all_nodes(tmp_path: Path) -> None:
    nodes = real(tmp_path, 1, 2)
    with (
        RunLock(tmp_path / "1" / RUN_LOCK),
        RunLock(tmp_path / "2" / RUN_LOCK),
        pytest.raises(Busy, match="node1, node2"),
    ):
        lock(nodes, answers(nodes), ALL, Report(), never)


def test_a_node_that_did_not_answer_is_not_locked(tmp_path: Path) -> None:
    nodes = real(tmp_path, 1, 2)
    found = answers(nodes)
    found.answers[1] = ProbeOutcome(1, error="not mounted")
    lock(nodes, found, ALL, Report(), never)
    assert set(found.locks) == {2}
    assert not (tmp_path / "1/.alpenhorn").exists()
    found.release()


def test_a_waiting_run_gives_up_when_asked_to_stop(tmp_path: Path) -> None:
    nodes = real(tmp_path, 1, 2)
    found = answers(nodes)
    with RunLock(tmp_path / "2" / RUN_LOCK), pytest.raises(Stopped):
        lock(nodes, found, Asked(wait=True), Report(), lambda: True)
    with RunLock(tmp_path / "1" / RUN_LOCK):
        pass


def _lock_and_release(nodes: list[NodeFact], rounds: int, barrier: Barrier) -> None:
    for _ in range(rounds):
        found = answers(nodes)
        barrier.wait(PATIENCE)
        lock(nodes, found, Asked(wait=True), Report(), never)
        assert len(found.locks) == len(nodes)
        found.release()


def test_two_runs_that_name_the_same_nodes_in_different_orders_both_get_them(tmp_path: Path) -> None:
    nodes = real(tmp_path, *range(1, 9))
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(2)
    both = [
        context.Process(target=_lock_and_release, args=(some, 30, barrier)) for some in (nodes, nodes[::-1])
    ]
    try:
        for process in both:
            process.start()
        for process in both:
            process.join(PATIENCE)
        assert [process.exitcode for process in both] == [0, 0]
    finally:
        for process in both:
            process.kill()
            process.join()
