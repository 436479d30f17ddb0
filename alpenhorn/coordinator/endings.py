"""The end of a run: exit status, and row in the index.

A run that fails writes the reason once, without waiting, since the index may be the cause.  If that fails too, the row
has no end, and `alpenhorn.coordinator.run_states` finds that the process is gone.
"""

from __future__ import annotations

import contextlib
import datetime
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import NamedTuple

from alpenhorn.coordinator.report import Report
from alpenhorn.errors import FAILED, INTERRUPTED, AlpenhornError, Busy, IndexUnusable
from alpenhorn.index.connection import Index
from alpenhorn.reasons import Code, Reason
from alpenhorn.record import run as runs
from alpenhorn.workers.stopping import SIGNALS

_log = logging.getLogger(__name__)

LONGEST = 500  # characters of an error in a row
_SIGNALS = {128 + number: number.name for number in SIGNALS}


class Ending(NamedTuple):
    """The end of a run.  `why`: why it ended early, None if it did not."""

    exit_status: int
    why: Reason | None


def came_to(report: Report, host: str) -> Ending:
    """Return the ending of a run that raised no error."""
    if report.no_node:
        why: Reason | None = Code.RUN_NO_NODE(host=host)
    elif report.stopped:
        why = Code.RUN_STOPPED()
    elif report.nodes and report.failures and all(name in report.left_out for name in report.nodes):
        why = Code.RUN_NODES_LOST()
    elif report.out_of_time:
        why = Code.RUN_OUT_OF_TIME()
    elif report.compared and all(one.unrecorded for one in report.compared):
        why = Code.DRY_RUN()
    else:
        why = None
    return Ending(report.exit_status, why)


def died_of(error: BaseException) -> Ending:
    """Return the ending of a run that raised an error, with the exit status that `alpenhorn.cli.main` gives."""
    if isinstance(error, IndexUnusable):
        return Ending(error.exit_status, Code.RUN_INDEX_LOST(error=_line(error)))
    if isinstance(error, AlpenhornError):
        return Ending(error.exit_status, Code.RUN_FAILED(error=_line(error)))
    if isinstance(error, KeyboardInterrupt):
        return Ending(INTERRUPTED, Code.RUN_SIGNAL(signal="SIGINT"))
    if isinstance(error, SystemExit):
        status = error.code if isinstance(error.code, int) else FAILED
        return Ending(status, Code.RUN_SIGNAL(signal=_SIGNALS.get(status, f"status {status}")))
    if isinstance(error, MemoryError):
        return Ending(FAILED, Code.RUN_NO_MEMORY())
    return Ending(FAILED, Code.RUN_FAILED(error=f"{type(error).__name__}: {_line(error)}"))


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:LONGEST]


class Row:
    """The row of one run.

    As a context manager it records the error that ended the run, except Busy: then there was no run.
    """

    def __init__(
        self, index: Index, host: str, clock: Callable[[], datetime.datetime], report: Report
    ) -> None:
        self._index = index
        self._host = host
        self._clock = clock
        self._report = report
        self._run: runs.Run | None = None

    def begin(self, nodes: Sequence[str]) -> runs.Run:
        self._run = runs.begin(self._index, self._host, nodes, self._clock, os.getpid())
        self._report.run_id = self._run.id
        return self._run

    def end(self, free_b: Mapping[int, int | None]) -> None:
        self._write(came_to(self._report, self._host), free_b)

    def _write(self, ending: Ending, free_b: Mapping[int, int | None]) -> None:
        run = self._run or self.begin([])
        counts = {kind: tally.as_dict() for kind, tally in self._report.tallies.items()}
        runs.end(self._index, run, ending.exit_status, counts, free_b, ending.why)
        # Without the conditions that were reported lately: each run has the same ones again.
        failures = self._report.failures.lines()
        try:
            with self._index.impatient():
                runs.failures(self._index, run, failures)
        except Exception as error:  # what was printed and logged must not change how the run ended
            _log.warning("run %d: its failures are not in the history: %s", run.id, _line(error))
        _log.info(
            "run %d ends with status %d; %s%s",
            run.id,
            ending.exit_status,
            "; ".join(
                f"{kind}: {count['done']} done, {count['failed']} failed" for kind, count in counts.items()
            )
            or "nothing to do",
            f"; {ending.why}" if ending.why else "",
        )

    def __enter__(self) -> Row:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, Busy):
            return
        # An error here must not hide the one that ended the run.
        with contextlib.suppress(Exception), self._index.impatient():
            # A statement may have been interrupted, which leaves the session unusable.
            self._index.disconnect()
            self._write(died_of(error), {})


def messages_lost(index: Index, run_id: int | None, error: OSError) -> None:
    """Record that a run's messages could not be printed."""
    if run_id is not None:
        with contextlib.suppress(Exception):
            runs.replace_status(index, run_id, FAILED, Code.RUN_UNHEARD(error=error.strerror or error))


def without_workers(
    index: Index, host: str, clock: Callable[[], datetime.datetime], error: BaseException
) -> None:
    """Record a run that failed because its workers could not be started."""
    status = died_of(error).exit_status
    with contextlib.suppress(Exception), index.impatient():
        run = runs.begin(index, host, [], clock, os.getpid())
        runs.end(index, run, status, {}, {}, Code.RUN_NO_WORKERS(error=_line(error)))
