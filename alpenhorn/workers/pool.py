"""The pool: worker processes that carry out tasks, and a main process that no worker can block.

Each worker has two pipes of its own, one for tasks and one for answers; a message is its length (8 bytes) and
a pickle.  The main process waits for answers and for the ends of processes (pidfd) together and never blocks
on a pipe.  So a worker may die, stop or hang at any point, even in the middle of a message; only its current
task is lost.  (The standard executors fail all pending work if a worker is killed.)
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import select
import signal
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, Self

from alpenhorn import logs
from alpenhorn.errors import StorageError
from alpenhorn.fs import descriptors, processes
from alpenhorn.model.tasks import Done, Fate, Reporter, Task, TaskKind
from alpenhorn.reasons import Code, Why
from alpenhorn.workers.serving import (
    INTERRUPT,
    JobProgress,
    message,
    messages,
    run_worker,
)

CLOSE_GRACE = 2.0
FORK_AGAIN = 5.0
_READ = 64 * 1024
_DESCRIPTORS = 3  # of the main process, per worker

_log = logging.getLogger(__name__)


class Activity(NamedTuple):
    """The activity of a worker: `files` and `bytes` done and `seconds` spent on `task`, None if idle.

    `path`: the file that is worked on, "" if unknown; `failed`: files of the task that failed.
    """

    worker: int
    task: Task | None
    files: int
    bytes: int
    seconds: float
    path: str = ""
    failed: int = 0


def nothing() -> None:
    """Do nothing."""


class Placement(Protocol):
    """Decides on which machines of a cluster tasks are carried out."""

    def place(self, task: Task) -> Task:
        """Return the task with the machine that gets it in `at`."""
        ...

    def release(self, done: Done) -> None:
        """Note that a task has ended, before the next one is placed."""
        ...


class _Worker:
    """The main process's record of a worker."""

    def __init__(self, number: int, pid: int, pidfd: int, tasks: int, answers: int) -> None:
        self.number = number
        self.pid = pid
        self.pidfd = pidfd
        self.tasks = tasks
        self.answers = answers
        self.unsent = b""
        self.received = bytearray()
        self.task: Task | None = None
        self.started = 0.0
        self.progress = JobProgress(0, 0)
        self.leaving = False

    def late(self, now: float) -> bool:
        return (
            self.task is not None
            and self.task.deadline is not None
            and now > self.started + self.task.deadline
        )

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, number)

    def ended(self, within: float) -> bool:
        return processes.has_ended(self.pidfd, within)

    def close_tasks(self) -> None:
        if self.tasks >= 0:
            os.close(self.tasks)
            self.tasks = -1

    def close(self) -> None:
        self.close_tasks()
        os.close(self.pidfd)
        os.close(self.answers)


