"""Copies to be checked, and checks cancelled, many at a time."""

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
    """Have the copies of `parts`, made by `to_check` of the selection, checked, and return how many it was."""
    settings = {"has_file": "M", "last_update": now}
    state = copies_to_check.known(selection.states, "u.")

    def work() -> int:
        for part in parts:
            # Whether there was a good copy cannot be seen any more once it is suspect.
            if RecordedState.HEALTHY in selection.states:
                once_good_among(index, part.sql, part.values)
            if RecordedState.MISSING in selection.states:
                never_good_among(index, part.sql, part.values)
        return update(index, "archivefilecopy", settings, state, "c.id", parts)

    return index.retry(work)


def cancel(index: Index, parts: Sequence[SelectionPart], state: RecordedState, now: datetime.datetime) -> int:
    """Take the copies of `parts`, made by `to_cancel`, to be in that state, and return how many it was."""
    settings = {"has_file": str(state), "last_update": now}
    if state is RecordedState.MISSING:
        # One that was free to go would be taken for removed, and nobody would miss it.
        settings["wants_file"] = "Y"
    return update(index, "archivefilecopy", settings, copies_to_check.suspect("u."), "c.id", parts)
