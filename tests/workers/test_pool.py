import contextlib
import logging
import os
import random
import resource
import select
import signal
import subprocess
import sys
import time

import psutil
import pytest

from alpenhorn import logs
from alpenhorn.errors import Refused, StorageError
from alpenhorn.fs.command import run
from alpenhorn.model.nodes import NodeFact, ProbeJob
from alpenhorn.model.tasks import Fate, Task, TaskKind
from alpenhorn.reasons import Code
from alpenhorn.workers.pool import CLOSE_GRACE, Pool
from alpenhorn.workers.serving import INTERRUPT, PROGRESS_EVERY, TaskEnded
from tests.fixtures.archive import wait_for

SOON = 30


pytestmark = pytest.mark.usefixtures("nothing_is_left")


def _pipe():
    read, write = os.pipe()
    yield Pipe(read, write)
    os.close(read)
    os.close(write)


pipe = pytest.fixture(_pipe, name="pipe")
gate = pytest.fixture(_pipe, name="gate")


class Pipe:
    """A named pipe, which workers open by its path instead of inheriting it."""

    def __init__(self, read, write):
        self.read_fd, self.write_fd = read, write
        self.path = f"/proc/{os.getpid()}/fd"

    def tell(self, text):
        """Write a line, in a worker."""
        with open(f"{self.path}/{self.write_fd}", "w") as file:
            file.write(f"{text}\n")

    def hear(self, seconds=SOON):
        """Read a line, in the test; return None on a time-out."""
        if not select.select([self.read_fd], [], [], seconds)[0]:
            return None
        line = b""
        while not line.endswith(b"\n"):
            line += os.read(self.read_fd, 1)
        return line.decode().strip()

    def pass_on(self):
        """Wait for a line of `open_gate`, in a worker."""
        with open(f"{self.path}/{self.read_fd}", "rb", buffering=0) as file:
            file.read(1)


def task(name="", node=1, deadline=None, network=False):
    fact = NodeFact(node, "n", None, 1, None, None, None, True, False, None, None, None, 0.0, None)
    return Task(TaskKind.PROBE, node, ProbeJob(fact), deadline=deadline, stage=str(name), network=network)


def name_of(task, reporter):
    return task.stage


def all_done(pool):
    found = []
    while done := pool.wait(SOON):
        found += done
    return found


@pytest.fixture
def workers(children):
    return children


def gone(pid, seconds=SOON):
    try:
        pidfd = os.pidfd_open(int(pid))
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([pidfd], [], [], seconds)[0])
    finally:
        os.close(pidfd)


# --- the plain case ------------------------------------------------------------------------------------


def test_every_task_is_answered_with_its_outcome():
    with Pool(3, lambda task, reporter: task.stage * 2) as pool:
        for number in range(500):
            pool.submit(task(number, node=number % 7))
        found = all_done(pool)
    assert sorted(int(done.task.stage) for done in found) == list(range(500))
    assert all(done.fate is Fate.DONE and done.outcome == done.task.stage * 2 for done in found)
    assert all(done.error == "" and done.seconds >= 0 for done in found)


def test_wait_returns_at_once_when_there_is_nothing_to_wait_for():
    with Pool(1, name_of) as pool:
        assert pool.wait(None) == []


def test_wait_returns_nothing_when_its_time_is_over(gate):
    with Pool(1, lambda task, reporter: gate.pass_on()) as pool:
        pool.submit(task())
        assert pool.wait(0) == []
        assert pool.wait(0.05) == []
        assert pool.running() == 1
        os.write(gate.write_fd, b".")
        assert [done.fate for done in pool.wait(SOON)] == [Fate.DONE]


def test_large_tasks_and_outcomes_come_through():
    big = "x" * 5_000_000
    with Pool(2, name_of) as pool:
        for _ in range(4):
            pool.submit(task(big))
        assert [done.outcome == big for done in all_done(pool)] == [True] * 4


