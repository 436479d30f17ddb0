from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpenhorn.model.tasks import AttemptFact, Blame
from alpenhorn.plan import backoff
from alpenhorn.plan.backoff import next_attempt

MINUTE, DAY = 60.0, 86_400.0
NOW = 1_000_000_000.0


def waits(count: int, blame: str = Blame.NETWORK, times: int = 300) -> list[float]:
    rng = random.Random(count)
    return [next_attempt(count, blame, NOW, rng) - NOW for _ in range(times)]


@given(st.integers(1, 10**9), st.integers(0, 2**32))
def test_the_wait_is_from_a_minute_to_a_day(count: int, seed: int) -> None:
    wait = next_attempt(count, Blame.SOURCE, NOW, random.Random(seed)) - NOW
    assert MINUTE <= wait <= DAY


def test_the_first_wait_is_about_a_minute_and_the_last_about_a_day() -> None:
    assert max(waits(1)) <= 2 * MINUTE
    assert min(waits(30)) >= DAY / 2


def test_each_failure_doubles_the_wait() -> None:
    for count in range(1, 9):
        assert min(waits(count + 1)) >= max(waits(count)) * 0.99


def test_retries_of_simultaneous_failures_are_spread() -> None:
    spread = waits(5)
    assert max(spread) - min(spread) > 0.4 * max(spread)


@pytest.mark.parametrize("count", [1, 2])
def test_the_first_two_deaths_of_a_worker_cost_no_wait(count: int) -> None:
    assert set(waits(count, Blame.WORKER)) == {0.0}


def test_after_two_deaths_the_file_is_suspected() -> None:
    third = waits(3, Blame.WORKER)
    assert min(third) >= MINUTE
    assert max(third) <= 2 * MINUTE


@pytest.mark.parametrize(
    ("last", "next_", "waiting"),
    [
        (NOW - 10, NOW + 50, True),
        (NOW - 60, NOW, False),
        (NOW + 300, NOW + 360, True),  # by a host whose clock is five minutes ahead
        (NOW + 3600, NOW + 3660, False),  # the clock was put back by an hour
        (NOW + 3600 - DAY / 2, NOW + 3600, True),
        (NOW - 10, NOW + DAY, True),
        (NOW - 10, NOW + 2 * DAY, False),  # no wait is that long
    ],
)
def test_an_attempt_is_waited_for_unless_it_was_made_in_the_future(
    last: float, next_: float, waiting: bool
) -> None:
    assert backoff.waits(AttemptFact(1, last, next_, "network", ""), NOW) is waiting
    assert not backoff.waits(None, NOW)
