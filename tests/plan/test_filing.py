from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from typing import Any

import pytest

from alpenhorn.model.nodes import NodeFact
from alpenhorn.model.policies import Destinations, Policy, PolicyCopy, PolicyFile
from alpenhorn.plan.filing import places, present_on, receivers, requests, source
from alpenhorn.plan.policies import lack

FREE = {10: 500, 20: 400, 30: 300, 40: 200}


def node(id: int, host: str | None = "here", site: str | None = None, **columns: Any) -> NodeFact:
    """A node in a group of its own, with ten times its number."""
    values = {"group_id": 10 * id, "active": True, "archive": True, **columns}
    return NodeFact(
        id,
        f"n{id}",
        "/srv",
        host=host,
        username=None,
        address=None,
        io_class=None,
        io_config=None,
        max_total_gb=None,
        min_avail_gb=0.0,
        avail_gb=None,
        site=site or host,
        **values,
    )


# Nodes 1 and 2 are here, 3 and 4 at the other site; node 9 is not an archive node.
NODES = (node(1), node(2), node(3, "there"), node(4, "there"), node(9, archive=False))


def world(nodes: Sequence[NodeFact] = NODES, host: str = "here", full: Sequence[int] = ()) -> Destinations:
    to = receivers(nodes)
    by_id = {one.id: one for one in nodes}
    return Destinations(
        by_id,
        places(nodes),
        to,
        frozenset(group for group, ids in to.items() if by_id[ids[0]].host == host),
        lambda group, size_b: group not in full and FREE.get(group, 100) >= size_b,
        lambda group: FREE.get(group, 100),
        host,
    )


def file(
    *copies: tuple[int, str], coming: tuple[int, ...] = (), age: float = 1e6, size_b: int = 1
) -> PolicyFile:
    rows = tuple(PolicyCopy(id, state[0], state[1], True, state.endswith("!")) for id, state in copies)
    return PolicyFile(1, "acq", "f", size_b, True, age, rows, coming)


def policy(copies: int = 2, sites: int = 1, name: str = "p", **more: Any) -> Policy:
    groups = frozenset(more.pop("groups", ()))
    return Policy(
        1, name, copies, sites, more.pop("min_age", 0), 0, (), groups, tuple(more.pop("required", ()))
    )


def groups(found: PolicyFile, *policies: Policy, **options: Any) -> list[int]:
    return [one.group_to for one in requests(found, policies, world(**options))]


@pytest.mark.parametrize(
    ("found", "wanted", "here", "there"),
    [
        # The group with the most room first; the other host may do the same, and the second one finds it requested.
        (file((9, "YY")), policy(2), [10, 20], [30, 40]),
        (file((9, "YY"), (1, "YY")), policy(2), [20], [30]),
        (file((9, "YY"), (1, "YY"), (2, "YY")), policy(2), [], []),
        # One copy is left to each site, and no more than are wanted are made at one.
        (file((9, "YY")), policy(2, sites=2), [10], [30]),
        (file((9, "YY")), policy(3, sites=2), [10, 20], [30, 40]),
        (file((1, "YY")), policy(2, sites=2), [], [30]),
        (file((1, "YY"), (2, "YY")), policy(2, sites=2), [], [30]),
        # What is on its way counts, and so does a copy that must be checked.
        (file((9, "YY"), coming=(30,)), policy(2), [10], [40]),
        (file((9, "YY"), (1, "MY")), policy(1), [], []),
        # What does not count: released, being deleted, corrupt, missing; a group with a copy is not asked again.
        (file((9, "YY"), (1, "YN")), policy(1), [20], [30]),
        (file((9, "YY"), (1, "YY!")), policy(1), [20], [30]),
        (file((9, "YY"), (1, "NY")), policy(1), [10], [30]),
        (file((9, "YY"), (1, "XY")), policy(1), [20], [30]),
        (file((9, "YY"), (1, "XY"), (2, "YY")), policy(2), [10], [30]),  # the corrupt one is replaced
        # Groups of the policy, and required ones.
        (file((9, "YY")), policy(2, groups=(20, 40)), [20], [40]),
        (file((9, "YY")), policy(2, required=(20,)), [20, 10], [30]),
        (file((9, "YY")), policy(1, required=(20,)), [20], []),
        (file((9, "YY"), (1, "YY")), policy(1, required=(20,)), [20], []),
        # No file without a wanted copy, a good one to copy, or the age.
        (file((9, "YN")), policy(2), [], []),
        (file((9, "MY")), policy(2), [], []),
        (file((9, "XY")), policy(2), [], []),
        (file(), policy(2), [], []),
        (file((9, "YY"), age=59.0), policy(2, min_age=60), [], []),
        (file((9, "YY"), age=60.0), policy(1, min_age=60), [10], [30]),
        (file((9, "YY"), size_b=450), policy(2), [10], []),
        (file((9, "YY"))._replace(verifiable=False), policy(2), [], []),
    ],
)
def test_what_each_host_requests(
    found: PolicyFile, wanted: Policy, here: list[int], there: list[int]
) -> None:
    assert groups(found, wanted) == here
    assert groups(found, wanted, host="there") == there