def test_pool_counts_queued_and_running_tasks_and_idle_workers(workers):
    with Pool(2, name_of) as pool:
        for node in (1, 1, 1, 2):
            pool.submit(task(node=node))
        assert (pool.queued(), pool.running(), pool.idle_workers()) == (4, 0, 2)
        assert (pool.load(1), pool.load(2), pool.load(3)) == (3, 1, 0)
        pool.wait(0)
        assert pool.queued() + pool.running() + pool.idle_workers() <= 5
        all_done(pool)
        assert (pool.queued(), pool.running(), pool.idle_workers(), pool.load(1)) == (0, 0, 2, 0)


def test_a_pool_can_be_used_again_after_it_ran_dry():
    with Pool(1, name_of) as pool:
        for name in "ab":
            pool.submit(task(name))
            assert [done.outcome for done in all_done(pool)] == [name]


# --- what is decided late ------------------------------------------------------------------------------


def test_a_task_is_decided_when_a_worker_is_to_have_it_and_not_before(gate):
    asked = []

    def decide(task):
        asked.append(task.stage)
        return task._replace(stage=f"{task.stage}!")

    with Pool(1, lambda task, reporter: (gate.pass_on(), task.stage)) as pool:
        pool.decide_late(TaskKind.PROBE, decide)
        for name in "ab":
            pool.submit(task(name))
        assert asked == []
        pool.wait(0)
        assert asked == ["a"]
        os.write(gate.write_fd, b".")
        (done,) = pool.wait(SOON)
        assert (done.task.stage, done.outcome[1]) == ("a!", "a!")
        pool.wait(0)
        assert asked == ["a", "b"]
        os.write(gate.write_fd, b".")
        assert len(pool.wait(SOON)) == 1


def test_a_task_decided_against_goes_to_no_worker_and_the_next_one_does():
    with Pool(2, name_of) as pool:
        pool.decide_late(TaskKind.PROBE, lambda task: task if int(task.stage) % 5 == 0 else None)
        for number in range(50):
            pool.submit(task(number, node=number % 3))
        found = all_done(pool)
        assert sorted(int(done.outcome) for done in found) == list(range(0, 50, 5))
        for number in (1, 2, 3):
            pool.submit(task(number))
        assert pool.wait(None) == []
        assert (pool.queued(), pool.running()) == (0, 0)


def test_only_tasks_of_that_kind_are_decided_late():
    with Pool(1, name_of) as pool:
        pool.decide_late(TaskKind.DELETE, lambda task: None)
        pool.submit(task("a"))
        assert [done.outcome for done in all_done(pool)] == ["a"]


def test_an_exception_while_deciding_is_raised_and_the_task_stays():
    def decide(task):
        raise Refused("the index is away")

    with Pool(1, name_of) as pool:
        pool.decide_late(TaskKind.PROBE, decide)
        pool.submit(task("a"))
        with pytest.raises(Refused):
            pool.wait(0)
        assert (pool.queued(), pool.running()) == (1, 0)
        pool.decide_late(TaskKind.PROBE, lambda task: task)
        assert [done.outcome for done in all_done(pool)] == ["a"]


def test_no_task_of_a_node_at_its_limit_is_decided(gate):
    asked = []
    with Pool(2, lambda task, reporter: gate.pass_on()) as pool:
        pool.limit(1, 1)
        pool.decide_late(TaskKind.PROBE, lambda task: asked.append(task.stage) or task)
        for name in "ab":
            pool.submit(task(name))
        pool.wait(0)
        assert asked == ["a"]
        os.write(gate.write_fd, b"..")
        assert len(all_done(pool)) == 2


# --- who gets a turn -----------------------------------------------------------------------------------


def test_nodes_take_turns_and_each_keeps_its_order():
    with Pool(1, name_of) as pool:
        for node, count in ((1, 5), (2, 2), (3, 3)):
            for number in range(count):
                pool.submit(task(f"{node}{number}", node))
        order = [done.outcome for done in all_done(pool)]
    assert order == ["10", "20", "30", "11", "21", "31", "12", "32", "13", "14"]


def test_a_node_that_comes_later_does_not_wait_for_a_long_queue():
    with Pool(1, name_of) as pool:
        for number in range(100):
            pool.submit(task(number))
        first = len(pool.wait(SOON))
        pool.submit(task("late", node=2))
        order = [done.outcome for done in all_done(pool)]
    assert first < 10
    assert order.index("late") <= 2


