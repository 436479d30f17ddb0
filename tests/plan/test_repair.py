from __future__ import annotations

from typing import Any

import pytest

from alpenhorn.extensions.registry import remote_io
from alpenhorn.io.base import Remote
from alpenhorn.io.default import DefaultRemote
from alpenhorn.model.nodes import GroupFact, NodeFact
from alpenhorn.model.pulls import PullFact
from alpenhorn.model.repair import BadCopy, GoodCopy
from alpenhorn.plan.repair import RepairDecision, RepairPlanner, Repairs
from tests.plan.facts import GROUP_FROM, GROUP_TO, MD5, node, remote, source

BROKEN = 2  # the node whose copies are bad; tests.plan.facts.node() is that one


def bad(*good: GoodCopy | int, **changes: Any) -> BadCopy:
    """A corrupt copy, and good ones on the nodes with these ids."""
    copies = tuple(GoodCopy(one, "Y", True) if isinstance(one, int) else one for one in good)
    return BadCopy(7, 1001, BROKEN, "X", "acq", "f", 100, MD5, copies, once_good=True)._replace(**changes)


def mend(
    copy: BadCopy, *nodes: NodeFact, remote: Any = remote_io, broken: NodeFact | None = None
) -> RepairDecision:
    groups = {id: GroupFact(id, f"group{id}", None, None) for id in (GROUP_FROM, GROUP_TO)}
    known = {one.id: one for one in (broken or node(), *nodes)}
    return RepairPlanner(known, groups, remote).choose(copy)


def place(id: int, **changes: Any) -> NodeFact:
    """A node in another group."""
    return source(**changes)._replace(id=id, name=f"node{id}")


def far(id: int, **changes: Any) -> NodeFact:
    return remote(**changes)._replace(id=id, name=f"node{id}")


def test_the_only_good_copy_is_the_source() -> None:
    assert mend(bad(1), source()) == RepairDecision(1)
    assert mend(bad(1, has_file="N"), source()) == RepairDecision(1)


@pytest.mark.parametrize(
    ("best", "others"),
    [
        (place(5), [far(1), far(3, archive=True)]),
        (place(5, archive=True), [place(1), far(3, archive=True)]),
        (far(5, archive=True), [far(1)]),
        (place(1), [place(5)]),
        (far(5), [place(1, active=False)]),
    ],
    ids=["same host", "archive", "archive elsewhere", "first by name", "active"],
)
def test_the_best_source(best: NodeFact, others: list[NodeFact]) -> None:
    for nodes in ([best, *others], [*others, best]):
        assert mend(bad(*(one.id for one in nodes)), *nodes) == RepairDecision(best.id)


def test_a_copy_that_was_never_good_is_not_repaired_and_is_reported() -> None:
    found = bad(1, once_good=False, found="its MD5 sum is 1", requested=9)
    told = mend(found, source())
    assert (told.source_id, told.under_way, told.found) == (0, False, "its MD5 sum is 1")
    assert "something else is at its path on node2" in told.why
    assert "alpenhorn file verify FILE node2" in told.why
    repairs = Repairs()
    repairs.add(found, told)
    assert [amount.example for amount in repairs.left.values()] == ["acq/f (its MD5 sum is 1)"]
    # One that is missing is no obstacle.
    assert mend(bad(1, has_file="N", once_good=False), source()) == RepairDecision(1)


def test_a_copy_about_to_be_deleted_is_the_last_resort() -> None:
    going = GoodCopy(1, "N", True)
    assert mend(bad(going, 5), place(1, archive=True), far(5)) == RepairDecision(5)
    assert mend(bad(GoodCopy(1, "M", True), 5), place(1, archive=True), far(5)) == RepairDecision(1)
    assert mend(bad(going), place(1, archive=True)) == RepairDecision(1)


