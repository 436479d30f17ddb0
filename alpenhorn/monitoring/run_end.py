"""The end of a run, as metrics and notifications get it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

from alpenhorn.coordinator.endings import came_to, died_of
from alpenhorn.coordinator.report import Notes, Report
from alpenhorn.errors import DONE, AlpenhornError, Busy
from alpenhorn.model.conditions import Key
from alpenhorn.monitoring.run_start import RunStart
from alpenhorn.plan.conditions import key
from alpenhorn.reasons import Code, Reason, about, code_of

FAILURE = "failure"
WARNING = "warning"


class WorkAmount(NamedTuple):
    """Work of one kind: files done and failed, and bytes moved or read."""

    done: int
    failed: int
    bytes: int


class Problem(NamedTuple):
    """A failure or a warning of a run.

    `level`: FAILURE or WARNING.  `what`: the same for each run that has the problem, unlike `text`, which may have
    counts and an example.  `keys`: of its conditions, or of the message itself if it is not `lasting`.
    """

    level: str
    what: Reason
    text: Reason
    keys: tuple[Key, ...]
    lasting: bool

    @property
    def line(self) -> str:
        """The problem as a run prints it."""
        return f"{'failed' if self.level == FAILURE else 'note'}: {self.text}"


class RunEnd(NamedTuple):
    """The end of a run, also of one that could not begin.

    `run_id`: None if it has no row in the index.  `began`, `ended`: naive UTC.  `why`: why it ended early, "" if it did
    not.  `nodes`: names of the nodes that it worked on; `left_out`: of those that it could not work on, because they
    failed or another run holds them.  `lines`: failures and notes in the form in which they are printed, also those
    that were printed by an earlier run.  `amounts`: by kind of work.  `command`, `partial`: as in RunStart.

    `problems`: what `lines` are made of.  `complete`: a problem that is not among them has ended, except for those in
    `unknown`, which were not checked.
    """

    host: str
    run_id: int | None
    began: datetime
    ended: datetime
    exit_status: int
    why: str
    nodes: tuple[str, ...]
    left_out: tuple[str, ...]
    lines: tuple[str, ...]
    amounts: Mapping[str, WorkAmount]
    command: str = "sync"
    partial: bool = False
    problems: tuple[Problem, ...] = ()
    complete: bool = False
    unknown: frozenset[Key] = frozenset()

    @property
    def worked(self) -> bool:
        """Whether the run did all work of its host, on all its nodes, and nothing failed."""
        return self.exit_status == DONE and bool(self.nodes) and not self.left_out and not self.partial


def run_end(start: RunStart, ended: datetime, report: Report | None, error: BaseException | None) -> RunEnd:
    """Return the end of a run from its report, and the error that ended it.

    `report`: None if the run did not return one; `error`: None if it raised none, or one that was raised while its
    report was printed.
    """
    ending = came_to(report, start.host) if error is None and report is not None else None
    status, why = (ending.exit_status, ending.why) if ending is not None else _of_error(error, report)
    found = Report() if report is None else report
    problems = tuple(_problems(found))
    left_out = tuple(found.left_out)
    if isinstance(error, Busy):
        problems += tuple(Problem(WARNING, what, what, (one,), True) for one, what in error.conditions)
        left_out = error.left_out
    return RunEnd(
        host=start.host,
        run_id=found.run_id,
        began=start.began,
        ended=ended,
        exit_status=status,
        why=str(why or ""),
        nodes=tuple(found.nodes),
        left_out=left_out,
        lines=tuple(problem.line for problem in problems),
        amounts={kind: WorkAmount(one.done, one.failed, one.bytes) for kind, one in found.tallies.items()},
        command=start.command,
        partial=start.partial,
        problems=problems,
        complete=not (
            report is None
            or error is not None
            or start.partial
            or report.stopped
            or report.out_of_time
            or report.no_node
        ),
        unknown=frozenset(found.unknown),
    )


def _of_error(error: BaseException | None, report: Report | None) -> tuple[int, Reason | None]:
    if isinstance(error, OSError) and report is not None:
        return died_of(error).exit_status, Code.RUN_UNHEARD(error=error.strerror or error)
    if isinstance(error, AlpenhornError):
        return error.exit_status, error.reason
    return died_of(error if error is not None else SystemExit())


def _problems(report: Report) -> Iterator[Problem]:
    """Yield the problems of a run, failures first; those of the last round are merged into them."""
    for level, several in ((FAILURE, (report.failures,)), (WARNING, (report.warnings, report.waiting))):
        for notes in several:
            yield from _of_notes(level, notes)
    if ending := report.ending():
        text, failed = ending
        yield Problem(FAILURE if failed else WARNING, text, text, (_key(text),), False)


def _of_notes(level: str, notes: Notes) -> Iterator[Problem]:
    for what, line, keys in notes.entries():
        yield Problem(level, what, line, tuple(sorted(keys)) or (_key(line),), bool(keys))


def _key(text: Reason) -> Key:
    return key(str(code_of(text)), about(text))