class Pool:
    """Number `size` of workers, forked at once, each calling `work(task, reporter)` for one task after another.

    Create it in the main thread, before opening the index and before starting any thread.  `before_fork` is
    called before a *replacement* is forked; it must close what must not be inherited.  Workers are replaced
    when there is work for them.  A worker calls `at_end` when there are no more tasks.

    A byte written to the descriptor `wakeup` (non-blocking) makes `wait` return at once, as for
    `signal.set_wakeup_fd(pool.wakeup, warn_on_full_buffer=False)`: signal handlers set a flag, and the caller
    checks it after each `wait`.  Set it back to -1 before `close`.
    """

    def __init__(
        self,
        size: int,
        work: Callable[[Task, Reporter], object],
        *,
        before_fork: Callable[[], None] = nothing,
        at_end: Callable[[], None] = nothing,
    ) -> None:
        if size < 1:
            raise ValueError("a pool needs at least one worker")
        descriptors.raise_limit()
        self._size = descriptors.share(size, _DESCRIPTORS)
        if self._size < size:
            _log.warning("started only %d of %d workers: %s", self._size, size, Code.TOO_MANY_OPEN_FILES())
        self._work = work
        self._before_fork = before_fork
        self._at_end = at_end
        self._workers: dict[int, _Worker] = {}
        self._abandoned: list[int] = []
        self._queues: dict[int, deque[Task]] = {}
        self._ready: dict[int, None] = {}  # nodes with queued tasks that are below their limits, in turn
        self._limits: dict[int, int] = {}
        self._running: Counter[int] = Counter()
        self._ended: list[Done] = []
        self._deciders: dict[TaskKind, Callable[[Task], Task | None]] = {}
        self._placement: Placement | None = None
        self._stopped = False
        self._fork_after = 0.0
        self._poll = select.poll()
        self._watched: dict[int, _Worker] = {}
        self._woken, self.wakeup = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._poll.register(self._woken, select.POLLIN)
        processes.prepare()
        try:
            for number in range(self._size):
                try:
                    self._start(number)
                except OSError as error:
                    self._start_later(error)
                    break
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # queue

    def submit(self, task: Task) -> None:
        """Queue a task; `wait` hands tasks out round robin over the nodes, in order within a node.

        The last idle worker of several gets a task of the network only if there is no other: a slow link must not hold
        up the work of this host.
        """
        if self._stopped:
            raise ValueError("pool is stopped")
        self._queues.setdefault(task.node_id, deque()).append(task)
        self._set_ready(task.node_id)

    def limit(self, node_id: int, jobs: int) -> None:
        """Run at most `jobs` tasks of that node at once."""
        if jobs < 1:
            raise ValueError("a node's limit must be at least 1")
        self._limits[node_id] = jobs
        self._set_ready(node_id)

    def decide_late(self, kind: TaskKind, decide: Callable[[Task], Task | None]) -> None:
        """Call `decide` with each task of that kind just before a worker gets it.

        Called in `wait`; returns the task to hand out, or None to drop it.  Exceptions pass through `wait`;
        the task then stays queued.
        """
        self._deciders[kind] = decide

    def place_with(self, placement: Placement) -> None:
        """Ask `placement` for the machine of each task just before a worker gets it."""
        self._placement = placement

    def withdraw(self, keep: Callable[[Task], bool]) -> list[Task]:
        """Remove queued tasks for which `keep` is false, and return them."""
        out: list[Task] = []
        for node_id, queue in list(self._queues.items()):
            kept = deque[Task]()
            for task in queue:
                (kept if keep(task) else out).append(task)
            self._queues[node_id] = kept
            self._set_ready(node_id)
        return out

    def give_up_one(self) -> bool:
        """End an idle worker for good, to free a process for another purpose; return False if none can be ended."""
        idle = [worker for worker in self._workers.values() if worker.task is None]
        if self._size < 2 or len(self._workers) < 2 or not idle:
            return False
        number = idle[-1].number
        self._remove(idle[-1])
        self._size -= 1
        if number != self._size and self._size in self._workers:  # worker numbers must stay below the size
            last = self._workers.pop(self._size)
            last.number = number
            self._workers[number] = last
        return True

    def interrupt(self, task: Task) -> None:
        """Ask a running task to end early and cleanly; the worker goes on with other tasks."""
        for worker in self._workers.values():
            if worker.task is not None and (worker.task.node_id, worker.task.stage) == (
                task.node_id,
                task.stage,
            ):
                worker.signal(INTERRUPT)

    def stop(self) -> list[Task]:
        """Ask running tasks to stop cleanly; remove and return the queued ones.  Cannot be undone."""
        self._stopped = True
        for worker in self._workers.values():
            worker.signal(signal.SIGTERM)
        return self.withdraw(lambda task: False)

    # state

    def queued(self) -> int:
        return sum(map(len, self._queues.values()))

    def running(self) -> int:
        return self._running.total()

    def idle_workers(self) -> int:
        return self._size - self.running()

    def load(self, node_id: int) -> int:
        """Return the number of queued and running tasks of that node."""
        return len(self._queues.get(node_id, ())) + self._running[node_id]

    def activity(self) -> list[Activity]:
        now = time.monotonic()
        found = []
        for number in range(self._size):
            worker = self._workers.get(number)
            if worker is None or worker.task is None:
                found.append(Activity(number, None, 0, 0, 0.0))
            else:
                files, size_b, path, failed = worker.progress
                found.append(Activity(number, worker.task, files, size_b, now - worker.started, path, failed))
        return found

    # results

    def wait(self, timeout: float | None) -> list[Done]:
        """Hand out tasks until at least one has ended, `timeout` seconds are over, or `wakeup` is written to.

        Returns the ended tasks in the order of their ends, and [] at once if nothing is queued or running.
        Raises StorageError if no worker can be started.
        """
        end = None if timeout is None else time.monotonic() + timeout
        woken = self._look(0.0)  # an idle worker that died must not get a task
        while True:
            self._hand_out()
            idle = not self._ready and not self.running()
            if self._ended or idle or woken or (end is not None and time.monotonic() >= end):
                break
            woken = self._look(end)
        ended, self._ended = self._ended, []
        return ended

    def close(self) -> None:
        """End the workers: idle ones at once; others are asked to stop, and killed if they do not in time."""
        for worker in self._workers.values():
            worker.close_tasks()
            if worker.task is not None:
                worker.signal(signal.SIGTERM)
        end = time.monotonic() + CLOSE_GRACE
        for worker in self._workers.values():
            if worker.ended(within=max(0.0, end - time.monotonic())):
                os.waitpid(worker.pid, 0)
            else:
                self._abandoned += processes.kill_tree(worker.pid)
            worker.close()
        self._workers.clear()
        for pid in self._abandoned:  # dead by now, or left for the next reaper
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        for fd in (self._woken, self.wakeup):
            os.close(fd)

    def _set_ready(self, node_id: int) -> None:
        limit = self._limits.get(node_id)
        if not self._queues.get(node_id):
            self._queues.pop(node_id, None)
            self._ready.pop(node_id, None)
        elif limit is None or self._running[node_id] < limit:
            self._ready.setdefault(node_id)
        else:
            self._ready.pop(node_id, None)

    def _hand_out(self) -> None:
        if not self._ready:
            return
        for number in range(self._size):
            worker = self._workers.get(number)
            if worker is not None and (worker.task is not None or worker.leaving):
                continue
            if worker is None:
                worker = self._replace(number)
                if worker is None:
                    continue
            task = self._next_task()
            if task is None:
                return
            self._assign(worker, task if self._placement is None else self._placement.place(task))
            self._set_ready(task.node_id)

    def _next_task(self) -> Task | None:
        """Take the next task that is to be done from the queues; None if there is none."""
        while self._ready:
            node_id, place = self._next_place()
            queue = self._queues[node_id]
            decide = self._deciders.get(queue[place].kind)
            task = queue[place] if decide is None else decide(queue[place])
            del queue[place]
            del self._ready[node_id]  # its next turn comes after the other nodes'
            if task is not None:
                return task
            self._set_ready(node_id)
        return None

    def _next_place(self) -> tuple[int, int]:
        """Return the node of the next task, and the place of the task in the node's queue."""
        first = next(iter(self._ready))
        if self._queues[first][0].network and self._size > 1 and self._on_the_network() >= self._size - 1:
            for node_id in self._ready:
                for place, task in enumerate(self._queues[node_id]):
                    if not task.network:
                        return node_id, place
        return first, 0

    def _on_the_network(self) -> int:
        return sum(worker.task is not None and worker.task.network for worker in self._workers.values())

    def _replace(self, number: int) -> _Worker | None:
        if self._workers and time.monotonic() < self._fork_after:
            return None
        self._before_fork()
        try:
            return self._start(number)
        except OSError as error:
            self._start_later(error)
            return None

    def _start_later(self, error: OSError) -> None:
        if not self._workers:
            raise StorageError(Code.WORKER_NOT_STARTED(why=error.strerror)) from None
        _log.warning("cannot start a worker process: %s; continuing with the others", error.strerror)
        self._fork_after = time.monotonic() + FORK_AGAIN

    def _assign(self, worker: _Worker, task: Task) -> None:
        worker.task = task
        worker.started = time.monotonic()
        worker.progress = JobProgress(0, 0)
        worker.unsent = message(task)
        self._running[task.node_id] += 1
        self._send(worker)

    def _send(self, worker: _Worker) -> None:
        try:
            worker.unsent = worker.unsent[os.write(worker.tasks, worker.unsent) :]
        except BlockingIOError:
            pass
        except BrokenPipeError:  # it died, which its pidfd reports
            worker.unsent = b""
        if worker.unsent:
            self._watch(worker, worker.tasks, select.POLLOUT)
        else:
            self._forget(worker.tasks)

    def _watch(self, worker: _Worker, fd: int, event: int) -> None:
        self._watched[fd] = worker
        self._poll.register(fd, event)

    def _forget(self, fd: int) -> None:
        if self._watched.pop(fd, None) is not None:
            self._poll.unregister(fd)

    def _look(self, end: float | None) -> bool:
        """Wait for the next event and handle it; return True if it was a wake-up."""
        now = time.monotonic()
        times = [
            worker.started + worker.task.deadline
            for worker in self._workers.values()
            if worker.task is not None and worker.task.deadline is not None
        ]
        if end is not None:
            times.append(end)
        pause = math.ceil(max(0.0, min(times) - now) * 1000) if times else None
        woken = False
        for fd, event in self._poll.poll(pause):
            if fd == self._woken:
                with contextlib.suppress(BlockingIOError):
                    os.read(fd, _READ)
                woken = True
            elif fd in self._watched:  # not of a worker removed just before
                self._handle_event(self._watched[fd], fd, event)
        now = time.monotonic()
        for worker in [worker for worker in self._workers.values() if worker.late(now)]:
            self._remove(worker, Fate.TIMED_OUT)
        return woken

    def _handle_event(self, worker: _Worker, fd: int, event: int) -> None:
        if fd == worker.tasks:
            self._send(worker)
        elif fd == worker.pidfd or not event & select.POLLIN:
            # It closed its answers without ending: unusable in any case.
            self._remove(worker)
        else:
            self._receive(worker)

    def _receive(self, worker: _Worker) -> bool:
        """Read available answers; return False if there are no more."""
        try:
            data = os.read(worker.answers, _READ)
        except BlockingIOError:
            return False
        worker.received += data
        for said in messages(worker.received):
            self._handle_message(worker, said)
        return bool(data)

    def _handle_message(self, worker: _Worker, said: Any) -> None:
        if isinstance(said, JobProgress):
            worker.progress = said
        elif isinstance(said, logs.Record):
            logs.replay(said)
        else:
            worker.leaving = said.leaving
            self._finish(worker, said.fate, said.outcome, said.error)

    def _finish(self, worker: _Worker, fate: Fate, outcome: object, error: Why) -> None:
        task, worker.task = worker.task, None
        if task is not None:
            self._running[task.node_id] -= 1
            self._set_ready(task.node_id)
            done = Done(task, fate, outcome, error, time.monotonic() - worker.started)
            if self._placement is not None:
                self._placement.release(done)
            self._ended.append(done)

    def _remove(self, worker: _Worker, fate: Fate = Fate.DIED) -> None:
        """Remove a worker, dead or alive, with all processes it started; its task ends with `fate`.

        Answers sent before it ended still count.
        """
        if fate is Fate.DIED:
            worker.ended(within=0.2)  # its pipes close before its exit status is known
        if fate is Fate.TIMED_OUT:
            # Otherwise it could answer that its program was killed, if that dies first.
            worker.signal(signal.SIGSTOP)
        found = processes.how_ended(os.P_PIDFD, worker.pidfd)
        survivors = processes.kill_tree(worker.pid)
        while self._receive(worker):
            pass
        for fd in (worker.pidfd, worker.tasks, worker.answers):
            self._forget(fd)
        worker.close()
        del self._workers[worker.number]
        if survivors:
            self._abandoned += survivors
            fate, error = Fate.ABANDONED, Code.WORKER_HANGS()
        elif worker.task is not None and worker.task.at:
            # Killing this process ends nothing there.
            fate, error = Fate.ABANDONED, Code.MACHINE_UNWATCHED(machine=worker.task.at)
        elif fate is Fate.TIMED_OUT and worker.task is not None:
            error = Code.TASK_TIMED_OUT(seconds=worker.task.deadline)
        else:
            error = Code.WORKER_ENDED(how=found or "was killed")
        self._finish(worker, fate, None, error)

    def _start(self, number: int) -> _Worker:
        parent = os.getpid()
        fds: list[int] = []
        pid = None
        with processes.signals_blocked() as before:
            try:
                tasks_in, tasks_out = _add(fds, os.pipe2(os.O_CLOEXEC))
                answers_in, answers_out = _add(fds, os.pipe2(os.O_CLOEXEC))
                pid = os.fork()
                if pid == 0:
                    run_worker(parent, tasks_in, answers_out, self._work, before, self._at_end)
                pidfd = os.pidfd_open(pid)
            except BaseException:
                for fd in fds:
                    os.close(fd)
                if pid is not None:
                    processes.kill_tree(pid)
                raise
        os.close(tasks_in)
        os.close(answers_out)
        os.set_blocking(tasks_out, False)
        os.set_blocking(answers_in, False)
        worker = self._workers[number] = _Worker(number, pid, pidfd, tasks_out, answers_in)
        self._watch(worker, answers_in, select.POLLIN)
        self._watch(worker, worker.pidfd, select.POLLIN)
        return worker


def _add(fds: list[int], pipe: tuple[int, int]) -> tuple[int, int]:
    fds += pipe
    return pipe