@pytest.mark.parametrize(
    ("copy", "nodes", "why"),
    [
        (bad(), [], "no other node has a good copy"),
        (bad(4711), [], "no other node has a good copy"),
        (bad(BROKEN), [], "no other node has a good copy"),
        (bad(1), [source(active=False)], "no good copy can be read now: node1 is not active"),
        (
            bad(1),
            [remote(address=None)],
            "node1 cannot be reached from here: host there has no address"
            " (alpenhorn host modify there --address ADDRESS)",
        ),
        (bad(1), [remote(host=None)], "node1 cannot be reached from here: no host"),
        (bad(1), [source(io_class="Unheard")], "no storage class 'Unheard'"),
        (bad(1), [source(io_config="{")], "io_config of node node1 is not JSON"),
        (bad(1, 5), [place(1, active=False), far(5, username=None)], "node1 is not active; node5 cannot be"),
        (bad(1, acq=None, name=None), [source()], "the index has no row for the file"),
        (bad(1, size_b=None), [source()], "the index has no length for the file"),
        (bad(1, md5sum=None), [source()], "the index has no MD5 sum for the file"),
        (bad(1, size_b=-1), [source()], "invalid length or MD5 sum"),
        (bad(1, md5sum="zz"), [source()], "invalid length or MD5 sum"),
        (bad(1, name="../f"), [source()], "index"),
    ],
)  # fmt: skip
def test_copies_that_cannot_be_repaired_and_why(copy: BadCopy, nodes: list[NodeFact], why: str) -> None:
    found = mend(copy, *nodes)
    assert found.source_id == 0 and why in found.why and not found.under_way


def test_nothing_is_requested_into_an_inactive_node() -> None:
    for changes, why in (
        ({"active": False}, "alpenhorn node activate node2"),
        ({"host": None}, "alpenhorn node modify node2 --host HOST"),
        ({"group_id": 4711}, "the group of node node2 is not in the index"),
    ):
        found = mend(bad(1), source(), broken=node(**changes))
        assert found.source_id == 0 and why in found.why


def test_a_pending_request_is_not_duplicated() -> None:
    found = mend(bad(1, requested=4), source())
    assert found.source_id == 0 and found.under_way and "already pending" in found.why


def test_a_good_copy_in_the_same_group_stands_in_the_way_even_of_a_pending_request() -> None:
    sibling = node(3, active=False)
    found = mend(bad(1, 3, requested=4), source(), sibling)
    assert found.source_id == 0 and not found.under_way
    assert "its group has a good copy on node3" in found.why
    assert "alpenhorn file state FILE node2 --set Absent" in found.why


def test_ready_sources_come_first() -> None:
    class Tape(DefaultRemote):
        def ready(self, pull: PullFact) -> bool:
            assert (pull.node_from_id, pull.group_to_id, pull.file_id) == (1, GROUP_TO, 1001)
            return pull.source_ready

    def tape(of: NodeFact) -> Remote:
        return Tape(of, {}) if of.id == 1 else remote_io(of)

    offline = GoodCopy(1, "Y", False)
    # The request has it brought back.
    assert mend(bad(offline), source(), remote=tape) == RepairDecision(1)
    assert mend(bad(offline, 5), source(), far(5), remote=tape) == RepairDecision(5)
    assert mend(bad(1), source(), remote=tape) == RepairDecision(1)
    # A plain directory is always ready, whatever the column says.
    assert mend(bad(offline), source()) == RepairDecision(1)


def test_like_things_are_counted_with_an_example() -> None:
    repairs = Repairs()
    repairs.add(bad(1), RepairDecision(1))
    repairs.add(bad(1, file_id=1002, name="g", size_b=None), RepairDecision(1))
    repairs.add(bad(file_id=1003, requested=4), RepairDecision(0, "pending", under_way=True))
    repairs.add(bad(file_id=1004, name=None, size_b=-5), RepairDecision(0, "none"))
    assert repairs.requests == {(1, BROKEN): [1001, 1002]}
    ((amount),) = repairs.wanted.values()
    assert (amount.files, amount.bytes, amount.example) == (2, 100, "acq/f")
    assert [(one.files, one.bytes, one.example, one.request) for one in repairs.left.values()] == [
        (1, 100, "acq/f", 4),
        (1, 0, "file 1004", 0),
    ]
    assert (repairs.files, repairs.unrepairable) == (2, 1)
