from __future__ import annotations

import itertools

import pytest

from alpenhorn.model.policies import CopyPlace, Lack, Policy
from alpenhorn.plan.policies import lack, shown, spare

# Nodes by id: two at one site, two at another, one at an unknown site.
PLACES = {
    1: CopyPlace(10, "a"),
    2: CopyPlace(20, "a"),
    3: CopyPlace(30, "b"),
    4: CopyPlace(40, "b"),
    5: CopyPlace(50, None),
}


def policy(
    copies: int = 1, sites: int = 1, groups: tuple[int, ...] = (), required: tuple[int, ...] = ()
) -> Policy:
    return Policy(1, "p", copies, sites, 0, 0, (), frozenset(groups), required, {10: "ten", 30: "thirty"})


@pytest.mark.parametrize(
    ("wanted", "nodes", "short"),
    [
        (policy(2), (1, 2), Lack()),
        (policy(2, sites=2), (1, 2), Lack(sites=1)),
        (policy(2, sites=2), (1, 3), Lack()),
        (policy(3, sites=2), (1,), Lack(copies=2, sites=1)),
        (policy(2, sites=2), (1, 5), Lack(sites=1)),  # an unknown site may be the same one
        (policy(1), (5,), Lack()),
        (policy(2, groups=(10, 20)), (1, 3, 4), Lack(copies=1)),
        (policy(2, required=(30,)), (1, 2), Lack(groups=(30,))),
        (policy(2, required=(10, 30)), (), Lack(copies=2, groups=(10, 30))),
        (policy(1), (7,), Lack(copies=1)),  # a node that is not known counts for nothing
    ],
)
def test_what_is_lacking(wanted: Policy, nodes: tuple[int, ...], short: Lack) -> None:
    assert lack(wanted, nodes, PLACES) == short


def test_a_lack_in_words() -> None:
    assert shown(policy(), Lack(1, 1, (10,))) == "1 more copy, and another site, and a copy in group ten"
    assert shown(policy(), Lack(2, 2)) == "2 more copies, and 2 other sites"


def test_the_copies_that_may_fail_are_those_of_the_worst_case() -> None:
    """Whichever copies fail: no more than are spare, and one more is too many for some choice."""
    policies = [
        policy(copies, sites, groups, required)
        for copies in (1, 2, 3)
        for sites in (1, 2)
        for groups in ((), (10, 20, 30))
        for required in ((), (10,), (10, 30))
    ]
    for wanted in policies:
        for count in range(6):
            for nodes in itertools.combinations(PLACES, count):
                counted = [
                    node for node in nodes if not wanted.groups or PLACES[node].group_id in wanted.groups
                ]
                found = spare(wanted, nodes, PLACES)
                if lack(wanted, nodes, PLACES):
                    assert found < 0
                    continue

                def holds(lost: int, counted: list[int] = counted, wanted: Policy = wanted) -> bool:
                    return not any(
                        lack(wanted, set(counted) - set(some), PLACES)
                        for some in itertools.combinations(counted, lost)
                    )

                assert holds(found) and not holds(found + 1), (wanted, nodes, found)
