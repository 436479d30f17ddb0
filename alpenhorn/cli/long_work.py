"""Work on the index that takes long: its progress on a terminal, and how Ctrl-C ends it.

A line shows what is done, how far it has come and the time it has taken; it is erased afterwards.  Ctrl-C ends the
statement that is running, and its transaction is rolled back.
"""

from __future__ import annotations

import math
import os
import select
import signal
import sys
import threading
import time
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

from alpenhorn.cli import output
from alpenhorn.cli.app import App
from alpenhorn.errors import INTERRUPTED
from alpenhorn.index.bulk import Interrupter

if TYPE_CHECKING:
    from rich.progress import Progress

NOTHING = "stopped; nothing was changed"
INTERVAL = 0.1  # seconds
FIRST_AFTER = 0.5  # shorter work shows nothing
GRACE = 3.0  # after that the database rolls back what could not be ended
END = 0  # no signal has that number


class LongWork:
    """A context manager around work that may take long.  `doing` describes it, as "Counting the copies on field1".

    `changing`: the work changes the index.  Then Ctrl-C only ends the running statement, and KeyboardInterrupt is
    raised once it is known whether that was done; otherwise at once.  A second Ctrl-C ends the process.
    A thread draws and interrupts, since this one is busy inside the database's library.
    """

    def __init__(self, app: App, doing: str, changing: bool = False) -> None:
        self._doing = output.harmless(doing)
        self._changing = changing
        self._drawn = sys.stderr.isatty() and app.verbosity >= 0
        self._interrupt = Interrupter(app.index)
        self._at: tuple[int, int] = (0, 0)
        self._started = time.monotonic()
        self._stopped = False
        self._before: Any = None

    def at(self, done: int, of: int) -> None:
        """Report how many of how many are done.  Raises KeyboardInterrupt after Ctrl-C."""
        if self._stopped:
            raise KeyboardInterrupt
        self._at = (done, of)

    def __enter__(self) -> LongWork:
        self._reading, self._writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        # Where Ctrl-C is ignored, or somebody else's, it stays so; a thread cannot have it.
        ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if ours and threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._stop)
            self._wakeup = signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.write(self._writing, bytes([END]))
        self._thread.join()
        if self._before is not None:
            signal.set_wakeup_fd(self._wakeup)
            signal.signal(signal.SIGINT, self._before)
        os.close(self._reading)
        os.close(self._writing)
        if self._stopped and error is not None and not isinstance(error, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        if not self._changing and isinstance(error, KeyboardInterrupt):
            output.note(NOTHING)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._stopped = True
        if not self._changing:
            raise KeyboardInterrupt

    def _watch(self) -> None:
        # A signal that this thread receives would not wake the other one, which waits for input.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        progress: Progress | None = None
        asked = 0
        give_up = math.inf
        try:
            while True:
                ready, _, _ = select.select([self._reading], [], [], INTERVAL)
                told = os.read(self._reading, 1000) if ready else b""
                if END in told:
                    return
                if signal.SIGINT in told:
                    asked += told.count(signal.SIGINT)
                    give_up = min(give_up, time.monotonic() + GRACE)
                if asked > 1 or time.monotonic() > give_up:
                    break
                if asked:
                    # Repeatedly: the statement may not have begun yet.
                    self._interrupt()
                if self._drawn and time.monotonic() > self._started + FIRST_AFTER:
                    progress = progress or self._begin()
                    done, of = self._at
                    progress.update(progress.task_ids[0], completed=done, total=of or None, refresh=True)
        finally:
            if progress is not None:
                progress.stop()
        # It waits for a lock on SQLite, or for a server that does not answer.
        done, of = self._at
        output.note(stopped_after(done, of) if self._changing else NOTHING)
        os._exit(INTERRUPTED)

    def _begin(self) -> Progress:
        # Imported here because only what takes long on a terminal needs it.
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        task = progress.add_task(self._doing, total=None)
        progress.tasks[task].start_time = self._started
        progress.start()
        return progress


def stopped_after(done: int, of: int) -> str:
    return f"stopped after {done} of {of}; the same command does the rest" if done else NOTHING