def test_one_node_without_a_limit_may_have_all_workers(pipe, gate):
    with Pool(3, lambda task, reporter: (pipe.tell("started"), gate.pass_on())) as pool:
        for _ in range(3):
            pool.submit(task())
        pool.wait(0)
        assert [pipe.hear() for _ in range(3)] == ["started"] * 3
        os.write(gate.write_fd, b"...")
        all_done(pool)


def test_no_more_tasks_of_a_node_run_than_its_limit(pipe, gate):
    with Pool(3, lambda task, reporter: (pipe.tell("started"), gate.pass_on())) as pool:
        pool.limit(1, 1)
        for _ in range(3):
            pool.submit(task())
        for left in (2, 1, 0):
            pool.wait(0)
            assert pipe.hear() == "started"
            assert pipe.hear(0.05) is None
            assert (pool.running(), pool.queued()) == (1, left)
            os.write(gate.write_fd, b".")
            assert len(pool.wait(SOON)) == 1


def test_a_node_at_its_limit_leaves_the_other_workers_to_others(pipe, gate):
    with Pool(3, lambda task, reporter: (pipe.tell(task.node_id), gate.pass_on())) as pool:
        pool.limit(1, 1)
        for node in (1, 1, 1, 2, 3):
            pool.submit(task(node=node))
        pool.wait(0)
        assert {pipe.hear() for _ in range(3)} == {"1", "2", "3"}
        os.write(gate.write_fd, b".....")
        assert len(all_done(pool)) == 5


@pytest.mark.parametrize("node", [1, 2])
def test_one_worker_is_left_to_tasks_that_need_no_network(pipe, gate, node):
    def work(task, reporter):
        pipe.tell(task.stage)
        if task.network:
            gate.pass_on()

    with Pool(3, work) as pool:
        for number in range(4):
            pool.submit(task(f"slow{number}", network=True))
        for number in range(3):
            pool.submit(task(f"quick{number}", node))
        done = 0
        while done < 3:  # the workers on the network do not end
            done += len(pool.wait(SOON))
        pool.wait(0)
        begun = [pipe.hear() for _ in range(6)]
        quick = [place for place, name in enumerate(begun) if name.startswith("quick")]
        assert set(begun) == {"quick0", "quick1", "quick2", "slow0", "slow1", "slow2"}
        assert begun.index("slow2") > max(quick)  # then there is nothing else for the third worker
        os.write(gate.write_fd, b"....")
        assert len(all_done(pool)) == 4


@pytest.mark.parametrize("size", [1, 2])
def test_tasks_of_the_network_have_all_workers_if_there_are_no_others(pipe, gate, size):
    with Pool(size, lambda task, reporter: (pipe.tell(task.stage), gate.pass_on())) as pool:
        for number in range(size):
            pool.submit(task(number, network=True))
        pool.wait(0)
        assert sorted(pipe.hear() for _ in range(size)) == [str(number) for number in range(size)]
        os.write(gate.write_fd, b"." * size)
        assert len(all_done(pool)) == size


def test_the_only_worker_takes_tasks_in_their_order(pipe):
    with Pool(1, name_of) as pool:
        for name, network in (("slow", True), ("quick", False)):
            pool.submit(task(name, network=network))
        assert [done.outcome for done in all_done(pool)] == ["slow", "quick"]


def test_a_limit_of_none_at_all_is_refused():
    with Pool(1, name_of) as pool, pytest.raises(ValueError, match="at least 1"):
        pool.limit(1, 0)


def test_withdrawn_tasks_are_given_back_and_never_run():
    with Pool(1, name_of) as pool:
        for number in range(10):
            pool.submit(task(number, node=number % 3))
        out = pool.withdraw(lambda task: int(task.stage) % 2 == 0)
        assert sorted(task.stage for task in out) == list("13579")
        assert sorted(done.outcome for done in all_done(pool)) == list("02468")
        assert pool.load(0) == 0


# --- jobs that go wrong --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (Refused("not today"), "not today"),
        (LookupError("x"), "LookupError: x"),
        (SystemExit(3), "SystemExit: 3"),
    ],
)
def test_an_exception_of_a_job_is_reported_and_its_worker_continues(error, text):
    def work(task, reporter):
        if task.stage == "bad":
            raise error
        return os.getpid()

    with Pool(1, work) as pool:
        for name in ("a", "bad", "b"):
            pool.submit(task(name))
        before, broken, after = all_done(pool)
    assert (broken.fate, broken.error, broken.outcome) == (Fate.BROKEN, text, None)
    assert before.outcome == after.outcome