def test_of_policies_that_ask_for_the_same_no_more_than_the_largest_is_requested() -> None:
    found = file((9, "YY"))
    wanted = (
        policy(2, name="two"),
        policy(3, sites=2, name="sites"),
        policy(1, name="vault", required=(20,)),
    )
    made = requests(found, wanted, world())
    assert [(one.group_to, one.policy) for one in made] == [(20, "vault"), (10, "sites")]
    assert groups(found._replace(coming=(10, 20)), *wanted, host="there") == [30]


def test_copies_are_made_at_one_site_if_there_is_no_other() -> None:
    nodes = (node(1), node(2), node(9, archive=False))
    assert groups(file((9, "YY")), policy(2, sites=2), nodes=nodes) == [10, 20]


def test_a_group_whose_files_another_kind_of_node_may_receive_is_not_asked() -> None:
    nodes = (
        node(1),
        node(2, group_id=10, archive=False),
        node(3, host=None),
        node(4, active=False),
        node(9, archive=False),
    )
    assert groups(file((9, "YY")), policy(2), nodes=nodes) == []


def test_two_nodes_on_one_medium_have_one_copy() -> None:
    nodes = {one.id: one for one in (node(1, medium="m"), node(2, medium="m"), node(3))}
    assert present_on(file((1, "YY"), (2, "YY"), (3, "YY")), nodes) == [1, 3]


def test_a_retired_node_is_a_source_and_neither_counts_nor_receives() -> None:
    nodes = (node(1, retired=True), node(2), node(3, "there", retired=True), node(4, "there"))
    assert groups(file((1, "YY")), policy(1), nodes=nodes) == [20]
    assert groups(file((1, "YY")), policy(2, sites=2), nodes=nodes) == [20]
    (made,) = requests(file((1, "YY")), [policy(1)], world(nodes))
    assert made.node_from == 1


def test_the_source_is_the_cheapest_copy_that_stays() -> None:
    near = node(5, "near", site="here")
    to = world((*NODES, near))
    assert source(file((1, "YN"), (3, "YY")), to) == 3  # one that stays
    assert source(file((3, "YY"), (5, "YY"), (1, "YY")), to) == 1  # this host
    assert source(file((3, "YY"), (5, "YY")), to) == 5  # this site
    assert source(file((3, "YY!"), (4, "XY")), to) is None
    assert source(file((1, "YN")), to) == 1


def test_all_hosts_together_request_the_least_that_satisfies_the_policy() -> None:
    """Hosts in any order, with any copies to begin with: in the end nothing is lacking that can be had, and no more was
    requested than the best choice needs."""
    chance = random.Random(14)
    tried = 0
    for _ in range(3000):
        nodes = [node(id, chance.choice("abc"), archive=id < 9) for id in (*range(1, 7), 9)]
        to = world(nodes, "")
        copies = [(9, "YY"), *((id, "YY") for id in range(1, 7) if chance.random() < 0.3)]
        found = file(*copies)
        required = tuple(chance.sample(range(10, 70, 10), chance.choice((0, 0, 1, 2))))
        copies_wanted = chance.randint(max(1, len(required)), 4)
        wanted = policy(copies_wanted, chance.randint(1, min(3, copies_wanted)), required=required)
        there = present_on(found, to.nodes)
        free = [id for id in range(1, 7) if id not in there]
        best = next(
            (
                count
                for count in range(len(free) + 1)
                for some in itertools.combinations(free, count)
                if not lack(wanted, [*there, *some], to.places)
            ),
            None,
        )
        if best is None:
            continue
        tried += 1
        made: list[int] = []
        hosts = ["a", "b", "c"] * 2
        chance.shuffle(hosts)
        for host in hosts:
            now = found._replace(coming=tuple(made))
            made += groups(now, wanted, nodes=nodes, host=host)
        assert not lack(wanted, [*there, *(group // 10 for group in made)], to.places), (nodes, found, wanted)
        assert len(made) == best, (copies, wanted, made, best)
    assert tried > 1000
