"""The live display of a run on a terminal, drawn with rich."""

from __future__ import annotations

from rich.console import Console, Group
from rich.live import Live as RichLive
from rich.text import Text

from alpenhorn.cli import output
from alpenhorn.cli.estimates import Estimates
from alpenhorn.cli.run_lines import ASCII, DIM, UNICODE, Part, run_lines
from alpenhorn.coordinator.report import Report
from alpenhorn.workers.pool import Activity

STOPPING = "stopping; waiting for the files in work"


class Live:
    """A display in the last lines of the terminal of standard output.  Raises OSError if the terminal is gone."""

    def __init__(self, now: float) -> None:
        self._console = Console(highlight=False)
        self._marks = UNICODE if self._console.encoding.startswith("utf") else ASCII
        self._estimates = Estimates(now)
        self._lines: list[list[Part]] = []
        self._live = RichLive(console=self._console, auto_refresh=False, transient=True)
        self._live.start()

    def show(self, report: Report, activity: list[Activity], now: float) -> None:
        progress = self._estimates.update(report.amounts, activity, now)
        width, height = self._console.size
        self._lines = run_lines(progress, report, activity, width, height - 1, self._marks)
        self.step(STOPPING if report.stopped else "")

    def step(self, what: str) -> None:
        """Draw the last lines again, with what the run is doing or waiting for below them."""
        lines = [Text.assemble(*parts, no_wrap=True, overflow="crop") for parts in self._lines]
        if what:
            shown = output.cut(output.harmless(what), self._console.width, self._marks.cut)
            lines.append(Text(shown, style=DIM, no_wrap=True, overflow="crop"))
        self._live.update(Group(*lines), refresh=True)

    def print(self, text: str) -> None:
        """Print lines above the display."""
        self._console.print(Text(text), soft_wrap=True)

    def close(self) -> None:
        """Remove the display."""
        self._live.stop()
