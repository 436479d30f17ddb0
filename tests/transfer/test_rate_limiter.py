from __future__ import annotations

import time

import pytest

from alpenhorn.errors import Stopped
from alpenhorn.transfer.rate_limiter import AHEAD, CATCH_UP, RateLimiter

RATE = 1_000_000


def never() -> bool:
    return False


@pytest.mark.parametrize("count", [1_000, 20_000, 250_000])
def test_the_rate_is_kept_from_the_first_byte_on(count: int) -> None:
    limiter = RateLimiter(RATE, never)
    began = time.monotonic()
    for taken in range(count, 500_001, count):
        limiter.wait(count)
        assert taken <= RATE * (time.monotonic() - began + AHEAD) + 1
    assert time.monotonic() - began >= 0.49


def test_time_lost_in_a_pause_is_not_made_up_for() -> None:
    limiter, other = RateLimiter(RATE, never), RateLimiter(RATE, never)
    other.wait(RATE // 2)  # takes half a second, in which nothing is taken from the first
    began = time.monotonic()
    limiter.wait(RATE // 2)
    assert time.monotonic() - began >= 0.5 - CATCH_UP - AHEAD - 0.01


def test_a_stop_takes_effect_at_once_at_any_rate() -> None:
    began = time.monotonic()
    limiter = RateLimiter(1024, lambda: time.monotonic() - began > 0.3)
    with pytest.raises(Stopped):
        limiter.wait(10**9)
    assert time.monotonic() - began < 3


def test_a_block_is_a_fraction_of_a_second_and_never_nothing() -> None:
    assert RateLimiter(RATE, never).block == RATE // 4
    assert RateLimiter(1, never).block == 4096
