"""Long operations on the index: show progress on a terminal, and stop on Ctrl-C.

One line shows the operation, its progress and the elapsed time; it is erased at the end.  Ctrl-C ends the running
statement, and its transaction is rolled back.
"""

from __future__ import annotations

import gc
import math
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain, islice
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from alpenhorn.cli import output
from alpenhorn.cli.app import App
from alpenhorn.errors import INTERRUPTED
from alpenhorn.index.bulk import Interrupter

if TYPE_CHECKING:
    from rich.progress import Progress

    from alpenhorn.index.connection import Index

Row = TypeVar("Row")

NOTHING = "stopped; nothing was changed"
INTERVAL = 0.1  # seconds
REPORTED = 100  # rows between two reports of progress
FIRST_AFTER = 1.0  # seconds; shorter operations show no progress
GRACE = 3.0  # seconds; then the process exits, and the database rolls back
END = 0  # not the number of any signal


class LongWork:
    """A context manager for a long operation.  `doing` describes it, such as "Counting the copies on field1".

    `changing`: the operation changes the index.  Then Ctrl-C only ends the running statement, and KeyboardInterrupt is
    raised once the outcome of the statement is known; otherwise it is raised at once.  A second Ctrl-C ends the
    process.  Another thread shows progress and interrupts, because the calling thread waits for the database.  If it is
    stopped or fails after a part, the user is told how much was done.  `whole`: it is one transaction, of which nothing
    is kept then.

    `index`: another index than that of the app.  `interrupts`: if false, Ctrl-C is left as it is, for work whose own
    clean-up after it may take long.
    """

    def __init__(
        self,
        app: App,
        doing: str,
        changing: bool = False,
        whole: bool = False,
        index: Index | None = None,
        interrupts: bool = True,
    ) -> None:
        self._doing = output.harmless(doing)
        self._changing = changing
        self._whole = whole
        self._interrupts = interrupts
        self._drawn = sys.stderr.isatty() and app.verbosity >= 0
        self._interrupt = Interrupter(app.index if index is None else index)
        self._at: tuple[int, int] = (0, 0)
        self._started = time.monotonic()
        self._stopped = False
        self._collects = False
        self._progress: Progress | None = None
        self._before: Any = None

    def at(self, done: int, of: int) -> None:
        """Report progress: `done` of `of` are done.  Raises KeyboardInterrupt after Ctrl-C."""
        self._at = (done, of)
        if self._collects:
            gc.collect(0)
        if self._stopped:
            raise KeyboardInterrupt

    def counted(self, rows: Iterable[Row], of: int) -> Iterator[Row]:
        """Yield rows, `of` in all, and report progress."""
        for done, row in enumerate(rows):
            if done % REPORTED == 0:
                self.at(done, of)
            yield row

    def __enter__(self) -> LongWork:
        self._reading, self._writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        # A collection by the other thread may close a cursor of SQLite, which waits for the running statement; then
        # Ctrl-C would not end it.
        self._collects = gc.isenabled()
        gc.disable()
        # A handler that was replaced or ignores Ctrl-C is kept; only the main thread may set one.
        default = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._interrupts and default and threading.current_thread() is threading.main_thread():
            # In this order: a signal that only the handler receives would not end any statement.
            self._wakeup = signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
            self._before = signal.signal(signal.SIGINT, self._stop)
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.write(self._writing, bytes([END]))
        self._thread.join()
        if self._collects:
            gc.enable()
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            signal.set_wakeup_fd(self._wakeup)
        os.close(self._reading)
        os.close(self._writing)
        if error is not None and (self._stopped or isinstance(error, KeyboardInterrupt)):
            if self._interrupts:
                output.warning(self._outcome())
            if not isinstance(error, KeyboardInterrupt):
                raise KeyboardInterrupt from error
        elif error is not None and self._outcome() != NOTHING:
            output.warning(self._outcome())

    def _outcome(self) -> str:
        """Return what is left of an operation that was stopped."""
        done, of = self._at
        if not done or not self._changing or self._whole:
            return NOTHING
        return f"stopped after {done} of {of}; to do the rest, run the same command again"

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._stopped = True
        if not self._changing:
            raise KeyboardInterrupt

    def _watch(self) -> None:
        # Otherwise this thread could receive the signal, and the main thread would not wake up.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        interrupts = 0
        give_up = math.inf
        while True:
            received = self._received()
            if END in received:
                self._erase()
                return
            if signal.SIGINT in received:
                interrupts += received.count(signal.SIGINT)
                give_up = min(give_up, time.monotonic() + GRACE)
            if interrupts > 1 or time.monotonic() > give_up:
                break
            if interrupts:
                # Repeated, because the statement may not have begun yet.
                self._interrupt()
            if self._drawn and time.monotonic() > self._started + FIRST_AFTER:
                self._draw()
        self._erase()
        try:
            # The main thread waits for an SQLite lock, or for a server that does not answer.
            output.warning(self._outcome())
        finally:
            os._exit(INTERRUPTED)

    def _received(self) -> bytes:
        """Wait for INTERVAL at most, and return the numbers of the signals that came."""
        try:
            ready, _, _ = select.select([self._reading], [], [], INTERVAL)
        except OSError:
            # Waits with a valid time failed with EINVAL on Linux 6.18; without this thread, Ctrl-C would end nothing.
            return b""
        return os.read(self._reading, 1000) if ready else b""

    def _draw(self) -> None:
        try:
            self._progress = self._progress or self._begin()
            done, of = self._at
            self._progress.update(self._progress.task_ids[0], completed=done, total=of or None, refresh=True)
        except OSError:
            self._drawn = False  # the terminal is gone; Ctrl-C must still end the statement

    def _erase(self) -> None:
        if self._progress is not None:
            with suppress(OSError):
                self._progress.stop()

    def _begin(self) -> Progress:
        # 28 ms, and only long operations on a terminal need rich.
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


def until_first_row(app: App, doing: str, rows: Iterable[Row]) -> Iterator[Row]:
    """Yield rows; show what is done on a terminal until the first one arrives, since the query may take long."""
    remaining = iter(rows)
    with LongWork(app, doing):
        first = list(islice(remaining, 1))
    yield from chain(first, remaining)


def in_pages(app: App, doing: str, rows: Iterable[Row]) -> Iterator[Row]:
    """Yield rows for a table; show what is done on a terminal while each page of them is read."""
    remaining = iter(rows)
    while True:
        with LongWork(app, doing):
            page = list(islice(remaining, output.PAGE))
        if not page:
            return
        yield from page