def test_reasons_keep_their_codes_on_the_way_from_a_worker():
    def work(task, reporter):
        if task.stage == "refused":
            raise StorageError(Code.ROOT_UNREADABLE(root="/r", why="no"))
        if task.stage == "dead":
            os.kill(os.getpid(), signal.SIGKILL)
        return (Code.SOURCE_MISSING(why="gone"), {1: Code.COPY_MISSING()})

    with Pool(1, work) as pool:
        for name in ("good", "refused", "dead"):
            pool.submit(task(name))
        good, refused, dead = all_done(pool)
    assert good.outcome[0].code is Code.SOURCE_MISSING and good.outcome[1][1].code is Code.COPY_MISSING
    assert refused.error.code is refused.why.code is Code.ROOT_UNREADABLE
    assert refused.why == "broken: /r: no"
    assert dead.error.code is dead.why.code is Code.WORKER_ENDED


def test_only_the_interrupted_task_ends_early_and_its_worker_goes_on(pipe):
    def work(task, reporter):
        pipe.tell(task.stage)
        while not reporter.stopping():
            if task.stage == "next":
                return os.getpid()
            time.sleep(0.01)
        return os.getpid()

    with Pool(2, work) as pool:
        first, other = task("first"), task("other", node=2)
        pool.submit(first)
        pool.submit(other)
        assert pool.wait(0.0) == [] and {pipe.hear(), pipe.hear()} == {"first", "other"}
        pool.interrupt(task("unknown"))
        pool.interrupt(first)
        (done,) = pool.wait(SOON)
        assert (done.task, done.fate) == (first, Fate.DONE)
        # A signal that comes after the end of its task does not end the next one.
        os.kill(done.outcome, INTERRUPT)
        pool.submit(task("next"))
        (after,) = pool.wait(SOON)
        assert (after.task.stage, after.outcome) == ("next", done.outcome)
        assert [one.task for one in pool.activity() if one.task is not None] == [other]
        pool.stop()
        (last,) = pool.wait(SOON)
        assert (last.task, last.fate) == (other, Fate.DONE)


def test_an_outcome_that_does_not_pickle_is_reported():
    with Pool(1, lambda task, reporter: lambda: None) as pool:
        pool.submit(task())
        [done] = all_done(pool)
    assert done.fate is Fate.BROKEN
    assert done.error.startswith("its outcome cannot be sent: ")


def test_an_outcome_that_does_not_unpickle_is_reported():
    def work(task, reporter):
        class Unreadable:
            def __reduce__(self):
                return int, ("no number",)

        return Unreadable()

    with Pool(1, work) as pool:
        pool.submit(task())
        [done] = all_done(pool)
    assert done.fate is Fate.BROKEN
    assert done.error.startswith("its outcome cannot be read: ValueError")


@pytest.fixture
def log_file(tmp_path):
    logging.getLogger("alpenhorn").handlers = []
    logs.configure("info", str(tmp_path / "log"))
    yield tmp_path / "log"
    logs.configure()


def test_records_and_tracebacks_of_workers_reach_the_log_of_the_parent(log_file, workers):
    def work(task, reporter):
        logging.getLogger("alpenhorn.test").info("hello")
        raise LookupError("inside")

    with Pool(1, work) as pool:
        pid = workers()[0].pid
        pool.submit(task())
        all_done(pool)
    first, second = log_file.read_text().splitlines()
    assert first.endswith(f" INFO [{pid}] alpenhorn.test: hello")
    assert r"Traceback (most recent call last):\n" in second and "LookupError: inside" in second


