"""Simulated time: events, and processes that sleep, of which one is awake at a time.

A process is a thread, because a run of alpenhorn waits deep inside of its own functions.  The threads never run at the
same time: each one that goes to sleep hands over to what is next, so that the same world always has the same history.
"""

from __future__ import annotations

import datetime
import heapq
import threading
from collections.abc import Callable
from itertools import count

from alpenhorn.index.times import naive


class Over(BaseException):
    """The simulation has ended; no error that a process may handle."""


class _Process:
    def __init__(self, body: Callable[[], None]) -> None:
        self.body = body
        self.turn = threading.Semaphore(0)
        self.thread: threading.Thread | None = None


class Schedule:
    """The clock of the simulation.  `now`: POSIX seconds."""

    def __init__(self, start: float) -> None:
        self.now = start
        self._number = count()
        self._next: list[tuple[float, int, _Process | Callable[[], None]]] = []
        self._main = threading.Semaphore(0)
        self._awake: _Process | None = None
        self._over = False
        self._error: BaseException | None = None

    def utc(self) -> datetime.datetime:
        """Return the time as naive UTC."""
        return naive(self.now)

    def monotonic(self) -> float:
        return self.now

    def call(self, at: float, event: Callable[[], None]) -> None:
        """Call a function, which must not sleep, at a time."""
        self._plan(at, event)

    def start(self, body: Callable[[], None]) -> None:
        """Begin a process now."""
        self._plan(self.now, _Process(body))

    def sleep_until(self, at: float) -> None:
        """Let the calling process sleep; a time in the past is now.  Raises Over at the end of the simulation."""
        me = self._awake
        assert me is not None, "called from no process"
        self._plan(max(at, self.now), me)
        self._main.release()
        me.turn.acquire()
        if self._over:
            raise Over

    def run(self, until: float) -> None:
        """Go on until a time; raise the first error of any process or event."""
        while self._next and self._next[0][0] <= until:
            self.now, _, one = heapq.heappop(self._next)
            if isinstance(one, _Process):
                self._wake(one)
            else:
                one()
            if self._error is not None:
                raise self._error
        self.now = until

    def end(self) -> None:
        """End all processes, wherever they are."""
        self._over = True
        for _, _, one in self._next:
            if isinstance(one, _Process) and one.thread is not None:
                self._wake(one)
        self._next.clear()

    def _plan(self, at: float, one: _Process | Callable[[], None]) -> None:
        heapq.heappush(self._next, (at, next(self._number), one))

    def _wake(self, process: _Process) -> None:
        self._awake = process
        if process.thread is None:
            process.thread = threading.Thread(target=self._live, args=(process,), daemon=True)
            process.thread.start()
        else:
            process.turn.release()
        self._main.acquire()
        self._awake = None

    def _live(self, process: _Process) -> None:
        try:
            process.body()
        except Over:
            pass
        except BaseException as error:
            self._error = error
        finally:
            self._main.release()
