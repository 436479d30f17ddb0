"""Keep the sums from which `status` and other commands tell how many copies each node has, at the end of runs.

A run counts for about SECONDS, the parts without sums first, and the next run goes on.
"""

from __future__ import annotations

import datetime
import logging
import time
from collections.abc import Callable

from alpenhorn.formats import count
from alpenhorn.index.check import Finding, Level
from alpenhorn.index.connection import Index
from alpenhorn.reasons import Code
from alpenhorn.record import tallies as record
from alpenhorn.scan import tallies as scan

_log = logging.getLogger(__name__)

SECONDS = 30.0
# Changes by hand, which `last_update` does not show, are seen after so long.
AGAIN = datetime.timedelta(days=1)


def refresh(index: Index, may_go_on: Callable[[], bool]) -> None:
    """Discard the sums of changed parts, and count parts, unless another run did so a short time ago."""
    look = record.look_for_changes(index)
    if look is None:
        return
    ends, counted = time.monotonic() + SECONDS, 0
    for part in scan.to_count(index, look, look - AGAIN):
        if time.monotonic() >= ends or not may_go_on():
            record.leave(index, look)
            break
        if not record.keep(index, look, part, scan.count_part(index, part)):
            break
        counted += 1
    _log.info("counted the copies of %d parts of the archive", counted)


def findings(index: Index) -> list[Finding]:
    """Compare the sums with the rows, all of which are read."""
    wrong = scan.wrong_parts(index)
    if not wrong:
        return []
    remedy = "a run counts each part anew once a day; to have all counted by the next one: DELETE FROM sync_tally_part"
    return [Finding(Level.WARN, Code.TALLIES_WRONG(parts=count(len(wrong), "part")), remedy)]
