"""Copies released, and released ones wanted again, many at a time."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from alpenhorn.index.connection import Index
from alpenhorn.scan import clean_candidates
from alpenhorn.scan.clean_candidates import Selection
from alpenhorn.scan.sync_candidates import Part


def release(index: Index, parts: Sequence[Part], selection: Selection, now: datetime.datetime) -> int:
    """Release the copies of `parts`, made by `to_release` of the selection, and return how many it was."""
    wants = "N" if selection.at_once else "M"
    return _set(index, parts, wants, clean_candidates.releasable(selection, "u."), now)


def cancel(index: Index, parts: Sequence[Part], now: datetime.datetime) -> int:
    """Want the copies of `parts`, made by `to_cancel`, again, and return how many it was.

    One that a run is deleting at this moment may be gone nevertheless, and then is missing.
    """
    return _set(index, parts, "Y", clean_candidates.released("u."), now)


def _set(index: Index, parts: Sequence[Part], wants: str, state: str, now: datetime.datetime) -> int:
    """`state`: the condition on the row `u`, asked again of each row as it is changed, so that what another
    program made of it meanwhile stays."""

    def work() -> int:
        changed = 0
        for part in parts:
            if index.sqlite:
                sql = f"""UPDATE archivefilecopy AS u SET wants_file = ?, last_update = ?
                    WHERE {state} AND u.id IN (SELECT c.id {part.sql})"""
                values = (wants, now, *part.values)
            else:
                # STRAIGHT_JOIN has the rows looked up one by one: left to choose, MariaDB would go through all
                # copies in the index, and wait for those that others have locked.  DISTINCT has them found
                # before the first is changed.
                sql = f"""UPDATE (SELECT DISTINCT c.id AS id {part.sql}) s
                    STRAIGHT_JOIN archivefilecopy u ON u.id = s.id
                    SET u.wants_file = ?, u.last_update = ? WHERE {state}"""
                values = (*part.values, wants, now)
            changed += index.execute(sql, values).rowcount
        return changed

    return index.retry(work)
