"""What was asked of a run, and what it tells at its end."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, NamedTuple, Protocol

from alpenhorn.errors import DONE, FAILED
from alpenhorn.model.conditions import Key
from alpenhorn.outside import UNREADABLE
from alpenhorn.reasons import Code, Reason, about, code_of, within
from alpenhorn.workers.pool import Activity

if TYPE_CHECKING:
    from alpenhorn.coordinator.compared import Compared, Options

_log = logging.getLogger(__name__)

MOST_LOGGED = 100  # of one kind


class Asked(NamedTuple):
    """`nodes`: names, none for all; `only`: kinds of work ("import", "check", "delete", "pull", "tape"), none for all;
    `time_limit` in seconds; the next two let a run do what it takes for a mistake otherwise: delete a great
    part of a node, record that a great part of it is missing; `manifest`: nothing is done but to write the manifests
    of those nodes anew; `reconcile`: nothing is done but to compare those nodes with their disks; `unwatched`: nobody
    looks on, and what lasts is reported only now and then."""

    nodes: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    time_limit: float | None = None
    wait: bool = False
    allow_mass_delete: bool = False
    accept_loss: bool = False
    manifest: bool = False
    reconcile: Options | None = None
    unwatched: bool = False

    @property
    def changes_nothing(self) -> bool:
        """Whether it is a dry run."""
        return self.reconcile is not None and self.reconcile.dry_run

    def wants(self, kind: str) -> bool:
        return not self.only or kind in self.only


def file_label(acq: str | None, name: str | None, otherwise: str) -> str:
    """Return the path of a file; `otherwise` when the index does not have it, or not as readable text."""
    return otherwise if acq in (None, UNREADABLE) or name in (None, UNREADABLE) else f"{acq}/{name}"


class Tally:
    """How much of one kind of work was done, in files and bytes."""

    def __init__(self) -> None:
        self.done = 0
        self.failed = 0
        self.bytes = 0

    def as_dict(self) -> dict[str, int]:
        return {"done": self.done, "failed": self.failed, "bytes": self.bytes}


class Notes:
    """Things to tell, counted: a million files with one fault make one line, with one of them as example.

    The log gets the first of each kind, since a full node would otherwise fill it with every pending request
    in every run, and the counts at the end.
    """

    def __init__(self, level: int) -> None:
        self._level = level
        self._notes: dict[Reason, tuple[int, str]] = {}
        self.files: set[str] = set()  # those that are about the files that are their examples
        self._lasting: dict[Reason, set[Key]] = {}
        self._left_out: set[Key] = set()

    def lasting(self, what: Reason, example: str = "", subject: str = "", files: bool = False) -> None:
        """Add what will be met again by each run until somebody does something about it.

        `subject`: the node, host or other thing that is concerned; "": what the reason itself names.  With the code it
        makes one condition, which may have several texts.
        """
        from alpenhorn.plan.conditions import key  # an idle run has nothing to report

        self._lasting.setdefault(what, set()).add(key(str(code_of(what)), subject or about(what)))
        self.add(what, example, files)

    def conditions(self) -> Iterator[tuple[Key, Reason]]:
        """The texts of what lasts."""
        return ((key, what) for what, keys in self._lasting.items() for key in keys)

    def leave_out(self, keys: Collection[Key]) -> None:
        """Those were reported lately, and are no lines any more."""
        self._left_out.update(keys)

    def add(self, what: Reason, example: str = "", files: bool = False) -> None:
        times, first = self._notes.get(what, (0, example))
        if times < MOST_LOGGED:
            _log.log(self._level, "%s%s", what, f"; {example}" if example else "")
        self._notes[what] = (times + 1, first)
        if files:
            self.files.add(what)

    def merge(self, other: Notes) -> None:
        """Move the counts of notes that stand in both from `other` into these, so that each is one line."""
        for what in self._notes.keys() & other._notes.keys():
            times, first = self._notes[what]
            self._notes[what] = (times + other._notes.pop(what)[0], first)

    def __bool__(self) -> bool:
        return bool(self._notes)

    def log_counts(self) -> None:
        for what, (times, _) in self._notes.items():
            if times > MOST_LOGGED:
                _log.log(self._level, "%s (%d times)", what, times)

    def lines(self) -> list[Reason]:
        """One line for each, in the order in which they were first met."""
        lines = []
        for what, (times, example) in self._notes.items():
            if (keys := self._lasting.get(what)) and keys <= self._left_out:
                continue
            more = f" ({times} {'files' if what in self.files else 'times'})" if times > 1 else ""
            first = f"; {'the first: ' if times > 1 else ''}{example}" if example else ""
            lines.append(within(what, what + more + first))
        return lines


class Report:
    """What a run did, what it left, and what somebody should look at.

    `left_out`: node name to the reason why it was not worked on.  A failure makes the exit status 1, a
    warning does not; `waiting` are warnings about what is still pending, as the last round found it, and
    `later` is what needs nobody's attention, since a later run does it by itself; `overlaps` are nodes that another
    run is working on.
    `planned` and `finished` are (files, bytes) handed to the pool and come back from it; `expected` is what
    was pending in all when the run began, counted only for a watcher.  `manifests`: (files, bytes) in those that were
    written, by node name.  `compared`: what a reconciliation found on each node.  `no_node`: none could be worked on;
    `over`: what lasted and is over; `unknown`: of what lasted it was not tried whether it does;
    `reached`: hosts from which something came;
    `must_have_all`: a node that was left out is a failure, whatever the reason.
    """

    def __init__(self) -> None:
        self.tallies: dict[str, Tally] = {}
        self.nodes: list[str] = []
        self.left_out: dict[str, Reason] = {}
        self.warnings = Notes(logging.WARNING)
        self.failures = Notes(logging.ERROR)
        self.overlaps = Notes(logging.INFO)
        self.planned = (0, 0)
        self.finished = (0, 0)
        self.expected = (0, 0)
        self.manifests: dict[str, tuple[int, int]] = {}
        self.compared: list[Compared] = []
        self.stopped = False
        self.no_node = False
        self.must_have_all = False
        self.out_of_time = False
        self.run_id: int | None = None
        self.over: list[Reason] = []
        self.unknown: set[Key] = set()
        self.reached: set[str] = set()
        self.new_round()

    def new_round(self) -> None:
        """What was left before may be done by now, and is counted anew."""
        self.waiting = Notes(logging.WARNING)
        self.later = Notes(logging.DEBUG)

    def lasting(self) -> dict[Key, list[Reason]]:
        """What this run met that lasts, with all its texts."""
        met: dict[Key, list[Reason]] = {}
        for notes in self._all():
            for key, what in notes.conditions():
                met.setdefault(key, []).append(what)
        return met

    def leave_out(self, keys: Collection[Key]) -> None:
        """Report nothing of those that last and were reported lately; they count for the exit status all the same."""
        for notes in self._all():
            notes.leave_out(keys)

    def _all(self) -> tuple[Notes, ...]:
        return self.warnings, self.waiting, self.failures

    def ending(self) -> tuple[Reason, bool] | None:
        """Return why a run ended before all was done, and whether that is a failure; None when it did not."""
        if self.stopped:
            said = "stopped as asked; what was finished is recorded, the rest is left for the next run"
            return within(Code.RUN_STOPPED(), said), True
        if self.out_of_time:
            why = Code.RUN_OUT_OF_TIME()
            return within(why, f"{why}; the rest is left for the next run"), False
        return None

    @property
    def silent(self) -> bool:
        """Whether pulls failed since a host or node could not be reached, which is recorded of that and not of the
        requests."""
        codes = {code for (code, _), _ in self.failures.conditions()}
        return not codes.isdisjoint((Code.HOST_SILENT, Code.SOURCE_UNSEEN))

    def tally(self, kind: str) -> Tally:
        return self.tallies.setdefault(kind, Tally())

    @property
    def exit_status(self) -> int:
        left_out = self.must_have_all and self.left_out
        return FAILED if self.failures or self.stopped or self.no_node or left_out else DONE


class Watcher(Protocol):
    """Shows a run while it goes on."""

    interval: float | None
    """Seconds between two looks, None when nobody is watching."""

    def show(self, report: Report, activity: list[Activity]) -> None: ...


class Unwatched:
    """Nobody is looking."""

    interval: float | None = None

    def show(self, report: Report, activity: list[Activity]) -> None:
        pass