def test_progress_of_many_files_costs_few_messages_and_is_seen(tmp_path):
    enough = tmp_path / "enough"

    def work(task, reporter):
        while not enough.exists():
            for _ in range(1000):
                reporter.progress(1, 10)

    with Pool(2, work) as pool:
        pool.submit(task("a"))
        pool.wait(0)
        seen = set()
        while len(seen) < 4 or max(seen) <= 1000:
            assert pool.wait(0.01) == []
            [busy] = [activity for activity in pool.activity() if activity.task]
            seen.add(busy.files)
            assert busy.bytes == 10 * busy.files
            assert busy.seconds < SOON
        assert busy.task.stage == "a"
        assert len(seen) <= busy.seconds / PROGRESS_EVERY + 2
        enough.touch()
        all_done(pool)
        assert [(a.worker, a.task, a.files) for a in pool.activity()] == [(0, None, 0), (1, None, 0)]


# --- workers that die ----------------------------------------------------------------------------------


def test_random_kills_affect_only_running_tasks(workers):
    def work(task, reporter):
        reporter.progress(1, 1)
        return task.stage + "." * random.randrange(200_000)

    seed = random.randrange(10**6)
    chance = random.Random(seed)
    kills = 0
    found = []
    with Pool(4, work) as pool:
        for number in range(3000):
            pool.submit(task(number, node=number % 5))
        while done := pool.wait(SOON):
            found += done
            if chance.random() < 0.05:
                with contextlib.suppress(IndexError, psutil.NoSuchProcess):
                    chance.choice(workers()).kill()
                    kills += 1
        assert (pool.running(), pool.queued()) == (0, 0)
    died = [done for done in found if done.fate is Fate.DIED]
    assert sorted(int(done.task.stage) for done in found) == list(range(3000)), seed
    assert 10 < len(died) <= kills, seed
    assert {done.error for done in died} <= {"its worker ended with signal 9", "its worker was killed"}
    for done in found:
        if done not in died:
            assert done.fate is Fate.DONE and done.outcome.rstrip(".") == done.task.stage, seed


def test_a_worker_killed_in_the_middle_of_its_answer_has_not_answered(pipe):
    def work(task, reporter):
        if task.stage == "a":
            pipe.tell(os.getpid())
            return "x" * 10_000_000  # more than the pipe takes while nobody reads it
        return "fine"

    with Pool(1, work) as pool:
        for name in "ab":
            pool.submit(task(name))
        pool.wait(0)
        os.kill(int(pipe.hear()), signal.SIGKILL)
        first, second = all_done(pool)
    assert (first.fate, first.outcome, first.error) == (Fate.DIED, None, "its worker ended with signal 9")
    assert second.outcome == "fine"


def test_a_worker_that_exits_has_died():
    with Pool(1, lambda task, reporter: os._exit(3)) as pool:
        pool.submit(task())
        [done] = all_done(pool)
    assert (done.fate, done.error) == (Fate.DIED, "its worker ended with status 3")


def test_the_death_of_a_worker_is_seen_while_its_child_holds_the_pipe(pipe, workers):
    def work(task, reporter):
        if os.fork() == 0:
            pipe.tell(os.getpid())
            signal.pause()
        signal.pause()

    with Pool(1, work) as pool:
        pool.submit(task())
        pool.wait(0)
        child = pipe.hear()
        workers()[0].kill()
        [done] = pool.wait(SOON)
        assert done.fate is Fate.DIED
        assert gone(child)


def test_a_worker_that_closed_its_pipe_is_replaced():
    def work(task, reporter):
        if task.stage == "bad":
            os.closerange(3, 100)
            signal.pause()
        return "fine"

    with Pool(1, work) as pool:
        pool.submit(task("bad"))
        pool.submit(task())
        bad, good = all_done(pool)
    assert (bad.fate, good.fate) == (Fate.DIED, Fate.DONE)


def test_only_replacements_call_before_fork_and_only_when_there_is_work(workers):
    calls = []
    with Pool(2, name_of, before_fork=lambda: calls.append(os.getpid())) as pool:
        pool.submit(task())
        all_done(pool)
        assert calls == []
        for worker in workers():
            worker.kill()
            assert gone(worker.pid)
        pool.wait(0.01)
        assert calls == []
        pool.submit(task())
        pool.submit(task())
        assert [done.fate for done in all_done(pool)] == [Fate.DONE] * 2
        assert calls == [os.getpid()] * 2


