"""The process that carries out jobs of a run on another machine: `python -m alpenhorn.workers.cluster_child`.

It is to the worker of Dask that started it what a worker of the pool is to the main process, and reads tasks and
writes answers in the same way (`alpenhorn.workers.serving`).  A third pipe has a byte for each message from the run.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from threading import Thread
from typing import NamedTuple

from alpenhorn import logs
from alpenhorn.config import Transfer
from alpenhorn.fs import processes
from alpenhorn.model.cluster import SILENCE
from alpenhorn.workers.serving import AnswerPipe, detach, receive, serve
from alpenhorn.workers.worker import Worker

NAME = "alpenhorn-job"  # name of the processes in ps
PROGRESS_EVERY = 1.0  # seconds; each report is a message over the network


class Hello(NamedTuple):
    """The first message to the process.  `level`: that of the log of the run; `umask`: the one of the run."""

    transfer: Transfer
    level: int
    umask: int


def main(parent: int, tasks: int, answers: int, beats: int) -> None:
    processes.die_with_parent(parent)
    detach(tasks, answers, beats)
    processes.rename(NAME)
    # The kernel ends the process, so it ends even if this program hangs in a library.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    _end_unless_called()
    Thread(target=_listen, args=(beats,), daemon=True).start()
    hello: Hello | None = receive(tasks)
    if hello is None:
        return
    os.umask(hello.umask)
    voice = AnswerPipe(answers)
    logging.getLogger(logs.ROOT).setLevel(hello.level)
    logs.forward(voice.send)
    serve(tasks, voice, Worker(hello.transfer), set(), PROGRESS_EVERY)


def _end_unless_called() -> None:
    signal.setitimer(signal.ITIMER_REAL, SILENCE)


def _listen(beats: int) -> None:
    while os.read(beats, 4096):
        _end_unless_called()
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
