"""Copies released, and released ones wanted again, many at a time."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from alpenhorn.index.bulk import update
from alpenhorn.index.connection import Index
from alpenhorn.index.selections import SelectionPart
from alpenhorn.scan import copies_to_release
from alpenhorn.scan.copies_to_release import ReleaseSelection


def release(
    index: Index, parts: Sequence[SelectionPart], selection: ReleaseSelection, now: datetime.datetime
) -> int:
    """Release the copies of `parts`, made by `to_release` of the selection, and return how many it was."""
    wants = "N" if selection.at_once else "M"
    return _set(index, parts, wants, copies_to_release.releasable(selection, "u."), now)


def cancel(index: Index, parts: Sequence[SelectionPart], now: datetime.datetime) -> int:
    """Want the copies of `parts`, made by `to_cancel`, again, and return how many it was.

    One that a run is deleting at this moment may be gone nevertheless, and then is missing.
    """
    return _set(index, parts, "Y", copies_to_release.released("u."), now)


def _set(index: Index, parts: Sequence[SelectionPart], wants: str, state: str, now: datetime.datetime) -> int:
    settings = {"wants_file": wants, "last_update": now}
    return update(index, "archivefilecopy", settings, state, "c.id", parts)