def test_when_no_worker_can_be_started_any_more_that_is_an_error():
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    with Pool(1, lambda task, reporter: os._exit(1)) as pool:
        pool.submit(task())
        assert len(pool.wait(SOON)) == 1
        pool.submit(task())
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, limit[1]))
        try:
            with pytest.raises(StorageError, match="cannot start a worker process: Too many open files"):
                pool.wait(SOON)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limit)


# --- deadlines -----------------------------------------------------------------------------------------


def test_past_its_deadline_a_job_is_killed_with_all_that_it_started(pipe):
    def work(task, reporter):
        if task.stage == "slow":
            script = "trap '' TERM; (trap '' TERM; echo $BASHPID; while :; do sleep 1; done) & wait"
            run(["setsid", "--wait", "bash", "-c", script], timeout=None, on_line=pipe.tell)
        return "fine"

    with Pool(2, work) as pool:
        pool.submit(task("slow", deadline=0.7))
        pool.wait(0)
        # Nobody looks at the clock before that.
        child = pipe.hear()
        for _ in range(20):
            pool.submit(task(node=2, deadline=SOON))
        found = all_done(pool)
    (slow,) = [done for done in found if done.task.stage == "slow"]
    assert (slow.fate, slow.error) == (Fate.TIMED_OUT, "it did not end within 0.7 s and was killed")
    assert 0.7 <= slow.seconds < SOON
    assert [done.fate for done in found if done is not slow] == [Fate.DONE] * 20
    assert gone(child)


def test_a_stopped_worker_is_killed_at_its_deadline():
    with Pool(1, lambda task, reporter: os.kill(os.getpid(), signal.SIGSTOP)) as pool:
        pool.submit(task(deadline=0.1))
        [done] = all_done(pool)
    assert done.fate is Fate.TIMED_OUT


def test_a_worker_that_does_not_read_its_task_does_not_block_the_parent(workers):
    with Pool(1, name_of) as pool:
        workers()[0].suspend()
        pool.submit(task("x" * 5_000_000, deadline=0.2))
        pool.submit(task("next"))
        late, done = all_done(pool)
    assert late.fate is Fate.TIMED_OUT
    assert (done.fate, done.outcome) == (Fate.DONE, "next")


def test_the_deadline_is_counted_from_the_start_of_a_task():
    with Pool(1, lambda task, reporter: select.select([], [], [], 0.15)) as pool:
        for _ in range(8):
            pool.submit(task(deadline=1))
        assert {done.fate for done in all_done(pool)} == {Fate.DONE}


