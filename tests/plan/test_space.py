"""Room on a node: free space, required reserve, planned files, and reservations of others."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from alpenhorn.model.nodes import GIB
from alpenhorn.plan.space import Space
from tests.plan.facts import node

NODE = 2


def twice(size_b: int) -> int:
    return 2 * size_b


def room(free_b: int | None, total_b: int = 0, claimed_b: int = 0, **columns: object) -> Space:
    space = Space()
    space.open(node(NODE, **columns), free_b, total_b, claimed_b, twice)
    return space


def test_twice_the_size_must_be_free() -> None:
    assert not room(200).obstacle(NODE, 100)
    assert room(199).obstacle(NODE, 100)


def test_min_avail_stays_free() -> None:
    assert not room(GIB + 200, min_avail_gb=1.0).obstacle(NODE, 100)
    assert room(GIB + 199, min_avail_gb=1.0).obstacle(NODE, 100)


def test_a_node_below_min_avail_takes_not_even_an_empty_file() -> None:
    assert room(GIB - 1, min_avail_gb=1.0).obstacle(NODE, 0)
    assert not room(GIB, min_avail_gb=1.0).obstacle(NODE, 0)


def test_free_space_that_is_unknown_is_not_free() -> None:
    assert room(None).obstacle(NODE, 1)
    assert room(None).obstacle(NODE, 0)


def test_a_class_without_reservations_takes_everything() -> None:
    space = Space()
    space.open(node(NODE), None, 0, 0, lambda size_b: 0)
    assert not space.obstacle(NODE, 10**12)


def test_max_total_bounds_the_length_of_the_files() -> None:
    assert not room(10 * GIB, total_b=GIB - 100, max_total_gb=1.0).obstacle(NODE, 100)
    assert room(10 * GIB, total_b=GIB - 99, max_total_gb=1.0).obstacle(NODE, 100)


def test_files_being_pulled_count_against_max_total() -> None:
    space = room(10 * GIB, total_b=GIB - 150, max_total_gb=1.0)
    space.reserve(NODE, 100)
    assert space.obstacle(NODE, 100)
    space.settle(NODE, 100, None)
    assert not space.obstacle(NODE, 100)


def test_limits_that_are_no_numbers_stop_nothing_but_their_node() -> None:
    assert not room(10, max_total_gb=float("inf")).obstacle(NODE, 5)
    assert room(10**30, min_avail_gb=float("inf")).obstacle(NODE, 5)
    assert room(10**30, min_avail_gb=float("nan")).obstacle(NODE, 5)


def test_claims_of_others_count_as_used_space() -> None:
    assert room(1000, claimed_b=801).obstacle(NODE, 100)
    assert not room(1000, claimed_b=800).obstacle(NODE, 100)


def test_a_file_that_came_takes_its_space_and_no_longer_its_reservation() -> None:
    space = room(1000)
    assert space.reserve(NODE, 300) == 600
    assert space.obstacle(NODE, 300)
    space.settle(NODE, 300, 304)
    assert not space.obstacle(NODE, 348)
    assert space.obstacle(NODE, 349)


def test_nodes_have_their_own_accounts() -> None:
    space = Space()
    space.open(node(1), 200, 0, 0, twice)
    space.open(node(2), 200, 0, 0, twice)
    space.reserve(1, 100)
    assert space.obstacle(1, 100)
    assert not space.obstacle(2, 100)


@given(
    free_b=st.integers(0, 10_000),
    floor=st.integers(0, 5_000),
    total_b=st.integers(0, 5_000),
    limit=st.one_of(st.none(), st.integers(0, 10_000)),
    claimed_b=st.integers(0, 5_000),
    steps=st.lists(
        st.tuples(st.integers(0, 3_000), st.sampled_from(["stays", "comes", "fails"])), max_size=40
    ),
)
def test_a_planned_set_never_exceeds_the_room(
    free_b: int,
    floor: int,
    total_b: int,
    limit: int | None,
    claimed_b: int,
    steps: list[tuple[int, str]],
) -> None:
    space = room(
        free_b,
        total_b,
        claimed_b,
        min_avail_gb=floor / GIB,
        max_total_gb=None if limit is None else limit / GIB,
    )
    planned = came = 0
    for size_b, fate in steps:
        if space.obstacle(NODE, size_b):
            continue
        space.reserve(NODE, size_b)
        assert free_b - came - claimed_b - 2 * (planned + size_b) >= floor
        if limit is not None:
            assert total_b + came + planned + size_b <= limit
        if fate == "stays":
            planned += size_b
            continue
        space.settle(NODE, size_b, size_b if fate == "comes" else None)
        if fate == "comes":
            came += size_b
