"""The progress of a run: a live display on a terminal, or a line from time to time.

The choice is made here; the live display is in `alpenhorn.cli.run_display`, which is imported when there is something
to draw.  It is drawn when the run calls, not by a thread, because forking workers is not safe with threads.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, Protocol

import click

from alpenhorn.cli.app import App

if TYPE_CHECKING:
    from alpenhorn.cli.run_display import Live
    from alpenhorn.coordinator.report import Report
    from alpenhorn.model.tasks import Done
    from alpenhorn.workers.pool import Activity

AUTO, NONE, BAR, PLAIN = "auto", "none", "bar", "plain"
PLAIN_SECONDS = 60.0
START = "starting the worker processes"
ERASED = "\r\x1b[K"  # erases the current line of a terminal


class ProgressForm(NamedTuple):
    """The value of --progress.  `seconds`: between two lines of the plain form."""

    how: str
    seconds: float = PLAIN_SECONDS


class _ProgressFormType(click.ParamType[ProgressForm]):
    name = "how"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> ProgressForm:
        if isinstance(value, ProgressForm):
            return value
        how, colon, seconds = str(value).partition(":")
        if how in (AUTO, NONE, BAR, PLAIN) and not colon:
            return ProgressForm(how)
        try:
            given = float(seconds) if how == PLAIN else 0.0
        except ValueError:
            given = 0.0
        if not 0 < given < float("inf"):
            self.fail(f"{value!r} is not one of auto, bar, plain, plain:SECONDS, none", param, ctx)
        return ProgressForm(how, given)


progress_option = click.option(
    "--progress",
    metavar="HOW",
    type=_ProgressFormType(),
    default=AUTO,
    help="Show progress: bar (a live display on a terminal), plain (a line each minute on standard error;"
    " plain:SECONDS sets the interval), none, or auto (default): bar on a terminal, none elsewhere.",
)


class Display(Protocol):
    """A watcher of a run (`alpenhorn.coordinator.report.Watcher`) that can be closed, which restores the terminal."""

    interval: float | None

    def step(self, what: str) -> None: ...
    def show(self, report: Report, activity: Callable[[], list[Activity]]) -> None: ...
    def ended(self, done: Done) -> None: ...
    def close(self) -> None: ...


@contextmanager
def display(app: App, choice: ProgressForm, json: bool = False) -> Iterator[Display]:
    """Return a context with the display of a run, which shows something at once.

    Enter it before the workers are started.  `json`: standard output is a JSON document; nothing else is written there.
    With -v, files are listed as they are done.
    """
    how = choice.how
    terminal = sys.stdout.isatty() and not json
    if how == AUTO and (not terminal or app.verbosity < 0):
        how = NONE
    elif how in (AUTO, BAR):
        how = BAR if terminal and os.environ.get("TERM", "dumb") not in ("", "dumb", "unknown") else PLAIN
    listed = app.verbosity > 0 and not json
    shown: Display
    if how == BAR:
        shown = TerminalDisplay(listed)
    elif how == PLAIN:
        shown = PlainDisplay(choice.seconds, listed)
    else:
        shown = NoDisplay(listed)
    try:
        shown.step(START)
        yield shown
    finally:
        shown.close()


class NoDisplay:
    """A display that shows nothing, or only the files that are done (`listed`)."""

    interval: float | None = None

    def __init__(self, listed: bool = False) -> None:
        self._listed = listed

    def step(self, what: str) -> None:
        pass

    def show(self, report: Report, activity: Callable[[], list[Activity]]) -> None:
        pass

    def ended(self, done: Done) -> None:
        if self._listed:
            from alpenhorn.cli.done_files import lines  # only with -v

            if text := "\n".join(lines(done)):
                self.print(text)

    def print(self, text: str) -> None:
        """Print lines on standard output."""
        click.echo(text)

    def close(self) -> None:
        pass


class PlainDisplay(NoDisplay):
    """A line on standard error at once, and then every `seconds` seconds."""

    def __init__(self, seconds: float, listed: bool) -> None:
        super().__init__(listed)
        self.interval = seconds
        self._started = time.monotonic()
        self._next = self._started
        self._line: Callable[[Report, list[Activity], float], str] | None = None

    def step(self, what: str) -> None:
        if time.monotonic() >= self._next:
            self._say(what)

    def show(self, report: Report, activity: Callable[[], list[Activity]]) -> None:
        now = time.monotonic()
        if self._line is None:
            from alpenhorn.cli.run_lines import PlainLine  # imports the model of a run's work

            self._line = PlainLine(now).line
        if now >= self._next:
            self._say(self._line(report, activity(), now))

    def _say(self, text: str) -> None:
        from alpenhorn.cli import output  # an idle run prints nothing

        now = time.monotonic()
        self._next = now + (self.interval or PLAIN_SECONDS)
        click.echo(output.harmless(f"{output.clock(now - self._started)}  {text}"), err=True)


class TerminalDisplay(NoDisplay):
    """The live display.  Until there is work to show, one line says what the run is doing or waiting for.

    With -v these lines are kept, since log messages on standard error come between them.
    """

    INTERVAL = 0.25  # seconds
    FIRST_AFTER = 0.5  # seconds of work; shorter runs show only their summary

    def __init__(self, listed: bool) -> None:
        super().__init__(listed)
        self.interval = self.INTERVAL
        self._closed = False
        self._step = ""
        self._next = 0.0
        self._work_began: float | None = None
        self._live: Live | None = None

    def step(self, what: str) -> None:
        now = time.monotonic()
        if self._closed or what == self._step or (self._live is not None and now < self._next):
            return
        self._step, self._next = what, now + self.INTERVAL
        with self._on_terminal():
            if self._live is not None:
                self._live.step(what)
            elif self._listed:
                self._write(f"{self._fitting(what)}\n")
            else:
                self._write(f"{ERASED}{self._fitting(what)}")

    def show(self, report: Report, activity: Callable[[], list[Activity]]) -> None:
        now = time.monotonic()
        if self._work_began is None:
            self._work_began = now
        if self._closed or now < max(self._next, self._work_began + self.FIRST_AFTER):
            return
        self._next = now + self.INTERVAL
        with self._on_terminal():
            if self._live is None:
                from alpenhorn.cli.run_display import Live  # imports rich, which takes long

                self._erase()
                self._live = Live(now)
            self._step = ""
            self._live.show(report, activity(), now)

    def print(self, text: str) -> None:
        if self._live is None or self._closed:
            self._erase()
            super().print(text)
        else:
            with self._on_terminal():
                self._live.print(text)

    def close(self) -> None:
        """Remove the display from the terminal."""
        if self._closed:
            return
        with self._on_terminal():
            if self._live is not None:
                self._live.close()
            else:
                self._erase()
        self._closed = True

    @contextmanager
    def _on_terminal(self) -> Iterator[None]:
        try:
            yield
        except OSError:  # the terminal was closed; the run continues, and its report fails
            self._closed = True

    def _fitting(self, what: str) -> str:
        # A run without a terminal draws nothing.
        import shutil

        from alpenhorn.cli import output

        return output.cut(output.harmless(what), shutil.get_terminal_size().columns - 1, "...")

    def _erase(self) -> None:
        if self._step and not self._listed:
            self._write(ERASED)
        self._step = ""

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()