@pytest.fixture
def frozen(tmp_path):
    """A directory on a frozen file system: a process that writes there blocks and cannot be killed."""
    image, mount = tmp_path / "image", tmp_path / "mount"
    mount.mkdir()
    try:
        subprocess.run(["truncate", "-s", "16M", image], check=True)
        subprocess.run(["mkfs.ext4", "-q", image], check=True)
        subprocess.run(["mount", "-o", "loop", image, mount], check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs root and a loop device")
    thawed = []

    def thaw():
        if not thawed:
            thawed.append(subprocess.run(["fsfreeze", "-u", mount], check=True))

    try:
        subprocess.run(["fsfreeze", "-f", mount], check=True)
        yield mount, thaw
        thaw()
    finally:
        subprocess.run(["umount", "--lazy", mount], check=True)


@pytest.mark.parametrize("in_command", [False, True])
def test_a_worker_that_cannot_be_killed_is_abandoned_and_the_rest_continues(frozen, pipe, in_command):
    mount, thaw = frozen

    def work(task, reporter):
        if task.stage == "hang" and in_command:
            run(["bash", "-c", f"echo $$; exec touch {mount}/file"], timeout=None, on_line=pipe.tell)
        if task.stage == "hang":
            pipe.tell(os.getpid())
            (mount / "file").touch()
        return "fine"

    started = time.monotonic()
    with Pool(1, work) as pool:
        pool.submit(task("hang", deadline=0.5))
        pool.submit(task("next"))
        pool.wait(0)
        pid = int(pipe.hear())
        wait_for(lambda: psutil.Process(pid).status() == psutil.STATUS_DISK_SLEEP, "a process that hangs")
        hung, after = all_done(pool)
        closing = time.monotonic()
    assert time.monotonic() - closing < CLOSE_GRACE
    assert time.monotonic() - started < SOON
    assert (hung.fate, hung.error) == (Fate.ABANDONED, "its worker hangs and cannot be killed")
    assert (after.fate, after.outcome) == (Fate.DONE, "fine")
    assert not gone(pid, 0)
    thaw()
    assert gone(pid)
    if not in_command:
        os.waitpid(pid, 0)


# --- being asked to stop -------------------------------------------------------------------------------


def until_asked(pipe):
    def work(task, reporter):
        pipe.tell("started")
        while not reporter.stopping():
            select.select([], [], [], 0.005)
        return "stopped cleanly"

    return work


def test_stop_asks_running_tasks_and_gives_back_queued_ones(pipe):
    with Pool(2, until_asked(pipe)) as pool:
        for name in "abcd":
            pool.submit(task(name))
        pool.wait(0)
        assert pipe.hear() == pipe.hear() == "started"
        assert [task.stage for task in pool.stop()] == ["c", "d"]
        found = all_done(pool)
        with pytest.raises(ValueError, match="stopped"):
            pool.submit(task())
    assert [(done.fate, done.outcome) for done in found] == [(Fate.DONE, "stopped cleanly")] * 2


def test_stop_reaches_a_task_that_was_only_just_handed_out(pipe):
    for _ in range(20):
        with Pool(2, until_asked(pipe)) as pool:
            pool.submit(task())
            pool.wait(0)
            pool.stop()
            assert [done.fate for done in all_done(pool)] == [Fate.DONE]


def test_sigterm_from_elsewhere_stops_one_task_and_no_other(pipe, workers):
    def work(task, reporter):
        return until_asked(pipe)(task, reporter) if task.stage == "long" else reporter.stopping()

    with Pool(1, work) as pool:
        pool.submit(task("long"))
        for _ in range(3):
            pool.submit(task())
        pool.wait(0)
        pipe.hear()
        workers()[0].terminate()
        found = all_done(pool)
    assert [done.fate for done in found] == [Fate.DONE] * 4
    assert [done.outcome for done in found] == ["stopped cleanly", False, False, False]


def test_a_signal_makes_wait_return_at_once(pipe):
    caught = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: caught.append(number))
    try:
        with Pool(1, until_asked(pipe)) as pool:
            signal.set_wakeup_fd(pool.wakeup, warn_on_full_buffer=False)
            try:
                pool.submit(task())
                pool.wait(0)
                pipe.hear()
                killer = subprocess.Popen(["kill", "-TERM", str(os.getpid())])
                assert pool.wait(SOON) == []
                assert caught == [signal.SIGTERM]
                killer.wait()
            finally:
                signal.set_wakeup_fd(-1)
            pool.stop()
            assert len(all_done(pool)) == 1
    finally:
        signal.signal(signal.SIGTERM, before)


def test_close_asks_first_and_kills_workers_that_do_not_end(pipe):
    def work(task, reporter):
        pipe.tell(os.getpid())
        if task.stage == "listens":
            until_asked(pipe)(task, reporter)
            pipe.tell("stopped cleanly")
        else:
            run(["bash", "-c", "echo $$; exec sleep 99"], timeout=None, on_line=pipe.tell)

    pool = Pool(2, work)
    pool.submit(task("listens"))
    pool.wait(0)
    assert pipe.hear().isdigit() and pipe.hear() == "started"
    pool.submit(task("deaf"))
    pool.wait(0)
    pids = [pipe.hear(), pipe.hear()]
    started = time.monotonic()
    pool.close()
    assert time.monotonic() - started < SOON
    assert pipe.hear() == "stopped cleanly"
    assert all(map(gone, pids))


def test_an_idle_pool_closes_at_once():
    pool = Pool(8, name_of)
    started = time.monotonic()
    pool.close()
    assert time.monotonic() - started < CLOSE_GRACE


# --- what a worker is ----------------------------------------------------------------------------------


