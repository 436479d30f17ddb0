"""A process for notifications, which the kernel kills at a deadline.

A name server that does not answer blocks a thread in a call that nothing ends, so the run itself makes none.  The
process holds none of the run's files, and ends with the run.
"""

from __future__ import annotations

import json
import os
import select
import signal
import time
from collections.abc import Callable
from typing import Any, NoReturn

from alpenhorn import logs
from alpenhorn.errors import CommandFailed, CommandTimedOut
from alpenhorn.fs import processes
from alpenhorn.workers.serving import detach

PROGRAM = "the process for notifications"
NAME = "alpenhorn-note"  # name of the process in ps
_ANSWER_B = 64 * 1024


class Separately:
    """A call in a process of its own that has `seconds`.  `work` must return what JSON can hold."""

    def __init__(self, work: Callable[[], Any], seconds: float) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds
        processes.prepare()
        reading, writing = os.pipe2(os.O_CLOEXEC)
        parent = os.getpid()
        try:
            with processes.signals_blocked():
                self._pid = os.fork()
                if self._pid == 0:
                    _run(parent, writing, work, seconds)
        except OSError:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        self._reading = reading

    def result(self, within: float | None = None) -> Any:
        """Wait for the end, at most that many seconds, and kill the process.

        Raises CommandTimedOut, and CommandFailed if the call raised an error.
        """
        end = self._end if within is None else min(self._end, time.monotonic() + within)
        poll = select.poll()
        poll.register(self._reading, select.POLLIN)
        said, ended = b"", False
        try:
            while not ended and poll.poll(max(0.0, end - time.monotonic()) * 1000):
                more = os.read(self._reading, _ANSWER_B)
                said += more
                ended = not more
        finally:
            os.close(self._reading)
            if ended:  # it closes the pipe when it exits
                os.waitpid(self._pid, 0)
            else:
                processes.kill_tree(self._pid)
        try:
            answer, error = json.loads(said)
        except ValueError:  # it was killed before it had written everything
            raise CommandTimedOut(PROGRAM, self._seconds if within is None else within) from None
        if error:
            raise CommandFailed(PROGRAM, 1, error)
        return answer


def _run(parent: int, writing: int, work: Callable[[], Any], seconds: float) -> NoReturn:
    """Run the process; never returns."""
    try:
        processes.die_with_parent(parent)
        logs.forward(lambda record: None)  # the log's file is closed below
        detach(writing)
        processes.rename(NAME)
        processes.forget_handlers()
        signal.setitimer(signal.ITIMER_REAL, seconds)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        try:
            document: Any = (work(), "")
        except Exception as error:  # without its text, which may contain a secret
            document = (None, f"{type(error).__name__}, raised in line {_line(error)}")
        answer = memoryview(json.dumps(document).encode())
        while answer:
            answer = answer[os.write(writing, answer) :]
    finally:
        os._exit(0)


def _line(error: Exception) -> str:
    """Return where an error was raised."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    return (
        "?" if last is None else f"{last.tb_lineno} of {os.path.basename(last.tb_frame.f_code.co_filename)}"
    )
