from __future__ import annotations

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpenhorn.bwlimit import CurrentLimit
from alpenhorn.model.pulls import Method, PullFile, PullJob
from alpenhorn.model.tasks import Task, TaskKind
from alpenhorn.plan.limits import Limits
from alpenhorn.plan.shares import GAIN_SECONDS, LEAST_SHARE, LINK, STREAMS, Key, QueuedPull, Shares
from tests.plan.facts import MD5, node, source

RATE = 12_000_000
LIMITS = Limits(base=300.0, bytes_per_second=20e6, workers=8)
numbers = count(1)


def task(node_id: int = 2, size_b: int = 1000) -> Task:
    number = next(numbers)
    job = PullJob(
        source(),
        node(node_id, group_id=100 + node_id),
        Method.COPY,
        (PullFile(number, number, "acq/f", size_b, MD5),),
    )
    return Task(TaskKind.PULL, node_id, job, bytes=size_b, stage=f"run-1-{number}")


def add(shares: Shares, *keys: Key, node_id: int = 2, until: float | None = None, size_b: int = 1000) -> Task:
    made = task(node_id, size_b)
    shares.add(QueuedPull(made, keys or (LINK,), until))
    return made


def rates(tasks: list[Task]) -> list[int]:
    return [one.job.rate for one in tasks if isinstance(one.job, PullJob)]


def at(rate: int, until: float | None = None) -> dict[Key, CurrentLimit]:
    return {LINK: CurrentLimit(rate, until)}


def test_a_job_alone_has_the_whole_limit() -> None:
    shares = Shares(LIMITS, {})
    add(shares)
    assert rates(shares.start(at(RATE))) == [RATE]


