"""The link from a worker of a run to a Dask cluster, and the sessions with processes on its machines.

While a task is carried out, its worker asks for news several times a second, which also tells the process that the run
still exists.  If a machine cannot be reached, the lock of its process on the node tells when that has ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Awaitable, Callable, Coroutine
from math import inf
from typing import Any, TypeVar

from distributed import Client
from distributed.comm.addressing import get_address_host_port

from alpenhorn import __version__, logs
from alpenhorn.config import Transfer
from alpenhorn.errors import AlpenhornError, StorageError
from alpenhorn.fs.run_lock import job_byte, job_has_ended
from alpenhorn.model.cluster import SILENCE, HoldAnswer, HoldJob
from alpenhorn.model.deletions import DeleteJob
from alpenhorn.model.nodes import NodeFact
from alpenhorn.model.tasks import Fate, Job, Reporter, Task, TaskKind
from alpenhorn.outside import exception
from alpenhorn.reasons import Code, Why
from alpenhorn.workers import cluster_task
from alpenhorn.workers.cluster_child import Hello
from alpenhorn.workers.serving import (
    INTERRUPT,
    JobProgress,
    TaskAnswer,
    TaskEnded,
    message,
    messages,
)

T = TypeVar("T")

CONNECT_SECONDS = 5.0
IDLE_SECONDS = 2.0  # for which a run that has nothing else to do waits for the scheduler
CLOSE_SECONDS = 1.0  # less than the pool waits for its workers at the end
END_SECONDS = SILENCE + 15.0  # in which a process ends that the run cannot reach
PATIENCE = (
    3.0  # seconds without an answer after which the scheduler is asked whether the machine is still there
)
WAIT = 0.5  # seconds for which an exchange waits for news
_POLL = 0.2  # seconds between two looks whether the run still needs the scheduler

# Seconds before the deadline of a task, so that its end is known when the pool would give it up.
_MARGIN = 10.0
_MARGIN_SHARE = 0.5

_log = logging.getLogger(__name__)


class ClusterUnusable(AlpenhornError):
    """The scheduler cannot be used."""

    code = Code.SCHEDULER_UNUSABLE


class MachineLost(AlpenhornError):
    """A machine does not answer; its process may still be active."""

    code = Code.MACHINE_LOST


class NotBegun(AlpenhornError):
    """A task was not given to the machine."""

    code = Code.MACHINE_LOST


class _ProcessEnded(Exception):
    def __init__(self, how: str) -> None:
        super().__init__(how)
        self.how = how


class _Late(Exception):
    """The time for the task is over."""


class Cluster:
    """A Dask cluster.  Use it in one thread: all that it does takes place while one of its methods is running."""

    def __init__(self, scheduler: str, transfer: Transfer) -> None:
        self.scheduler = scheduler
        self._hello = message(Hello(transfer, logging.getLogger(logs.ROOT).level, _umask()))
        self._loop = asyncio.new_event_loop()
        self._client: Client | None = None
        self._unusable: ClusterUnusable | None = None
        self._sessions: dict[str, Session] = {}

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(work)

    def carry_out(self, task: Task, report: Reporter) -> object:
        """Carry out a task on the machine `task.at`, and return its outcome.

        Raises NotBegun if the machine cannot be reached before it has got the task, and TaskEnded.
        """
        end = time.monotonic() + _seconds_for(task)
        session, answer, received = self.run(self._held(task))
        job = _with_clock_of(task.job, answer, received)
        there = task._replace(job=job, at="", deadline=None if end == inf else end - time.monotonic())
        try:
            answered = self.run(session.ask(there, report, end))
            if answered.leaving:
                self._sessions.pop(task.at, None)
        except (_Late, _ProcessEnded, MachineLost) as why:
            self._sessions.pop(task.at, None)
            raise self._end_of(task, session, why) from None
        if answered.fate is not Fate.DONE:
            raise TaskEnded(answered.fate, answered.error)
        return answered.outcome

    async def machines(self, stopping: Callable[[], bool] = lambda: False) -> dict[str, int]:
        """Return the numbers of threads of the workers, by address.

        `stopping`: whether the run has nothing else to do, and waits for the answer only.  Raises ClusterUnusable, at
        once if it did before: connecting in vain for each node would delay the other work.
        """
        if self._unusable is not None:
            raise self._unusable
        try:
            return await self._threads(stopping)
        except Exception as error:
            await self.disconnect()
            why = exception(error)
            self._unusable = ClusterUnusable(Code.SCHEDULER_UNUSABLE(scheduler=self.scheduler, why=why))
            raise self._unusable from None

    async def _threads(self, stopping: Callable[[], bool]) -> dict[str, int]:
        async def ask() -> dict[str, int]:
            client = await self._connected()
            found: dict[str, int] = await client.nthreads()
            return found

        began = time.monotonic()
        asked = self._loop.create_task(ask())
        try:
            while not (await asyncio.wait({asked}, timeout=_POLL))[0]:
                waited = time.monotonic() - began
                if waited < 2 * _POLL:
                    await self._refused()
                if waited >= (IDLE_SECONDS if stopping() else CONNECT_SECONDS):
                    raise TimeoutError(f"no answer within {waited:.0f} s")
            return asked.result()
        finally:
            asked.cancel()

    async def _refused(self) -> None:
        """Raise OSError if the name is unknown or nothing listens there, where Dask would try again for seconds."""
        host, port = get_address_host_port(self.scheduler)
        with contextlib.suppress(TimeoutError):
            _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), _POLL)
            writer.close()

    async def about(self, address: str) -> tuple[str, Why]:
        """Return the name of a machine, and why it cannot do jobs because of its versions, "" if it can.

        Raises MachineLost.
        """
        name, *versions = await self.call(address, cluster_task.about)
        here = [__version__, cluster_task.PYTHON]
        if versions == here:
            return name, ""
        return name, Code.MACHINE_VERSIONS_DIFFER(there=_shown(*versions), here=_shown(*here))

    async def call(
        self, address: str, function: Callable[..., Any], *args: object, seconds: float = SILENCE
    ) -> Any:
        """Call a function on a machine.  Raises MachineLost, whatever went wrong: all of it comes from outside."""
        end = time.monotonic() + seconds
        answer: asyncio.Task[dict[str, Any]] | None = None
        try:
            client = await self._connected()
            answer = self._loop.create_task(client.run(function, *args, workers=[address]))
            while not (await asyncio.wait({answer}, timeout=PATIENCE))[0]:
                # The scheduler tries to reach a worker for long, also one that it knows to have ended.
                if address not in await _within(client.nthreads(), PATIENCE):
                    raise ConnectionError("its Dask worker has ended")
                if time.monotonic() >= end:
                    raise TimeoutError(f"no answer within {seconds:g} s")
            return answer.result()[address]
        except Exception as error:
            raise MachineLost(Code.MACHINE_LOST(machine=address, why=exception(error))) from None
        finally:
            if answer is not None:
                answer.cancel()

    async def begin(self, address: str) -> Session:
        """Start a process on a machine.  Raises MachineLost."""
        session = Session(self, address)
        await self.call(address, cluster_task.begin, session.id, self._hello)
        return session

    def close(self) -> None:
        async def end() -> None:
            ends = [session.end() for session in self._sessions.values()]
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.gather(*ends, return_exceptions=True), CLOSE_SECONDS)

        self.run(end())

    async def _connected(self) -> Client:
        if self._client is not None and self._client.status != "running":
            await self.disconnect()
        if self._client is None:
            self._client = Client(
                self.scheduler, asynchronous=True, timeout=CONNECT_SECONDS, set_as_default=False
            )
            await _within(self._client, CONNECT_SECONDS)
        return self._client

    async def disconnect(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(Exception):
                await _within(client.close(timeout=CLOSE_SECONDS), CLOSE_SECONDS)

    async def _held(self, task: Task) -> tuple[Session, HoldAnswer, float]:
        """Return a session whose process holds the node, its answer, and CLOCK_BOOTTIME here when it had come."""
        known = self._sessions.pop(task.at, None)
        if known is not None:
            try:
                return await self._hold(known, task)
            except MachineLost as lost:
                raise NotBegun(lost.reason) from None
            except _ProcessEnded:  # since its last task, because nobody called it
                with contextlib.suppress(MachineLost):
                    await known.end()
        try:
            return await self._hold(await self.begin(task.at), task)
        except MachineLost as lost:
            raise NotBegun(lost.reason) from None
        except _ProcessEnded as ended:
            raise NotBegun(Code.MACHINE_LOST(machine=task.at, why=f"its process {ended.how}")) from None

    async def _hold(self, session: Session, task: Task) -> tuple[Session, HoldAnswer, float]:
        node = task.job.node
        ask = Task(TaskKind.PROBE, node.id, HoldJob(node, session.byte))
        end = time.monotonic() + SILENCE
        try:
            answered = await session.ask(ask, None, end)
        except _Late:
            why = Code.MACHINE_LOST(machine=task.at, why=f"no answer within {SILENCE:g} s")
            raise MachineLost(why) from None
        received = time.clock_gettime(time.CLOCK_BOOTTIME)
        error = answered.error if answered.fate is not Fate.DONE else answered.outcome.error
        if error:
            with contextlib.suppress(MachineLost):
                await session.end()
            raise MachineLost(Code.MACHINE_LOST(machine=task.at, why=error))
        self._sessions[task.at] = session
        return session, answered.outcome, received

    def _end_of(self, task: Task, session: Session, why: Exception) -> TaskEnded:
        """Return the end of a task without an answer: that of a killed worker once its process has ended."""
        ended = False
        if not isinstance(why, MachineLost):
            with contextlib.suppress(MachineLost):
                ended = self.run(session.end())
        if not ended and not _has_ended(task.job.node, session.byte):
            return TaskEnded(Fate.ABANDONED, Code.MACHINE_UNWATCHED(machine=task.at))
        if isinstance(why, MachineLost):
            return TaskEnded(Fate.DIED, why.reason)
        if isinstance(why, _ProcessEnded):
            return TaskEnded(Fate.DIED, Code.WORKER_ENDED(how=why.how))
        return TaskEnded(Fate.TIMED_OUT, Code.TASK_TIMED_OUT(seconds=task.deadline))


class Session:
    """A process on another machine, seen from here.  `byte`: the one that it locks on the nodes."""

    def __init__(self, cluster: Cluster, address: str) -> None:
        self.id = os.urandom(16).hex()
        self.byte = job_byte()
        self._cluster = cluster
        self._address = address
        self._exchanges = 0
        self._received = bytearray()

    async def ask(self, task: Task, report: Reporter | None = None, end: float = inf) -> TaskAnswer:
        """Have a task carried out.  `end`: when to give it up, by time.monotonic().

        Raises MachineLost, _ProcessEnded, and _Late at `end`.
        """
        unsent = message(task)
        progress = JobProgress(0, 0)
        while True:
            if time.monotonic() >= end:
                raise _Late
            # Again each time: a signal that comes before the task has begun there is forgotten.
            interrupt = INTERRUPT if report is not None and report.stopping() else 0
            self._exchanges += 1
            data, ended = await self._cluster.call(
                self._address, cluster_task.exchange, self.id, self._exchanges, unsent, interrupt, WAIT
            )
            unsent = b""
            self._received += data
            for said in messages(self._received):
                if isinstance(said, TaskAnswer):
                    return said
                if isinstance(said, logs.Record):
                    logs.replay(said)
                elif report is not None:
                    _pass_on(progress, said, report)
                    progress = said
            if ended:
                raise _ProcessEnded(ended)

    async def end(self) -> bool:
        """Kill the process and all that it started; return whether all have ended.  Raises MachineLost."""
        killed: bool = await self._cluster.call(self._address, cluster_task.end, self.id)
        return killed


async def _within(work: Awaitable[T], seconds: float) -> T:
    """Await `work`.  Raises TimeoutError.

    Unlike `asyncio.wait_for`, it does not wait for the end of what it cancels, which a connection to a scheduler that
    hangs delays for ever.
    """
    task = asyncio.ensure_future(work)
    try:
        if not (await asyncio.wait({task}, timeout=seconds))[0]:
            raise TimeoutError(f"no answer within {seconds:g} s")
        return task.result()
    finally:
        task.cancel()


def _umask() -> int:
    found = os.umask(0o077)  # it can only be read by setting it
    os.umask(found)
    return found


def _pass_on(before: JobProgress, now: JobProgress, report: Reporter) -> None:
    for _ in range(now.failed - before.failed):
        report.fail()
    if now.path != before.path:
        report.begin(now.path)
    report.progress(now.files - before.files, now.bytes - before.bytes)


def _seconds_for(task: Task) -> float:
    if task.deadline is None:
        return inf
    return task.deadline - min(_MARGIN, _MARGIN_SHARE * task.deadline)


def _with_clock_of(job: Job, answer: HoldAnswer, received: float) -> Job:
    """Convert the times of a job by CLOCK_BOOTTIME, which differs between machines.

    The machine read its clock before its answer was received, so the job expires there too early rather than too late,
    however long it is on its way.
    """
    if isinstance(job, DeleteJob) and job.expires is not None:
        return job._replace(expires=answer.boottime + (job.expires - received))
    return job


def _has_ended(node: NodeFact, byte: int) -> bool:
    assert node.root is not None
    try:
        return job_has_ended(node.root, byte, END_SECONDS)
    except StorageError as error:
        _log.warning("cannot find out whether a job on another machine has ended: %s", error)
        return False


def _shown(alpenhorn: str, python: str) -> str:
    return f"Python {python} and version {alpenhorn} of alpenhorn"
