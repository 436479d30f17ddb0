"""Pull jobs with a bandwidth limit."""

from __future__ import annotations

import os
import time

import pytest

from alpenhorn.io.default import DefaultNode
from alpenhorn.model.pulls import Method, PullFile, PullJob, PullResult
from alpenhorn.model.tasks import Blame, Verdict
from alpenhorn.workers.pull import pull
from tests.workers.test_pull import COPIES, PULLED, STAND_IN, World, verdicts, world, wrapper

__all__ = ["world"]

M = 10**6
# rsync pays for what it has sent when it sends more; what is on its way at the end is not paid for.
TOLERANCE = 1.15


def limited(
    world: World, method: Method, *files: PullFile, rate: int = 0, until: float | None = None
) -> dict[str, PullResult]:
    job = PullJob(world.source_fact, world.fact, method, files, rate, until)
    results = pull(job, DefaultNode(world.fact, {}), world.stage, world.transfer, world.report, None)
    return {result.file.path: result for result in results}


@pytest.mark.parametrize("method", COPIES)
@pytest.mark.parametrize(("number", "size_b"), [(1, 3 * M), (6, M // 2), (150, 20_000)])
def test_a_job_keeps_below_its_rate(world: World, method: Method, number: int, size_b: int) -> None:
    data = {f"acq/{i}": os.urandom(size_b) for i in range(number)}
    files = [world.put(path, content) for path, content in data.items()]
    began = time.monotonic()
    results = limited(world, method, *files, rate=2 * M)
    seconds = time.monotonic() - began
    assert verdicts(results) == dict.fromkeys(data, PULLED)
    assert all((world.here / path).read_bytes() == content for path, content in data.items())
    assert number * size_b / seconds <= 2 * M * TOLERANCE
    assert seconds < 30


@pytest.mark.parametrize("method", COPIES)
def test_a_partial_file_is_resumed_and_only_the_rest_takes_time(world: World, method: Method) -> None:
    world.stage = "part-7-abc"
    data = os.urandom(40 * M)
    file = world.put("acq/f", data)
    part = world.here / ".alpenhorn" / world.stage / file.path
    part.parent.mkdir(parents=True)
    part.write_bytes(data[: 39 * M])
    began = time.monotonic()
    assert verdicts(limited(world, method, file, rate=M)) == {file.path: PULLED}
    assert 0.9 / TOLERANCE < time.monotonic() - began < 20
    assert (world.here / file.path).read_bytes() == data


def test_a_hard_link_moves_nothing_and_waits_for_nothing(world: World) -> None:
    files = [world.put(f"acq/{i}", os.urandom(2 * M)) for i in range(5)]
    began = time.monotonic()
    results = limited(world, Method.LINK, *files, rate=1024)
    assert {result.method for result in results.values()} == {Method.LINK} and len(results) == 5
    assert time.monotonic() - began < 60  # and not three hours


@pytest.mark.parametrize("method", COPIES)
@pytest.mark.parametrize("size_b", [10_000, 5 * M])
def test_a_limited_job_stops_within_seconds(world: World, method: Method, size_b: int) -> None:
    files = [world.put(f"acq/{i}", os.urandom(size_b)) for i in range(5)]
    began = time.monotonic()
    world.report.stopping = lambda: time.monotonic() - began > 1
    results = limited(world, method, *files, rate=1500)
    assert time.monotonic() - began < 8
    assert len(results) < 5 and all(result.verdict is Verdict.PULLED for result in results.values())
    assert world.found() == set(results) and world.stages() == []


@pytest.mark.parametrize("method", COPIES)
def test_when_another_limit_begins_a_job_ends_and_leaves_out_the_rest(world: World, method: Method) -> None:
    files = [world.put(f"acq/{i}", os.urandom(200_000)) for i in range(20)]
    began = time.monotonic()
    results = limited(world, method, *files, rate=M, until=time.time() + 1.5)
    assert time.monotonic() - began < 10
    assert len(results) < 20 and all(result.verdict is Verdict.PULLED for result in results.values())
    assert world.found() == set(results) and world.stages() == []
    left = [file for file in files if file.path not in results]
    assert len(limited(world, method, *left)) == len(left)


@pytest.mark.parametrize("method", COPIES)
def test_when_another_limit_begins_a_big_file_keeps_its_part(world: World, method: Method) -> None:
    world.stage = "part-7-abc"
    data = os.urandom(20 * M)
    file = world.put("acq/f", data)
    assert limited(world, method, file, rate=4 * M, until=time.time() + 2) == {}
    part = world.here / ".alpenhorn" / world.stage / file.path
    length = part.stat().st_size
    assert 0 < length < 20 * M and part.read_bytes() == data[:length]
    assert verdicts(limited(world, method, file)) == {file.path: PULLED}
    assert (world.here / file.path).read_bytes() == data and world.stages() == []


@pytest.mark.parametrize("method", [*COPIES, Method.LINK])
def test_a_job_that_comes_to_its_turn_after_the_limit_has_changed_begins_nothing(
    world: World, method: Method
) -> None:
    files = [world.put(f"acq/{i}", b"data") for i in range(20)]
    assert limited(world, method, *files, until=time.time() - 1) == {}
    assert world.found() == set() and world.stages() == []


@pytest.mark.parametrize("method", COPIES)
def test_faults_are_found_under_a_limit_too(world: World, method: Method) -> None:
    good = world.put("acq/good", os.urandom(M))
    rotten = world.file("acq/rotten", b"y" * M)
    world.put("acq/rotten", b"x" * M)
    missing = world.file("acq/missing", b"data")
    results = limited(world, method, good, rotten, missing, rate=4 * M)
    source = (Verdict.FAILED, Blame.SOURCE)
    assert verdicts(results) == {"acq/good": PULLED, "acq/rotten": source, "acq/missing": source}


@pytest.mark.parametrize(
    ("rate", "until", "method"),
    [(M, None, Method.BBCP), (2000, None, Method.RSYNC_SSH), (M, 60.0, Method.RSYNC_SSH)],
)
def test_bbcp_is_left_out_where_it_cannot_keep_to_the_limit(
    world: World, monkeypatch: pytest.MonkeyPatch, rate: int, until: float | None, method: Method
) -> None:
    program = world.here.parent / "bin"
    program.mkdir()
    wrapper(program, "bbcp", f'echo "$@" >> {program / "said"}\n{STAND_IN}')
    world.transfer = world.transfer._replace(bbcp=str(program / "bbcp"))
    file = world.put("acq/plain", b"data")
    results = limited(
        world, Method.BBCP, file, rate=rate, until=None if until is None else time.time() + until
    )
    assert results[file.path].method is method
    assert (program / "said").exists() is (method is Method.BBCP)
    if method is Method.BBCP:
        assert f" -x {M} " in (program / "said").read_text()
