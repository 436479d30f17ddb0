"""Which other source takes the place of the requested one, and when."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from alpenhorn.io.base import Refusal
from alpenhorn.model.nodes import NodeFact
from alpenhorn.model.pulls import Method, OtherSource
from alpenhorn.model.tasks import Blame
from alpenhorn.plan.pulls import Choice
from alpenhorn.plan.sources import Troubles
from alpenhorn.reasons import Code
from tests.plan.facts import DESTINATION, GROUP_TO, NOW, SOURCE, attempt, fact, node, planner, remote, source

OTHER, FURTHER = 4, 5


def other(id: int = OTHER, **changes: Any) -> OtherSource:
    return OtherSource(id, 100 + id, True, False)._replace(**changes)


def at(id: int = OTHER, **changes: Any) -> NodeFact:
    return node(id, **{"group_id": 100 + id, **changes})


AWAY = {"host": "there", "address": "there.example.org"}
OBSTACLES: dict[str, tuple[NodeFact, dict[str, Any], Troubles | None]] = {
    "inactive": (source(active=False), {}, None),
    "corrupt": (source(), {"source_has": "X"}, None),
    "missing": (source(), {"source_has": "N"}, None),
    "no row": (source(), {"source_has": None}, None),
    "suspect": (source(), {"source_has": "M"}, None),
    "absent": (source(), {}, Troubles(absent={SOURCE: Code.GROUP_WITHOUT_NODE()})),
    "no address": (remote(address=None), {}, None),
    "on tape": (source(io_class="LustreHSM"), {"source_ready": False}, None),
    "failed": (source(), {"attempt": attempt(NOW + 60, Blame.NETWORK)}, None),
    "read badly": (source(), {"attempt": attempt(NOW + 60, Blame.SOURCE)}, None),
}


@pytest.mark.parametrize("name", OBSTACLES)
def test_another_good_copy_takes_the_place_of_a_source_that_cannot_be_used(name: str) -> None:
    requested, changes, troubles = OBSTACLES[name]
    one = fact(**changes)
    plan = planner(requested, node(), at(), troubles=troubles)
    alone = plan.decide(one, NOW)
    assert alone.choice is not Choice.PULL and plan.lacks_source(one, NOW)
    decision = plan.decide(one._replace(others=(other(),)), NOW)
    assert decision.choice is Choice.PULL, decision
    assert decision.source is not None and decision.source.id == OTHER
    assert decision.instead == ("node1", alone.why) and decision.method is Method.LINK
    file = decision.file()
    assert file.other_copy == 100 + OTHER and file.request_id == one.request_id


@pytest.mark.parametrize("name", OBSTACLES)
def test_without_a_usable_copy_elsewhere_all_stays_as_it_was_but_nothing_is_cancelled(name: str) -> None:
    requested, changes, troubles = OBSTACLES[name]
    one = fact(**changes)
    plan = planner(requested, node(), at(active=False), troubles=troubles)
    alone = plan.decide(one, NOW)
    decision = plan.decide(one._replace(others=(other(),)), NOW)
    if alone.choice is Choice.CANCEL:
        assert decision.choice is Choice.SKIP and "node4 is not active" in decision.why
    else:
        assert (decision.choice, decision.why) == (alone.choice, alone.why)
        assert "node4 is not active" in decision.no_other
    gone = plan.decide(one._replace(others=(other(77),)), NOW)
    assert gone.choice is not Choice.CANCEL and gone.choice is not Choice.PULL


def test_a_usable_source_is_used_whatever_else_there_is() -> None:
    plan = planner(remote(), node(), at())
    for one in (fact(), fact(2, attempt=attempt(NOW - 1, Blame.NETWORK))):
        assert not plan.lacks_source(one, NOW)
        decision = plan.decide(one._replace(others=(other(),)), NOW)
        assert decision.source is not None and decision.source.id == SOURCE and decision.other is None


@pytest.mark.parametrize("blame", [Blame.DESTINATION, Blame.WORKER, Blame.UNKNOWN])
def test_a_failure_that_is_not_the_sources_delays_all(blame: Blame) -> None:
    plan = planner(source(), node(), at())
    one = fact(attempt=attempt(NOW + 60, blame))
    assert not plan.lacks_source(one, NOW)
    assert plan.decide(one._replace(others=(other(),)), NOW).choice is Choice.WAIT


def test_the_cheapest_comes_first_and_a_released_copy_last() -> None:
    limited = '{"bwlimit": "1 MB"}'
    nodes = [
        at(4, **AWAY, io_config=limited),
        at(5, **AWAY),
        at(6, io_config=limited),
        at(7),
        at(8),
    ]
    found = []
    others = [other(one.id) for one in nodes]
    while others:
        plan = planner(source(active=False), node(), *nodes)
        chosen = plan.decide(fact(others=tuple(others)), NOW).source
        assert chosen is not None
        found.append(chosen.id)
        others = [one for one in others if one.node_id != chosen.id]
    assert found == [7, 8, 6, 5, 4]
    released = (other(7, released=True), other(4))
    plan = planner(source(active=False), node(), *nodes)
    chosen = plan.decide(fact(others=released), NOW).source
    assert chosen is not None and chosen.id == 4


def test_each_source_waits_for_its_own_next_attempt() -> None:
    plan = planner(source(active=False), node(), at(), at(FURTHER))
    waiting = other(attempt=attempt(NOW + 60, Blame.NETWORK))
    decision = plan.decide(fact(others=(waiting, other(FURTHER))), NOW)
    assert decision.source is not None and decision.source.id == FURTHER
    none = plan.decide(fact(2, others=(waiting,)), NOW)
    assert none.choice is Choice.SKIP and "node4 failed, and the next attempt is not due" in none.no_other
    due = plan.decide(fact(3, others=(other(attempt=attempt(NOW - 1, Blame.NETWORK)),)), NOW)
    assert due.source is not None and due.source.id == OTHER


def test_a_silent_host_is_replaced_and_one_request_tries_it_when_it_is_due() -> None:
    troubles = Troubles()
    plan = planner(remote(), node(), at(), troubles=troubles)
    plan.trouble_with_host("there", Code.HOST_SILENT(error="no route"))
    decision = plan.decide(fact(others=(other(),)), NOW)
    assert decision.source is not None and decision.source.id == OTHER
    due = Troubles()
    due.held["there"] = (attempt(NOW - 1), Code.HOST_SILENT(error="no route"))
    plan = planner(remote(), node(), at(), troubles=due)
    sources = [plan.decide(fact(n, others=(other(),)), NOW).source for n in range(3)]
    assert [one and one.id for one in sources] == [SOURCE, OTHER, OTHER]


def test_a_group_that_takes_no_file_of_the_requested_source_takes_none_of_another() -> None:
    class Choosy:
        nodes = (node(),)

        def refuses(self, source: NodeFact) -> Refusal | None:
            return Refusal(Code.GROUP_WITHOUT_NODE(), True) if source.id == SOURCE else None

        def choose(self, pull: object, room: object) -> int:
            return DESTINATION

    plan = planner(source(), node(), at(), groups={GROUP_TO: Choosy()})
    assert not plan.lacks_source(fact(), NOW)
    assert plan.decide(fact(others=(other(),)), NOW).choice is Choice.WAIT
    nothing = planner(source(active=False), at(), groups={})
    assert nothing.decide(fact(others=(other(),)), NOW).choice is Choice.SKIP


def test_the_destination_is_looked_at_before_any_source() -> None:
    plan = planner(source(active=False), node(), at())
    for has, choice in (("Y", Choice.CANCEL), ("M", Choice.WAIT)):
        one = fact(at_group=((DESTINATION, has),), others=(other(),))
        assert plan.decide(one, NOW).choice is choice
    assert not plan.lacks_source(fact(at_group=((DESTINATION, "Y"),)), NOW)


def test_no_decision_needs_copies_that_are_not_read() -> None:
    """Where `lacks_source` says that the other copies do not matter, they do not."""
    number = itertools.count(1)
    for (requested, changes, troubles), has, more in itertools.product(
        OBSTACLES.values(), (None, "Y", "M", "X"), ({}, {"md5sum": None}, {"claimed_by": "x"})
    ):
        at_group = () if has is None else ((DESTINATION, has),)
        one = fact(next(number), **{**changes, **more}, at_group=at_group, once_good=(DESTINATION,))
        with_, without = (planner(requested, node(), at(), troubles=troubles) for _ in range(2))
        if not with_.lacks_source(one, NOW):
            decision = with_.decide(one._replace(others=(other(),)), NOW)
            same = without.decide(one, NOW)
            assert (decision.choice, decision.why) == (same.choice, same.why)