@pytest.mark.parametrize(("number", "expected"), [(2, 2), (3, 3), (4, 4), (9, STREAMS)])
def test_a_few_jobs_share_it_alike_and_the_others_wait(number: int, expected: int) -> None:
    shares = Shares(LIMITS, {})
    tasks = [add(shares) for _ in range(number)]
    started = shares.start(at(RATE))
    assert [one.stage for one in started] == [one.stage for one in tasks[:expected]]
    assert rates(started) == [RATE // expected] * expected
    assert shares.start(at(RATE)) == []
    assert shares.waits(102) is (number > expected) and not shares.waits(103)


def test_the_next_job_gets_what_became_free() -> None:
    shares = Shares(LIMITS, {})
    add(shares), add(shares)
    first, second = shares.start(at(RATE))
    add(shares)
    assert shares.start(at(RATE)) == []
    shares.ended(first)
    assert rates(shares.start(at(RATE))) == [RATE // 2]
    shares.ended(second)
    add(shares), add(shares)
    assert rates(shares.start(at(RATE))) == [RATE // 4, RATE // 4]


def interrupted(shares: Shares, left_b: int) -> list[str]:
    return [one.stage for one in shares.interrupted(at(RATE), lambda task: left_b)]


def test_the_last_job_of_a_limit_ends_early_if_it_would_end_much_earlier_with_all_of_it() -> None:
    shares = Shares(LIMITS, {})
    far, near = int(GAIN_SECONDS * RATE), int(GAIN_SECONDS * RATE) - RATE
    add(shares)
    big = task(size_b=2 * far)._replace(stage="part-7-0")
    shares.add(QueuedPull(big, (LINK,), None))
    first, second = shares.start(at(RATE))
    assert rates([second]) == [RATE // 2]
    assert interrupted(shares, far) == []  # two share it
    assert shares.ended(first) is False
    waiting = add(shares)
    assert interrupted(shares, far) == []  # another one waits
    assert shares.withdraw(lambda one: False) == [waiting]
    assert interrupted(shares, near) == []
    assert interrupted(shares, far) == [big.stage]
    assert interrupted(shares, far) == []  # it was asked already
    assert shares.ended(second) is True
    # Then it has the whole limit, and others wait as long as it runs.
    shares.add(QueuedPull(big, (LINK,), None))
    (alone,) = shares.start(at(RATE))
    assert rates([alone]) == [RATE]
    assert interrupted(shares, far) == []
    add(shares)
    assert shares.start(at(RATE)) == []


def test_a_job_whose_file_would_begin_anew_goes_on_unless_that_pays() -> None:
    shares = Shares(LIMITS, {})
    size_b = int(2 * GAIN_SECONDS * RATE)
    add(shares), add(shares, size_b=size_b)
    first, second = shares.start(at(RATE))
    shares.ended(first)
    # With half of the limit the rest takes as long as the whole file with all of it.
    assert interrupted(shares, size_b // 2) == []
    assert interrupted(shares, size_b) == [second.stage]


def test_no_more_jobs_share_a_limit_than_there_are_workers_or_than_it_is_worth() -> None:
    for limits, rate, most in (
        (LIMITS._replace(workers=1), RATE, 1),
        (LIMITS, 2 * LEAST_SHARE, 2),
        (LIMITS, 1024, 1),
    ):
        shares = Shares(limits, {})
        for _ in range(5):
            add(shares)
        assert rates(shares.start(at(rate))) == [rate // most] * most


def test_the_lowest_of_several_limits_applies() -> None:
    shares = Shares(LIMITS, {})
    limits: dict[Key, CurrentLimit] = {
        LINK: CurrentLimit(RATE, None),
        2: CurrentLimit(RATE // 6, 50.0),
        1: CurrentLimit(0, 20.0),
    }
    add(shares, LINK, 2, 1)
    (one,) = shares.start(limits)
    assert rates([one]) == [RATE // 6]
    assert isinstance(one.job, PullJob) and one.job.until == 20.0


def test_a_waiting_node_does_not_delay_others() -> None:
    shares = Shares(LIMITS, {})
    for _ in range(6):
        add(shares, 2, node_id=2)
    other = add(shares, 3, node_id=3)
    started = shares.start({2: CurrentLimit(RATE, None), 3: CurrentLimit(RATE, None)})
    assert [one.node_id for one in started] == [2] * STREAMS + [3]
    assert started[-1].stage == other.stage and rates(started)[-1] == RATE


def test_a_job_that_its_node_cannot_run_yet_holds_no_share() -> None:
    shares = Shares(LIMITS, {2: 1})
    for node_id in (2, 2, 2, 3):
        add(shares, node_id=node_id)
    started = shares.start(at(RATE))
    assert [one.node_id for one in started] == [2, 3] and rates(started) == [RATE // 2] * 2


def test_while_there_is_no_limit_everything_goes_at_once_until_there_is_one() -> None:
    shares = Shares(LIMITS, {})
    for _ in range(7):
        add(shares)
    started = shares.start(at(0, until=99.0))
    assert rates(started) == [0] * 7
    assert {one.job.until for one in started if isinstance(one.job, PullJob)} == {99.0}


def test_a_slow_job_has_the_time_for_its_rate() -> None:
    shares = Shares(LIMITS, {})
    add(shares, size_b=10**9)
    (one,) = shares.start(at(10**5))
    assert one.deadline is not None and one.deadline > 10**9 / 10**5 + 300


def test_waiting_jobs_can_be_withdrawn() -> None:
    shares = Shares(LIMITS, {})
    old, new = add(shares, until=10.0), add(shares, until=20.0)
    assert shares.withdraw(lambda waiting: waiting.until is None or waiting.until > 15.0) == [old]
    assert [one.stage for one in shares.start(at(RATE))] == [new.stage]


def test_the_expected_share_is_the_least_that_a_job_may_get() -> None:
    shares = Shares(LIMITS, {})
    assert shares.expected([CurrentLimit(RATE, None), CurrentLimit(0, 5.0)]) == RATE // STREAMS
    assert shares.expected([CurrentLimit(0, 5.0)]) == 0 == shares.expected([])


@given(
    st.lists(st.tuples(st.sampled_from(["add", "end", "start"]), st.integers(0, 30)), max_size=120),
    st.integers(1, 9),
    st.dictionaries(st.sampled_from([2, 3]), st.integers(1, 3)),
)
def test_concurrent_jobs_stay_below_every_limit_and_all_are_done(
    steps: list[tuple[str, int]], workers: int, jobs: dict[int, int]
) -> None:
    shares = Shares(LIMITS._replace(workers=workers), jobs)
    limits: dict[Key, CurrentLimit] = {
        LINK: CurrentLimit(100_000, None),
        2: CurrentLimit(7_000_000, 3.0),
        3: CurrentLimit(0, None),
    }
    keys: list[tuple[Key, ...]] = [(LINK,), (LINK, 2), (2,), (3, LINK), (3,)]
    under: dict[str, tuple[Key, ...]] = {}
    running: list[Task] = []
    added = ended = 0

    def start() -> None:
        running.extend(shares.start(limits))
        for key, limit in limits.items():
            used = [rates([one])[0] for one in running if key in under[one.stage]]
            assert not limit.rate or (sum(used) <= limit.rate and min(used, default=1) > 0)
            assert not limit.rate or len(used) <= min(STREAMS, workers)
        for node_id, most in jobs.items():
            assert sum(one.node_id == node_id for one in running) <= most

    for what, number in steps:
        if what == "add":
            some = keys[number % len(keys)]
            made = add(shares, *some, node_id=3 if 3 in some else 2)
            under[made.stage] = some
            added += 1
        elif what == "end" and running:
            shares.ended(running.pop(number % len(running)))
            ended += 1
        else:
            start()
    for _ in range(added + 1):
        start()
        for one in running:
            shares.ended(one)
        ended += len(running)
        running.clear()
    assert ended == added and not shares.waits(102) and not shares.waits(103)
