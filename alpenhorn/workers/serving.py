"""The worker's side of the pool: read tasks from one pipe, and write answers to the other.

A message is its length (8 bytes) and a pickle.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import pickle
import signal
import struct
import time
from collections.abc import Callable, Iterator
from threading import Lock
from types import FrameType
from typing import Any, NamedTuple, NoReturn

from alpenhorn import logs
from alpenhorn.errors import AlpenhornError
from alpenhorn.fs import processes
from alpenhorn.model.tasks import Fate, Reporter, Task
from alpenhorn.outside import exception
from alpenhorn.reasons import Code, Reason, Why, storable

PROGRESS_EVERY = 0.1
INTERRUPT = signal.SIGUSR2  # asks for an early end of the current task only
LENGTH = struct.Struct("=Q")

_log = logging.getLogger(__name__)


class JobProgress(NamedTuple):
    """The progress of a task.  `path`: the file that is worked on, "" if unknown; `failed`: number of failed files."""

    files: int
    bytes: int
    path: str = ""
    failed: int = 0


class TaskEnded(Exception):
    """Raised by the function that carries out tasks: the task has ended in the way of `fate`, which is not DONE."""

    def __init__(self, fate: Fate, why: Why) -> None:
        super().__init__(fate, why)
        self.fate = fate
        self.why = why


class TaskAnswer(NamedTuple):
    """The result of a task.  `leaving`: the worker takes no further task."""

    fate: Fate
    outcome: Any
    error: Why
    leaving: bool


def message(content: object) -> bytes:
    data = pickle.dumps(content, pickle.HIGHEST_PROTOCOL)
    return LENGTH.pack(len(data)) + data


def messages(received: bytearray) -> Iterator[Any]:
    """Yield the whole messages in the received bytes, and remove them there.

    One that cannot be read, since this process may lack a class of the other's, is a broken task's answer.
    """
    while len(received) >= LENGTH.size:
        stop = LENGTH.size + LENGTH.unpack_from(received)[0]
        if stop > len(received):
            return
        content = bytes(received[LENGTH.size : stop])
        del received[:stop]
        try:
            said = pickle.loads(content)
        except Exception as error:
            said = TaskAnswer(Fate.BROKEN, None, Code.OUTCOME_UNREADABLE(why=reason_of(error)), False)
        yield said


def write_all(fd: int, data: bytes) -> None:
    """Write to a pipe, which may take the data in pieces."""
    left = memoryview(data)
    while left:
        left = left[os.write(fd, left) :]


def reason_of(error: BaseException) -> Reason:
    if isinstance(error, AlpenhornError):
        return storable(error.reason)
    return Code.WORKER_FAILED(why=exception(error))


def run_worker(
    parent: int,
    tasks: int,
    answers: int,
    work: Callable[[Task, Reporter], object],
    unblocked: set[int | signal.Signals],
    at_end: Callable[[], None],
) -> NoReturn:
    """Run a worker; never returns.  `at_end` is called when the main process has no more tasks."""
    status = 1
    try:
        processes.die_with_parent(parent)
        voice = AnswerPipe(answers)
        logs.forward(voice.send)
        detach(tasks, answers)
        serve(tasks, voice, work, unblocked)
        at_end()
        status = 0
    except BrokenPipeError:  # the main process has ended or closed the pipe
        status = 0
    except BaseException:
        _log.exception("a worker process failed")
    finally:
        os._exit(status)


def detach(*pipes: int) -> None:
    """Detach from the main process: start a session, and close all descriptors but `pipes`."""
    os.setsid()
    gc.freeze()  # collecting an inherited object would close a descriptor of ours
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):  # whoever reads the output (cron) must not wait for a worker that cannot be killed
        os.dup2(null, fd)
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) not in pipes:
            with contextlib.suppress(OSError):
                os.close(int(name))


def serve(
    tasks: int,
    voice: AnswerPipe,
    work: Callable[[Task, Reporter], object],
    unblocked: set[int | signal.Signals],
    progress_every: float = PROGRESS_EVERY,
) -> None:
    """Carry out tasks until their pipe is closed, or SIGTERM asks to stop.  Raises BrokenPipeError."""
    asked = [False]
    interrupted = [False]

    def ask(signal_number: int, frame: FrameType | None) -> None:
        asked[0] = True

    def interrupt(signal_number: int, frame: FrameType | None) -> None:
        interrupted[0] = True

    processes.forget_handlers()
    signal.signal(signal.SIGTERM, ask)
    signal.signal(INTERRUPT, interrupt)
    signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)
    while (task := receive(tasks)) is not None:
        # A request that was meant for the last task came before this one was sent.
        interrupted[0] = False
        fate, outcome, error = _do(task, _Reporter(voice, asked, interrupted, progress_every), work)
        leaving = asked[0]  # the request may have been meant for the next task
        try:
            voice.send(TaskAnswer(fate, outcome, error, leaving))
        except BrokenPipeError:
            raise
        except Exception as problem:
            unsent = Code.OUTCOME_NOT_SENT(why=reason_of(problem))
            voice.send(TaskAnswer(Fate.BROKEN, None, unsent, leaving))
        if leaving:
            return


def _do(task: Task, reporter: Reporter, work: Callable[[Task, Reporter], object]) -> tuple[Fate, object, Why]:
    try:
        return Fate.DONE, work(task, reporter), ""
    except TaskEnded as ended:
        return ended.fate, None, ended.why
    except AlpenhornError as error:
        return Fate.BROKEN, None, reason_of(error)
    except BaseException as error:
        _log.exception("%s job on node %d failed", task.kind, task.node_id)
        return Fate.BROKEN, None, reason_of(error)


def receive(fd: int) -> Any:
    """Read one message; return None if the other end of the pipe was closed."""
    header = _read(fd, LENGTH.size)
    if len(header) < LENGTH.size:
        return None
    length = LENGTH.unpack(header)[0]
    data = _read(fd, length)
    return pickle.loads(data) if len(data) == length else None


def _read(fd: int, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := os.read(fd, size - len(data))):
        data += more
    return data


class AnswerPipe:
    """The pipe to the main process; sends whole messages from any thread."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lock = Lock()

    def send(self, content: object) -> None:
        data = message(content)
        with self._lock:
            write_all(self._fd, data)


class _Reporter:
    def __init__(self, voice: AnswerPipe, asked: list[bool], interrupted: list[bool], every: float) -> None:
        self._voice = voice
        self._every = every
        self._asked = asked
        self._interrupted = interrupted
        self._files = 0
        self._bytes = 0
        self._path = ""
        self._failed = 0
        self._next = time.monotonic() + every

    def begin(self, path: str) -> None:
        self._path = path
        self.progress(0, 0)

    def fail(self) -> None:
        self._failed += 1

    def progress(self, files: int, bytes: int) -> None:
        self._files += files
        self._bytes += bytes
        now = time.monotonic()
        if now >= self._next:
            self._next = now + self._every
            self._voice.send(JobProgress(self._files, self._bytes, self._path, self._failed))

    def stopping(self) -> bool:
        return self._asked[0] or self._interrupted[0]
