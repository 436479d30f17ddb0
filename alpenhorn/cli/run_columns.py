"""Columns for runs, as `history` and `status` show them."""

from __future__ import annotations

from typing import NamedTuple

from alpenhorn.cli.columns import column, document, number, size, time
from alpenhorn.coordinator.run_states import RunState
from alpenhorn.index.times import naive
from alpenhorn.listings.runs import RunRow
from alpenhorn.model.conditions import Condition
from alpenhorn.reasons import Code


class RunLine(NamedTuple):
    """A run and its state."""

    run: RunRow
    state: RunState

    @property
    def took(self) -> str:
        return self.state.said if self.run.seconds is None else f"{self.run.seconds:.0f} s"

    @property
    def ending(self) -> str | None:
        """Why the run ended early; None if it did not, or is still running."""
        return Code.RUN_NOT_ENDED() if self.state is RunState.DEAD else self.run.ending


RUN_COLUMNS = (
    number("id", "Run", "run.id"),
    column("host", "Host", "run.host"),
    column("nodes", "Nodes", lambda line: line.run.nodes.split(), cell="run.nodes"),
    time("started", "Began", "run.started"),
    column("ended", value="run.ended"),
    number("seconds", "Took", "run.seconds", cell="took"),
    number("exit_status", "Status", "run.exit_status"),
    number("done", "Done", "run.done"),
    number("failed", "Failed", "run.failed"),
    size("bytes", "Size", "run.bytes"),
    column("counts", value="run.counts"),
    column("pid", value="run.pid"),
    column("state", value="state.value"),
    column("ending"),
)


def run_document(run: RunRow, state: RunState) -> dict[str, object]:
    return document(RUN_COLUMNS, RunLine(run, state))


def condition_document(host: str, one: Condition) -> dict[str, object]:
    """Return a condition of a host as JSON shows it."""
    return {
        "host": host,
        "code": one.code,
        "subject": one.subject,
        "why": one.why,
        "began": naive(one.began),
        "seen": naive(one.seen),
    }
