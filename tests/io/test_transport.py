from __future__ import annotations

import pytest

from alpenhorn.errors import StorageError
from alpenhorn.extensions.registry import group_io, node_io
from alpenhorn.io.base import Group, Refusal
from alpenhorn.model.nodes import GroupFact, NodeFact
from alpenhorn.plan.pulls import Choice
from tests.io.room import Room
from tests.plan import facts

GROUP = GroupFact(20, "travel", "Transport", None)
DISKS = [facts.node(id) for id in (2, 3, 4)]


def chosen(room: Room, size_b: int = 100, nodes: list[NodeFact] | None = None) -> int | Refusal:
    group: Group = group_io(GROUP, DISKS if nodes is None else nodes)
    return group.choose(facts.fact(size_b=size_b), room)


def test_the_fullest_disk_on_which_a_file_still_fits_takes_it() -> None:
    assert chosen(Room(node2=500, node3=200, node4=300)) == 3
    assert chosen(Room(node2=500, node3=99, node4=300)) == 4
    assert chosen(Room(node2=500, node3=99, node4=100)) == 4


def test_of_two_equally_full_disks_the_first_by_name_takes_it() -> None:
    assert chosen(Room(node2=200, node3=200, node4=200)) == 2


def test_a_disk_whose_free_space_is_unknown_comes_last() -> None:
    assert chosen(Room(node2=None, node3=10**15, node4=0)) == 3
    assert chosen(Room(node2=None, node3=0, node4=0)) == 2


def test_a_file_that_fits_on_no_disk_is_reported_with_all_disks() -> None:
    assert chosen(Room(node2=1, node3=2, node4=3)) == Refusal(
        "no room on node2; no room on node3; no room on node4"
    )


def test_archive_nodes_are_ignored_and_named() -> None:
    group = group_io(GROUP, [facts.node(2, archive=True), facts.node(3)])
    assert [node.id for node in group.nodes] == [3]
    (warning,) = group.warnings
    assert "node2" in warning and "alpenhorn node modify node2 --no-archive" in warning
    assert group.choose(facts.fact(), Room(node2=10**9, node3=10**12)) == 3
    only = group_io(GROUP, [facts.node(2, archive=True)])
    misfit = only.choose(facts.fact(), Room(node2=10**9))
    assert misfit == Refusal("group travel has no disk on this host")


def test_files_of_nodes_on_other_hosts_wait_silently() -> None:
    group = group_io(GROUP, DISKS)
    assert group.refuses(facts.source()) is None
    misfit = group.refuses(facts.remote())
    assert misfit is not None and misfit.waits and "node1 is on there" in misfit.reason
    # Also where that host could not be reached at all.
    planner = facts.planner(facts.remote(address=None), *DISKS, groups={facts.GROUP_TO: group})
    decision = planner.decide(facts.fact(), facts.NOW)
    assert (decision.choice, decision.why) == (Choice.WAIT, misfit.reason)


def test_it_is_a_class_for_groups_only() -> None:
    with pytest.raises(StorageError, match="Transport of node node2 is for groups only"):
        node_io(facts.node(2, io_class="Transport"))


def test_several_disks_are_filled_in_one_run_one_after_the_other() -> None:
    """Planned files count: twice the length of a file is reserved on its disk."""
    group = group_io(GROUP, DISKS[:2])
    planner = facts.planner(facts.source(), *DISKS[:2], free_b=500, groups={facts.GROUP_TO: group})
    decisions = [planner.decide(facts.fact(number), facts.NOW) for number in range(1, 7)]
    assert [decision.node_id for decision in decisions] == [2, 2, 3, 3, 0, 0]
    assert "no room on node2" in decisions[-1].why and "no room on node3" in decisions[-1].why


def test_a_disk_that_cannot_be_written_or_is_taken_away_leaves_the_others() -> None:
    group = group_io(GROUP, DISKS)
    planner = facts.planner(facts.source(), *DISKS, groups={facts.GROUP_TO: group})
    planner.trouble_at_node(2, "node2 could not be written to in this run")
    assert planner.decide(facts.fact(1), facts.NOW).node_id == 3
    planner.node_absent(3, "it was deactivated or taken off this host")
    assert planner.decide(facts.fact(2), facts.NOW).node_id == 4
    planner.node_absent(4, "it was deactivated or taken off this host")
    assert "node4: it was deactivated or taken off this host" in planner.decide(facts.fact(3), facts.NOW).why
