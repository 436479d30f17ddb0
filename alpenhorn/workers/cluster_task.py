"""On a worker of a Dask cluster: start processes that carry out jobs, and relay messages between them and a run.

A run calls these functions with `distributed.Client.run`.  They are no tasks of Dask, so the scheduler never repeats
one, and needs no port besides its own.  A session is one process, for one worker of the run, which alone knows its id.
The process does not trust this one to watch it (it may be stopped, or cut off): it ends by itself if it does not hear
from the run for SILENCE seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import subprocess
import sys

from alpenhorn import __version__
from alpenhorn.fs import processes
from alpenhorn.model.cluster import SILENCE
from alpenhorn.workers.serving import write_all

PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"

_READ = 64 * 1024
_PROGRAM = "alpenhorn.workers.cluster_child"
_EXIT = 0.2  # seconds
_KEPT = 2 * SILENCE  # seconds for which an ended session is kept, for a run that has yet to hear of its end


async def about() -> tuple[str, str, str]:
    """Return the name of this host, and the versions of alpenhorn and Python: text that every version understands."""
    return os.uname().nodename, __version__, PYTHON


async def begin(session_id: str, hello: bytes) -> None:
    """Start the process of a new session, and send it its first message.  Raises OSError, ValueError if it exists."""
    if session_id in _sessions:
        raise ValueError("the session exists already")
    logging.getLogger("distributed.worker").addFilter(_not_an_exchange)
    _sessions[session_id] = session = _Session(session_id)
    await session.write(hello)


async def exchange(
    session_id: str, number: int, data: bytes, interrupt: int, wait: float
) -> tuple[bytes, str]:
    """Pass `data` to the process; return what it has written, and how it ended, "" if it has not.

    Waits up to `wait` seconds until there is something to return.  `number`: that of this exchange in the session;
    `interrupt`: a signal for the process, 0 for none.  Raises LookupError if the exchange is not the next one: a
    message that was delivered twice must not start a job again.
    """
    session = _sessions.get(session_id)
    if session is None:
        return b"", "is not there any more"
    if number != session.exchanges + 1:
        raise LookupError(f"exchange {number} is not the next one")
    session.exchanges = number
    session.beat()
    if interrupt:
        # Not `send_signal`, which reaps a process that has ended, so that its id could be that of another one.
        os.kill(session.process.pid, interrupt)
    if data:
        await session.write(data)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(session.news.wait(), wait)
    return await session.take()


async def end(session_id: str) -> bool:
    """Kill the process of a session with all that it started; return whether all have ended, False if unknown."""
    session = _sessions.pop(session_id, None)
    if session is None:
        return False
    try:
        return not await asyncio.to_thread(processes.kill_tree, session.process.pid)
    finally:
        session.close()


class _Session:
    def __init__(self, session_id: str) -> None:
        self.id = session_id
        self.exchanges = 0
        self.news = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._received = bytearray()
        tasks, self._tasks = os.pipe2(os.O_CLOEXEC)
        self._answers, answers = os.pipe2(os.O_CLOEXEC)
        beats, self._beats = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(beats, True)
        theirs = (tasks, answers, beats)
        try:
            # -P: a file of the directory in which the worker was started must not be taken for a module.
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", _PROGRAM, *map(str, (os.getpid(), *theirs))],
                stdin=subprocess.DEVNULL,
                pass_fds=theirs,
            )
        except BaseException:
            for fd in (self._tasks, self._answers, self._beats):
                os.close(fd)
            raise
        finally:
            for fd in theirs:
                os.close(fd)
        os.set_blocking(self._answers, False)
        self._ended = False
        self._loop.add_reader(self._answers, self._read)

    def beat(self) -> None:
        with contextlib.suppress(OSError):  # full: it has enough to read; broken: it has ended
            os.write(self._beats, b".")

    async def write(self, data: bytes) -> None:
        """Write to the process, which reads at once unless it hangs."""
        with contextlib.suppress(BrokenPipeError):  # it has ended, which `take` reports
            await asyncio.to_thread(write_all, self._tasks, data)

    async def take(self) -> tuple[bytes, str]:
        """Return what was received, and how the process ended."""
        data = bytes(self._received)
        self._received.clear()
        self.news.clear()
        if not self._ended:
            return data, ""
        self.news.set()
        return data, await asyncio.to_thread(self._how_ended)

    def _how_ended(self) -> str:
        pidfd = os.pidfd_open(self.process.pid)
        try:
            processes.has_ended(pidfd, _EXIT)  # its pipes close before its exit status is known
        finally:
            os.close(pidfd)
        return processes.how_ended(os.P_PID, self.process.pid) or "closed its pipe"

    def close(self) -> None:
        self._loop.remove_reader(self._answers)
        for fd in (self._tasks, self._answers, self._beats):
            os.close(fd)
        self.process.poll()  # it was reaped, which `Popen` cannot know

    def _read(self) -> None:
        data = os.read(self._answers, _READ)
        self._received += data
        self.news.set()
        if not data:
            self._ended = True
            self._loop.remove_reader(self._answers)
            self._loop.call_later(_KEPT, self._forget)

    def _forget(self) -> None:
        """Remove the session of a run that has ended itself."""
        if _sessions.get(self.id) is self:
            self._forgetting = self._loop.create_task(end(self.id))


_sessions: dict[str, _Session] = {}


def _not_an_exchange(record: logging.LogRecord) -> bool:
    """Return False for the line that Dask logs for each exchange: several a second would fill its log."""
    return not (isinstance(record.args, tuple) and exchange.__name__ in record.args)