def test_a_worker_has_its_pipe_and_nothing_else_open(workers):
    def work(task, reporter):
        fds = {}
        for fd in os.listdir("/proc/self/fd"):
            with contextlib.suppress(FileNotFoundError):
                fds[int(fd)] = os.readlink(f"/proc/self/fd/{fd}")
        return fds

    with Pool(3, work) as pool:
        for kill in (False, True):  # a replacement is no different
            if kill:
                victim = workers()[0]
                victim.kill()
                assert gone(victim.pid)
                pool.wait(0)
            pool.submit(task())
            pool.submit(task())
            pool.submit(task())
            for done in all_done(pool):
                fds = done.outcome
                assert [fds.pop(fd) for fd in (0, 1, 2)] == ["/dev/null"] * 3
                assert len(fds) == 2 and all(target.startswith("pipe:") for target in fds.values())


def test_a_worker_has_none_of_the_parents_signal_handlers():
    def work(task, reporter):
        wakeup = signal.set_wakeup_fd(-1)
        masked = signal.pthread_sigmask(signal.SIG_BLOCK, [])
        return signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGUSR1), wakeup, masked

    before = signal.signal(signal.SIGUSR1, lambda number, frame: None)
    try:
        with Pool(1, work) as pool:
            pool.submit(task())
            [done] = all_done(pool)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert done.outcome == (signal.SIG_IGN, signal.SIG_DFL, -1, set())


def test_a_worker_is_a_session_of_its_own_so_that_ctrl_c_does_not_reach_it():
    with Pool(1, lambda task, reporter: (os.getsid(0), os.getpgrp(), os.getpid())) as pool:
        pool.submit(task())
        [done] = all_done(pool)
    assert len(set(done.outcome)) == 1


PARENT = """
import os, signal
from alpenhorn.fs.command import run
from alpenhorn.workers.pool import Pool
from tests.workers.test_pool import task

def work(task, reporter):
    print = lambda text: os.write(out, f"{text}\\n".encode())
    out = os.open(f"/proc/{parent}/fd/1", os.O_WRONLY)
    print(os.getpid())
    run(["bash", "-c", "echo $$; exec sleep 99"], timeout=None, on_line=print)

parent = os.getpid()
pool = Pool(3, work)
for _ in range(3):
    pool.submit(task())
pool.wait(None)
"""


def test_workers_and_their_commands_die_with_the_parent():
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    pids = [int(parent.stdout.readline()) for _ in range(6)]
    assert not any(gone(pid, 0) for pid in pids)
    parent.kill()
    parent.wait()
    assert all(map(gone, pids))
    parent.stdout.close()


# --- tasks that are carried out elsewhere --------------------------------------------------------------


def test_a_task_that_ended_elsewhere_ends_in_that_way_and_its_worker_goes_on():
    def work(task, reporter):
        if task.stage == "lost":
            raise TaskEnded(Fate.DIED, Code.MACHINE_LOST(machine="m", why="gone"))
        return os.getpid()

    with Pool(1, work) as pool:
        for name in ("first", "lost", "last"):
            pool.submit(task(name))
        first, lost, last = all_done(pool)
    assert lost.fate is Fate.DIED and lost.error.code is Code.MACHINE_LOST
    assert first.outcome == last.outcome


class OneMachine:
    """A machine with one thread."""

    def __init__(self):
        self.free = True
        self.released = []

    def place(self, task):
        free, self.free = self.free, False
        return task._replace(at="there") if free else task

    def release(self, done):
        self.released.append(done)
        self.free = self.free or done.task.at != ""


def test_a_place_is_free_for_the_next_task_when_one_has_ended():
    machine = OneMachine()
    with Pool(1, lambda task, reporter: task.at) as pool:
        pool.place_with(machine)
        for number in range(3):
            pool.submit(task(number))
        found = all_done(pool)
    assert [done.outcome for done in found] == ["there"] * 3
    assert machine.released == found


def test_a_task_elsewhere_is_abandoned_when_the_worker_that_watches_it_dies():
    with Pool(1, lambda task, reporter: os.kill(os.getpid(), signal.SIGKILL)) as pool:
        pool.place_with(OneMachine())
        pool.submit(task())
        (done,) = all_done(pool)
    assert done.fate is Fate.ABANDONED and done.error.code is Code.MACHINE_UNWATCHED


def test_a_worker_says_when_it_has_no_more_tasks(pipe):
    with Pool(1, name_of, at_end=lambda: pipe.tell("ended")) as pool:
        pool.submit(task())
        assert all_done(pool)
    assert pipe.hear() == "ended"
