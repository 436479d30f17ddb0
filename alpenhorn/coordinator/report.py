"""The options of a run, and its report."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Set
from typing import TYPE_CHECKING, NamedTuple, Protocol

from alpenhorn.coordinator.amounts import Amounts
from alpenhorn.errors import DONE, FAILED
from alpenhorn.model.conditions import Key
from alpenhorn.outside import UNREADABLE
from alpenhorn.plan.conditions import key
from alpenhorn.reasons import Code, Reason, about, code_of, within
from alpenhorn.workers.pool import Activity

if TYPE_CHECKING:
    from alpenhorn.coordinator.compared import Compared, Options
    from alpenhorn.model.tasks import Done

_log = logging.getLogger(__name__)

MOST_LOGGED = 100  # of one kind


class Asked(NamedTuple):
    """The options of a run.

    `nodes`: names, none for all; `only`: kinds of work ("import", "check", "delete", "pull", "tape"), none for all;
    `time_limit`: in seconds; `allow_mass_delete`: ignore delete_limit; `accept_loss`: record losses even if the storage
    is in doubt; `manifest`: only write manifests; `reconcile`: only compare nodes with their disks; `unwatched`: the
    run has no terminal, and conditions are reported only from time to time.
    """

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
        """Whether the run is a dry run."""
        return self.reconcile is not None and self.reconcile.dry_run

    def wants(self, kind: str) -> bool:
        return not self.only or kind in self.only


def file_label(acq: str | None, name: str | None, otherwise: str) -> str:
    """Return the path of a file, `otherwise` if the index does not have it as readable text."""
    return otherwise if acq in (None, UNREADABLE) or name in (None, UNREADABLE) else f"{acq}/{name}"


class Tally:
    """The amount of work of one kind that was done."""

    def __init__(self) -> None:
        self.done = 0
        self.failed = 0
        self.bytes = 0

    def as_dict(self) -> dict[str, int]:
        return {"done": self.done, "failed": self.failed, "bytes": self.bytes}


class Notes:
    """Messages with counts: a million files with one fault make one line, with one file as an example.

    The log gets the first of each kind, and the counts at the end; otherwise a full node would log every pending
    request in each run.
    """

    def __init__(self, level: int) -> None:
        self._level = level
        self._notes: dict[Reason, tuple[int, str]] = {}
        self.files: set[str] = set()  # messages that count files
        self._lasting: dict[Reason, set[Key]] = {}
        self._left_out: set[Key] = set()

    def lasting(self, what: Reason, example: str = "", subject: str = "", files: bool = False) -> None:
        """Add a condition, which each run meets again until someone acts.

        `subject`: the node, host or other thing; "" for the one that the reason names.  Code and subject identify the
        condition, which may have several texts.
        """
        self._lasting.setdefault(what, set()).add(key(str(code_of(what)), subject or about(what)))
        self.add(what, example, files)

    def conditions(self) -> Iterator[tuple[Key, Reason]]:
        """Return the conditions with their texts."""
        return ((key, what) for what, keys in self._lasting.items() for key in keys)

    def leave_out(self, keys: Collection[Key]) -> None:
        """Omit conditions that were reported recently from the lines."""
        self._left_out.update(keys)

    def add(self, what: Reason, example: str = "", files: bool = False) -> None:
        times, first = self._notes.get(what, (0, example))
        if times < MOST_LOGGED:
            _log.log(self._level, "%s%s", what, f"; {example}" if example else "")
        self._notes[what] = (times + 1, first)
        if files:
            self.files.add(what)

    def merge(self, other: Notes) -> None:
        """Move the counts of messages that are in both from `other` to these, so that each is one line."""
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
        """Return one line for each message, in the order in which they were added."""
        return [line for _, line, keys in self.entries() if not keys or not keys <= self._left_out]

    def entries(self) -> Iterator[tuple[Reason, Reason, Set[Key]]]:
        """Yield each message, its line, and its conditions, also those that `lines` omits."""
        for what, (times, example) in self._notes.items():
            more = f" ({times} {'files' if what in self.files else 'times'})" if times > 1 else ""
            first = f"; {'the first: ' if times > 1 else ''}{example}" if example else ""
            yield what, within(what, what + more + first), self._lasting.get(what, frozenset())


class Report:
    """The report of a run.

    Messages: `failures` make the exit status 1; `warnings` do not; `waiting`: warnings about work that is still pending
    after the last round; `later`: work that a later run does without anyone's action; `overlaps`: nodes that another
    run is working on.  `left_out`: reasons by node name.

    `amounts`: the work that is known and done, for displays.  `manifests`: (files, bytes) of the written manifests, by
    node name.  `compared`: results of a reconciliation.  `no_node`: no node could be used; `must_have_all`: leaving out
    a node is a failure.

    Conditions: `over`: ended; `unknown`: not checked by this run.  `reached`: hosts that sent something.
    """

    def __init__(self) -> None:
        self.tallies: dict[str, Tally] = {}
        self.nodes: list[str] = []
        self.left_out: dict[str, Reason] = {}
        self.warnings = Notes(logging.WARNING)
        self.failures = Notes(logging.ERROR)
        self.overlaps = Notes(logging.INFO)
        self.amounts = Amounts()
        self.watcher: Watcher = Unwatched()
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
        """Reset the messages about pending work, which may be done by now."""
        self.waiting = Notes(logging.WARNING)
        self.later = Notes(logging.DEBUG)

    def step(self, what: str) -> None:
        """Show what the run is doing or waiting for before it can go on, such as "waiting for the index"."""
        self.watcher.step(what)

    def lasting(self) -> dict[Key, list[Reason]]:
        """Return the conditions that this run met, with all their texts."""
        met: dict[Key, list[Reason]] = {}
        for notes in self._all():
            for condition, what in notes.conditions():
                met.setdefault(condition, []).append(what)
        return met

    def leave_out(self, keys: Collection[Key]) -> None:
        """Omit conditions that were reported recently; they still count for the exit status."""
        for notes in self._all():
            notes.leave_out(keys)

    def _all(self) -> tuple[Notes, ...]:
        return self.warnings, self.waiting, self.failures

    def ending(self) -> tuple[Reason, bool] | None:
        """Return why the run ended early, and whether that is a failure; None if it did not."""
        if self.stopped:
            said = "stopped; finished work is recorded, the rest is left for the next run"
            return within(Code.RUN_STOPPED(), said), True
        if self.out_of_time:
            why = Code.RUN_OUT_OF_TIME()
            return within(why, f"{why}; the rest is left for the next run"), False
        return None

    @property
    def silent(self) -> bool:
        """Whether pulls failed because a host or node could not be reached.

        Such failures are recorded for the host or node, not for the requests.
        """
        codes = {code for (code, _), _ in self.failures.conditions()}
        return not codes.isdisjoint((Code.HOST_SILENT, Code.SOURCE_UNSEEN))

    def tally(self, kind: str) -> Tally:
        return self.tallies.setdefault(kind, Tally())

    @property
    def exit_status(self) -> int:
        left_out = self.must_have_all and self.left_out
        return FAILED if self.failures or self.stopped or self.no_node or left_out else DONE


class Watcher(Protocol):
    """Shows the progress of a run."""

    interval: float | None
    """Seconds between two updates, None for no display."""

    def step(self, what: str) -> None:
        """Show what the run is doing or waiting for; called before each step that may take long, and while it does."""

    def show(self, report: Report, activity: Callable[[], list[Activity]]) -> None:
        """Show the state of the work; called after each event of a worker, at least every `interval` seconds."""

    def ended(self, done: Done) -> None:
        """Show the results of a task, once they are recorded."""


class Unwatched:
    """A watcher that shows nothing."""

    interval: float | None = None

    def step(self, what: str) -> None:
        pass

    def show(self, report: Report, activity: Callable[[], list[Activity]]) -> None:
        pass

    def ended(self, done: Done) -> None:
        pass
