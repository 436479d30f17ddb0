"""Jobs on the machines of a Dask cluster: a scheduler and workers as separate processes."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from alpenhorn.config import Transfer
from alpenhorn.fs.run_lock import RUN_LOCK, RunLock, job_byte
from alpenhorn.io.base import Node
from alpenhorn.model.checks import CheckFile, CheckJob
from alpenhorn.model.cluster import SILENCE, HoldJob, ShareJob
from alpenhorn.model.deletions import DeleteFile, DeleteJob
from alpenhorn.model.tasks import Done, Fate, Task, TaskKind, Verdict
from alpenhorn.reasons import Code, code_of
from alpenhorn.workers import cluster_task
from alpenhorn.workers.cluster import ClusterWorker
from alpenhorn.workers.cluster_child import Hello
from alpenhorn.workers.cluster_proof import MACHINE_SECONDS
from alpenhorn.workers.pool import Pool
from alpenhorn.workers.serving import message
from tests.fixtures.archive import wait_for
from tests.fixtures.dask import DaskCluster, DaskWorker, dask_cluster
from tests.io.nodes import make, put

pytestmark = pytest.mark.ci

ENDLESS_B = 2**40  # reading it takes many minutes
SUM = "781e5e245d69b566979b86e28d23f2c7"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    with dask_cluster(tmp_path_factory.mktemp("cluster") / "dask") as started:
        yield started


@pytest.fixture(scope="module")
def there(cluster: DaskCluster) -> DaskWorker:
    """A worker that no test ends."""
    return cluster.add(2)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    found = make(tmp_path / "root")
    put(tmp_path / "root", "acq/a", b"0123456789")
    with open(tmp_path / "root" / "acq" / "endless", "wb") as file:
        file.truncate(ENDLESS_B)
    return found


@pytest.fixture
def pool(cluster: DaskCluster) -> Iterator[Pool]:
    worker = ClusterWorker(Transfer(), cluster.address)
    with Pool(1, worker, at_end=worker.close) as started:
        yield started


@pytest.fixture
def umask() -> Iterator[int]:
    """A umask that the workers of Dask do not have."""
    before = os.umask(0o027)
    yield 0o027
    os.umask(before)


def checking(node: Node, at: str, *paths: str, deadline: float | None = None) -> Task:
    sizes = {"acq/endless": ENDLESS_B}
    files = tuple(CheckFile(1, 2, path, sizes.get(path, 10), SUM) for path in paths)
    return Task(TaskKind.CHECK, node.node.id, CheckJob(node.node, files), deadline=deadline, at=at)


def begun(pool: Pool, task: Task, worker: DaskWorker) -> psutil.Process:
    """Submit a task, and return the process that carries it out, once it reads the endless file."""
    pool.submit(task)
    wait_for(lambda: pool.wait(0.05) or pool.activity()[0].path == "acq/endless", "the job")
    # The process of the test before may have a moment left.
    return wait_for(
        lambda: len(found := worker.jobs()) == 1 and found[0], "the process of the job", 2 * SILENCE
    )


def the_end(pool: Pool, seconds: float = 90) -> Done:
    (done,) = wait_for(lambda: pool.wait(0.1), "the end of the task", seconds)
    return done


def ended(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def run_begins(node: Node) -> bool:
    with_lock = RunLock(Path(node.root, RUN_LOCK))
    try:
        return with_lock.acquire()
    finally:
        with_lock.release()


def test_a_job_is_done_there_and_its_process_ends_with_the_pool(
    cluster: DaskCluster, there: DaskWorker, node: Node, umask: int
) -> None:
    worker = ClusterWorker(Transfer(), cluster.address)
    with Pool(1, worker, at_end=worker.close) as pool:
        pool.submit(checking(node, there.address, "acq/a"))
        first = the_end(pool)
        child = wait_for(lambda: len(found := there.jobs()) == 1 and found[0], "one process", 2 * SILENCE)
        assert child.name() == "alpenhorn-job" and not run_begins(node)
        assert f"Umask:\t{umask:04o}" in Path(f"/proc/{child.pid}/status").read_text()
        pool.submit(checking(node, there.address, "acq/a", "acq/gone"))
        second = the_end(pool)
        assert there.jobs() == [child], "the second job needed a process of its own"
    assert [one.verdict for one in (*first.outcome, *second.outcome)] == [
        Verdict.GOOD,
        Verdict.GOOD,
        Verdict.MISSING,
    ]
    wait_for(lambda: ended(child), "the end of the process", 5)
    assert run_begins(node)


def test_a_fault_there_is_the_end_of_the_task_and_its_log_is_that_of_the_run(
    there: DaskWorker, node: Node, pool: Pool, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("alpenhorn").propagate = True
    odd = Task(TaskKind.CHECK, 1, CheckJob(node.node, (None,)), at=there.address)  # type: ignore[arg-type]
    pool.submit(odd)
    done = the_end(pool)
    assert done.fate is Fate.BROKEN and code_of(done.error) is Code.WORKER_FAILED
    assert "check job on node" in caplog.text and "Traceback" in caplog.text


@pytest.mark.parametrize("how", ["interrupt", "stop"])
def test_a_request_to_end_early_reaches_the_process(
    there: DaskWorker, node: Node, pool: Pool, how: str
) -> None:
    task = checking(node, there.address, "acq/a", "acq/endless")
    begun(pool, task, there)
    if how == "interrupt":
        pool.interrupt(task)
    else:
        pool.stop()
    done = the_end(pool)
    assert done.fate is Fate.DONE and [one.verdict for one in done.outcome] == [Verdict.GOOD]


def test_a_job_that_takes_too_long_is_killed_there_in_time(there: DaskWorker, node: Node, pool: Pool) -> None:
    child = begun(pool, checking(node, there.address, "acq/endless", deadline=6), there)
    done = the_end(pool)
    assert done.fate is Fate.TIMED_OUT and code_of(done.error) is Code.TASK_TIMED_OUT
    assert ended(child) and run_begins(node)


def test_a_process_that_is_killed_there_is_a_dead_worker(there: DaskWorker, node: Node, pool: Pool) -> None:
    begun(pool, checking(node, there.address, "acq/endless"), there).kill()
    done = the_end(pool)
    assert done.fate is Fate.DIED and code_of(done.error) is Code.WORKER_ENDED and "signal 9" in done.error
    pool.submit(checking(node, there.address, "acq/a"))
    assert the_end(pool).fate is Fate.DONE


@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGSTOP, marks=pytest.mark.slow)])
def test_when_a_machine_is_lost_its_job_has_ended_before_that_is_reported(
    cluster: DaskCluster, node: Node, pool: Pool, number: int
) -> None:
    """A stopped Dask worker is as silent as one behind a broken network, and its child is alive."""
    lost = cluster.add()
    child = begun(pool, checking(node, lost.address, "acq/endless"), lost)
    lost.process.send_signal(number)
    done = the_end(pool)
    assert done.fate is Fate.DIED and code_of(done.error) is Code.MACHINE_LOST
    assert ended(child) and run_begins(node)
    lost.end()


@pytest.mark.slow
def test_a_job_that_may_go_on_there_is_abandoned_and_keeps_the_next_run_away(
    there: DaskWorker, node: Node, pool: Pool
) -> None:
    child = begun(pool, checking(node, there.address, "acq/endless"), there)
    (watcher,) = [one for one in psutil.Process().children() if one.pid == pool_worker(pool)]
    watcher.kill()
    done = the_end(pool)
    assert done.fate is Fate.ABANDONED and code_of(done.error) is Code.MACHINE_UNWATCHED
    assert not ended(child) and not run_begins(node)
    lock = RunLock(Path(node.root, RUN_LOCK))
    assert not lock.acquire() and "other machines" in lock.holder()
    began = time.monotonic()
    assert lock.acquire(wait=True, timeout=2 * SILENCE), "the process did not end by itself"
    lock.release()
    assert time.monotonic() - began < SILENCE + 5 and ended(child)


def pool_worker(pool: Pool) -> int:
    (worker,) = pool._workers.values()
    return worker.pid


def test_a_machine_that_is_gone_before_a_task_costs_nothing(
    cluster: DaskCluster, node: Node, pool: Pool
) -> None:
    gone = cluster.add()
    pool.submit(checking(node, gone.address, "acq/a"))
    assert the_end(pool).fate is Fate.DONE
    gone.end()
    for _ in range(2):
        pool.submit(checking(node, gone.address, "acq/a"))
        done = the_end(pool)
        assert done.fate is Fate.DONE and done.outcome[0].verdict is Verdict.GOOD
    assert run_begins(node)


def test_a_session_that_was_idle_for_long_is_begun_anew(there: DaskWorker, node: Node, pool: Pool) -> None:
    pool.submit(checking(node, there.address, "acq/a"))
    assert the_end(pool).fate is Fate.DONE
    (child,) = there.jobs()
    child.send_signal(signal.SIGALRM)  # what the kernel does after SILENCE seconds
    pool.submit(checking(node, there.address, "acq/a"))
    assert the_end(pool).outcome[0].verdict is Verdict.GOOD
    assert child not in there.jobs()


def test_claims_expire_by_the_clock_of_the_machine(cluster: DaskCluster, node: Node, pool: Pool) -> None:
    """CLOCK_BOOTTIME of a machine that was started at another time."""
    other = cluster.add(prefix=("unshare", "--time", "--boottime", "10000000", "--fork", "--kill-child"))
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    put(Path(node.root), "acq/b", b"0123456789")
    late = DeleteJob(node.node, (DeleteFile(1, 2, "acq/a", 10, "Y"),), expires=now)
    valid = DeleteJob(node.node, (DeleteFile(1, 2, "acq/b", 10, "Y"),), expires=now + 600)
    found = []
    for job in (late, valid):
        pool.submit(Task(TaskKind.DELETE, node.node.id, job, at=other.address))
        found.append(the_end(pool).outcome)
    assert found[0].expired and not found[0].results and Path(node.root, "acq/a").exists()
    assert [one.verdict for one in found[1].results] == [Verdict.DELETED] and not found[1].expired
    other.end()


def test_a_machine_that_is_known_is_not_tried_again(
    cluster: DaskCluster, there: DaskWorker, node: Node, pool: Pool
) -> None:
    joined = cluster.add()
    known = frozenset({there.address})
    pool.submit(Task(TaskKind.SHARE, node.node.id, ShareJob(node.node, known), stage="run-1-1"))
    found = the_end(pool).outcome
    tried = {one.machine.address for one in found.proofs}
    assert joined.address in tried and there.address not in tried and found.registered == 1 + len(tried)
    known |= tried
    pool.submit(Task(TaskKind.SHARE, node.node.id, ShareJob(node.node, known), stage="run-1-2"))
    assert the_end(pool).outcome.proofs == ()
    joined.end()


def test_a_run_that_stops_does_not_wait_for_the_proof_of_a_machine_that_hangs(
    there: DaskWorker, node: Node, pool: Pool
) -> None:
    share = Task(TaskKind.SHARE, node.node.id, ShareJob(node.node), stage="run-1-1")
    there.process.send_signal(signal.SIGSTOP)
    try:
        pool.submit(share)
        wait_for(lambda: pool.wait(0.05) or Path(node.root, ".alpenhorn/run-1-1").exists(), "the proof")
        began = time.monotonic()
        pool.stop()
        done = the_end(pool)
    finally:
        there.process.send_signal(signal.SIGCONT)
    assert (
        done.outcome.proofs == ()
        and done.outcome.error == ""
        and time.monotonic() - began < MACHINE_SECONDS / 2
    )
    assert not Path(node.root, ".alpenhorn/run-1-1").exists()


# --- on a worker of Dask, without Dask ------------------------------------------------------------------


def test_a_message_that_is_delivered_twice_is_refused(
    node: Node, children: Callable[[], list[psutil.Process]]
) -> None:
    async def talk() -> None:
        hello = message(Hello(Transfer(), logging.INFO, 0o022))
        await cluster_task.begin("id", hello)
        with pytest.raises(ValueError):
            await cluster_task.begin("id", hello)
        ask = message(Task(TaskKind.PROBE, 1, HoldJob(node.node, job_byte())))
        data, how = await cluster_task.exchange("id", 1, ask, 0, 60)
        assert data and how == ""
        for number in (1, 3):
            with pytest.raises(LookupError):
                await cluster_task.exchange("id", number, ask, 0, 60)
        assert await cluster_task.exchange("other", 1, ask, 0, 60) == (b"", "is not there any more")
        assert await cluster_task.end("id")

    asyncio.run(talk())
    assert children() == []


def test_a_process_ends_with_the_worker_of_dask(cluster: DaskCluster, node: Node, pool: Pool) -> None:
    dying = cluster.add()
    pool.submit(checking(node, dying.address, "acq/a"))
    assert the_end(pool).fate is Fate.DONE
    (child,) = dying.jobs()
    dying.end()
    wait_for(lambda: ended(child), "the end of the process", 5)
