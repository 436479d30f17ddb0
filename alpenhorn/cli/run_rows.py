"""Runs as `history` and `status` show them."""

from __future__ import annotations

from alpenhorn.coordinator.run_states import RunState
from alpenhorn.listings.runs import RunRow
from alpenhorn.reasons import Code


def run_document(run: RunRow, state: RunState) -> dict[str, object]:
    return {
        **run._asdict(),
        "nodes": run.nodes.split(),
        "seconds": run.seconds,
        "state": state.value,
        "ending": ending(run, state),
    }


def ending(run: RunRow, state: RunState) -> str | None:
    """Why a run did not come to its end; None where it did, or is still at it."""
    return Code.RUN_NOT_ENDED() if state is RunState.DEAD else run.ending
