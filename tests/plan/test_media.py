"""Comparison of a medium with the index: every row of the table in design.md."""

from __future__ import annotations

import pytest

from alpenhorn.model.nodes import Identity, MediumFact
from alpenhorn.plan.media import SEEN_EVERY, Standing, judge, next_generation, worth_noting

INDEX, OTHER_INDEX = "a" * 32, "f" * 32
MEDIUM, OTHER = "b" * 32, "c" * 32
W, V, X = "1" * 16, "2" * 16, "3" * 16
CONFIRMED = MediumFact(1, MEDIUM, 5, W)
INTENDED = MediumFact(1, MEDIUM, 5, W, 6, V)
NEVER = MediumFact(1, MEDIUM, 0, None, 1, V)


def disk(generation: int, word: str, medium: str = MEDIUM, index: str = INDEX) -> Identity:
    return Identity(index, medium, generation, word)


@pytest.mark.parametrize(
    ("known", "found", "standing"),
    [
        (None, None, Standing.NEW),
        (MediumFact(1), None, Standing.NEW),  # the node was left out before it was ever seen right
        (NEVER, None, Standing.NEW),  # the run that adopted it was killed
        (NEVER, disk(1, V), Standing.UNCONFIRMED),
        (NEVER, disk(1, X), Standing.AHEAD),
        (NEVER, disk(4, X), Standing.AHEAD),
        (NEVER, disk(1, V, OTHER), Standing.AHEAD),
        (CONFIRMED, disk(5, W), Standing.AS_LEFT),
        (CONFIRMED, disk(5, V), Standing.BEHIND),
        (CONFIRMED, disk(4, V), Standing.BEHIND),
        (CONFIRMED, disk(6, V), Standing.AHEAD),
        (CONFIRMED, None, Standing.EXCHANGED),
        (CONFIRMED, disk(5, W, OTHER), Standing.EXCHANGED),
        (CONFIRMED, disk(99, X, OTHER), Standing.EXCHANGED),
        (INTENDED, disk(5, W), Standing.AS_LEFT),
        (INTENDED, disk(6, V), Standing.UNCONFIRMED),
        (INTENDED, disk(6, X), Standing.BEHIND),  # a clone that went on by itself, one step
        (INTENDED, disk(7, X), Standing.AHEAD),
        (INTENDED, disk(4, X), Standing.BEHIND),
        (INTENDED, None, Standing.EXCHANGED),
        (None, disk(1, W), Standing.AHEAD),
        (MediumFact(1), disk(1, W), Standing.AHEAD),
        (CONFIRMED, disk(5, W, index=OTHER_INDEX), Standing.FOREIGN),
        (None, disk(5, W, index=OTHER_INDEX), Standing.FOREIGN),
    ],
)
def test_each_state_of_index_and_disk(
    known: MediumFact | None, found: Identity | None, standing: Standing
) -> None:
    assert judge(known, found, INDEX, {}) is standing


def test_the_medium_of_another_node_is_a_clone_whatever_the_index_says_of_this_one() -> None:
    for known in (None, CONFIRMED, INTENDED, MediumFact(1, OTHER, 5, W)):
        assert judge(known, disk(5, W, OTHER), INDEX, {OTHER: "v1"}) is Standing.CLONE


def test_the_next_generation_is_above_all_that_is_known() -> None:
    assert next_generation(None, None) == 1
    assert next_generation(INTENDED, None) == 7
    assert next_generation(CONFIRMED, disk(9, X)) == 10


def test_a_node_is_noted_as_seen_now_and_then() -> None:
    fresh = CONFIRMED._replace(seen=1000.0)
    assert not worth_noting(fresh, 1000.0) and not worth_noting(fresh, 1000.0 + SEEN_EVERY - 1)
    assert worth_noting(fresh, 1000.0 + SEEN_EVERY)
    assert worth_noting(fresh._replace(wrong=True), 1000.0)
    assert worth_noting(CONFIRMED, 0.0) and worth_noting(None, 0.0)
    # A clock that was wrong once, and is right again, must not leave a node unseen for years.
    assert worth_noting(fresh, 500.0)
