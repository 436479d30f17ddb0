"""Tell metrics and notifications how a run ended, also if it could not begin.

Nothing that they do changes the exit status of the run or replaces its error: their failures are printed as notes.
"""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from alpenhorn.cli.app import App
from alpenhorn.errors import AlpenhornError, IndexUnusable
from alpenhorn.kinds import load
from alpenhorn.outside import exception

if TYPE_CHECKING:
    from alpenhorn.config import Config
    from alpenhorn.coordinator.report import Report
    from alpenhorn.index.connection import Index
    from alpenhorn.monitoring.run_end import RunEnd
    from alpenhorn.monitoring.run_start import RunStart

    AtEnd = Callable[[Index | None, RunEnd], Iterable[str] | None]

T = TypeVar("T")

_log = logging.getLogger(__name__)

DEADLINE = 25.0  # seconds for one receiver; those that use the network have shorter deadlines of their own
AGAIN = 1.0  # seconds after which a deadline that a receiver ignored is enforced again


class Receiver(NamedTuple):
    """Something that is told of runs.

    `wanted`: whether it is configured.  Functions are named as "module:function", and imported only if it is.
    `end`: called with the configuration, the open index or None, and the RunEnd; it may return texts, which are
    printed as notes.  `begin`: called with the configuration and the RunStart before any work; it returns what is
    called as `end` instead.
    """

    name: str
    wanted: Callable[[Config], bool]
    end: str = ""
    begin: str = ""


RECEIVERS: tuple[Receiver, ...] = (
    Receiver(
        "metrics",
        lambda config: config.metrics.textfile is not None,
        end="alpenhorn.monitoring.metrics:write",
    ),
    Receiver("notify", lambda config: config.notify.wanted, begin="alpenhorn.monitoring.notify:begin"),
)


class MonitoredRun:
    """A run in progress.  `report`: set it when there is one."""

    def __init__(self) -> None:
        self.report: Report | None = None


@contextmanager
def monitored(
    app: App,
    command: str,
    *,
    whole: bool,
    dry: bool = False,
    receivers: Sequence[Receiver] = RECEIVERS,
    seconds: float = DEADLINE,
) -> Iterator[MonitoredRun]:
    """Return a context for a whole run, from before its workers are forked until its report is printed.

    `command`: as in RunStart.  `whole`: it does all work of its host.  `dry`: it changes nothing, and nothing is told
    of it.  Nothing is imported unless one of the `receivers` is configured; each has that many `seconds`.
    """
    run = MonitoredRun()
    wanted = [] if dry else [one for one in receivers if one.wanted(app.config)]
    if not wanted:
        yield run
        return
    from alpenhorn.monitoring.run_start import RunStart  # only if a receiver is configured

    start = RunStart(app.host, command, app.now(), not whole, sys.stdout.isatty())
    called = [(one.name, _begun(app, one, start, seconds)) for one in wanted]
    error: BaseException | None = None
    try:
        yield run
    except BaseException as raised:
        error = raised
        raise
    finally:
        try:
            index = None if isinstance(error, IndexUnusable) else app.open_index_or_none
            # After the workers are forked, to keep them small.
            from alpenhorn.monitoring.run_end import run_end

            end = _guarded(
                "the end of the run", lambda: run_end(start, app.now(), run.report, error), seconds
            )
            for name, call in called:
                if call is None or end is None:
                    continue
                for text in _guarded(name, partial(_tell, call, index, end), seconds) or ():
                    _note(text)
        except KeyboardInterrupt:
            _note("stopped; not all metrics and notifications of this run were written")


def _begun(app: App, receiver: Receiver, start: RunStart, seconds: float) -> AtEnd | None:
    """Return what to call at the end of the run; None if the receiver failed."""
    if not receiver.begin:
        return lambda index, end: load(receiver.end)(app.config, index, end)
    found: AtEnd | None = _guarded(receiver.name, lambda: load(receiver.begin)(app.config, start), seconds)
    return found


def _tell(call: AtEnd, index: Index | None, end: RunEnd) -> list[str]:
    with index.glancing() if index is not None else nullcontext():
        return list(call(index, end) or ())


def _guarded(name: str, call: Callable[[], T], seconds: float) -> T | None:
    """Return what a receiver returns; print why it failed, and return None."""
    try:
        with _deadline(seconds):
            return call()
    except Exception as error:
        _log.exception("%s failed", name)
        _note(f"{name}: {error if isinstance(error, AlpenhornError | TimeoutError) else exception(error)}")
        return None


@contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in the block after that time, again and again until it ends."""

    def late(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"took longer than {seconds:g} s and was given up")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _note(text: str) -> None:
    from alpenhorn.cli import output  # few runs have notes

    with suppress(OSError):  # standard error is closed, which must not change the exit status
        output.warning(text)
