"""When failed work is tried again."""

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
    """The time of the next attempt after `count` (≥ 1) failed ones: exponential from a minute to a day.

    Half of the wait is random, so that a thousand requests that failed together do not come back together
    ("equal jitter": M. Brooker, Exponential Backoff And Jitter, AWS Architecture Blog, 2015).
    A worker that was killed says nothing about the file it had, so the first two such attempts do not wait;
    after that the file may be what kills them.
    """
    if blame == Blame.WORKER:
        count -= FREE_DEATHS
    if count <= 0:
        return now
    longest = min(LONGEST, 2 * FIRST * 2.0 ** min(count - 1, 30))
    return now + longest / 2 + rng.uniform(0, longest / 2)


def waits(attempt: AttemptFact | None, now: float) -> bool:
    """Whether the next attempt is still to be waited for.

    One that was made in the future tells that the clock was put back since: it would be waited for by so much
    longer, so it is not waited for at all.  Nor is a next one further ahead than any wait is long.
    """
    return (
        attempt is not None
        and now < attempt.next < now + LONGEST + MOST_AHEAD
        and attempt.last < now + MOST_AHEAD
    )
