"""Requests for checks of many copies at a time, and their cancellation."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from alpenhorn.index.bulk import update
from alpenhorn.index.connection import Index
from alpenhorn.index.selections import SelectionPart
from alpenhorn.record.copies import never_good_among, once_good_among
from alpenhorn.scan import copies_to_check
from alpenhorn.scan.copies_to_check import CheckSelection, RecordedState


def request(
    index: Index, parts: Sequence[SelectionPart], selection: CheckSelection, now: datetime.datetime
) -> int:
    """Request checks of the copies of `parts`, which `to_check` made from the selection; return their number."""
    settings = {"has_file": "M", "last_update": now}
    state = copies_to_check.known(selection.states, "u.")

    def work() -> int:
        for part in parts:
            # Before the update, since has_file M does not show whether a copy was good.
            if RecordedState.HEALTHY in selection.states:
                once_good_among(index, part.sql, part.values)
            if RecordedState.MISSING in selection.states:
                never_good_among(index, part.sql, part.values)
        return update(index, "archivefilecopy", settings, state, "c.id", parts)

    return index.retry(work)


def cancel(index: Index, parts: Sequence[SelectionPart], state: RecordedState, now: datetime.datetime) -> int:
    """Cancel checks: set the copies of `parts`, which `to_cancel` made, to a state; return their number."""
    settings = {"has_file": str(state), "last_update": now}
    if state is RecordedState.MISSING:
        # Otherwise a removable copy would be recorded as removed, and its loss would go unnoticed.
        settings["wants_file"] = "Y"
    return update(index, "archivefilecopy", settings, copies_to_check.suspect("u."), "c.id", parts)
