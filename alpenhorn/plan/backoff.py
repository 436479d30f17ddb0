"""Schedule of retries after failures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alpenhorn.model.tasks import AttemptFact, Blame
from alpenhorn.reasons import Code

if TYPE_CHECKING:
    import random

FIRST = 60.0  # seconds
LONGEST = 86_400.0
FREE_DEATHS = 2
MOST_AHEAD = 900.0  # seconds that one host's clock may be ahead of another's
WAITS = Code.WAITS_AFTER_FAILURE()


def next_attempt(count: int, blame: str, now: float, rng: random.Random) -> float:
    """Return the time of the next attempt after `count` (≥ 1) failures: exponential from a minute to a day.

    Half of the delay is random, so that requests that failed together are not retried together ("equal jitter":
    M. Brooker, Exponential Backoff And Jitter, AWS Architecture Blog, 2015).  The first two attempts whose worker was
    killed are retried at once, since the file need not be the cause; after that it may be.
    """
    if blame == Blame.WORKER:
        count -= FREE_DEATHS
    if count <= 0:
        return now
    longest = min(LONGEST, 2 * FIRST * 2.0 ** min(count - 1, 30))
    return now + longest / 2 + rng.uniform(0, longest / 2)


def waits(attempt: AttemptFact | None, now: float) -> bool:
    """Return whether the next attempt is not due yet.

    If the clock was put back (the last attempt is in the future, or the next one further ahead than the longest delay),
    the attempt is due: the wait would be longer by that amount.
    """
    return (
        attempt is not None
        and now < attempt.next < now + LONGEST + MOST_AHEAD
        and attempt.last < now + MOST_AHEAD
    )
