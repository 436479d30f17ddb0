"""What a user sees, and can stop, while many files are counted or changed.

On a terminal a line tells what is done, how far it has come and the time it has taken; it is gone afterwards.
Ctrl-C ends the statement at work, whose transaction is then rolled back.
"""

from __future__ import annotations

import math
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

from alpenhorn.cli import output
from alpenhorn.cli.app import App
from alpenhorn.errors import INTERRUPTED
from alpenhorn.index.bulk import Interrupter
from alpenhorn.index.selections import Piece, SelectionPart

if TYPE_CHECKING:
    from rich.progress import Progress

NOTHING = "stopped; nothing was changed"
INTERVAL = 0.1  # seconds
FIRST_AFTER = 0.5  # what is over sooner shows nothing
GRACE = 3.0  # what cannot be ended within that is left to the database, which undoes it
END = 0  # no signal has that number


class Waiting:
    """To be entered around what may take long.  `doing`: in words, as "Counting the copies on field1".

    `changing`: what is done changes the index.  Then Ctrl-C only ends the statement at work, and KeyboardInterrupt is
    raised when it is known whether that was done; otherwise at once.  The second Ctrl-C ends the process.
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
        """Tell how many of how many are done.  Raises KeyboardInterrupt when it is to be stopped here."""
        if self._stopped:
            raise KeyboardInterrupt
        self._at = (done, of)

    def __enter__(self) -> Waiting:
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
        # Delivered to this thread it would not wake the other one from its waiting for input.
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
                    # Again and again: the statement may only have been about to begin.
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
        output.note(_stopped(done, of) if self._changing else NOTHING)
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


def in_pieces(
    app: App, doing: str, pieces: Sequence[Piece], change: Callable[[tuple[SelectionPart, ...]], int]
) -> int:
    """Change piece after piece, each in a transaction, and return the sum of what `change` returns.

    What was stopped in between is told before the error is raised; done again, the same command does the rest.
    """
    of = sum(piece.files for piece in pieces)
    at, done = 0, 0
    try:
        with Waiting(app, doing, changing=True) as waiting:
            for piece in pieces:
                waiting.at(at, of)
                done += change(piece.parts)
                at += piece.files
    except (KeyboardInterrupt, Exception) as error:
        if done or isinstance(error, KeyboardInterrupt):
            output.note(_stopped(done, of))
        raise
    return done


def _stopped(done: int, of: int) -> str:
    return f"stopped after {done} of {of}; the same command does the rest" if done else NOTHING
